"""What a run leaves behind, and the ledger over a folder of it.

A RunRecord holds dev scores only. Test scores live in a TestRecord of their own, so that a search cannot read
them: what it receives has no such field.
"""

import json
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, ValidationError

from nlcse_tune.config import Frozen, RunConfig, StsTask, digest
from nlcse_tune.errors import DataError
from nlcse_tune.files import storage_error, write_text
from nlcse_tune.paths import RunPaths, StudyPaths

# Raised with any change after which the same configuration and seed give other numbers; part of a run's id.
# `tests/test_run.py::test_golden_losses` fails when such a change forgets it.
NUMERICS = "1"


class DevPoint(Frozen):
    """One dev evaluation: Spearman x 100 on STS-B dev, and the mean losses since the one before."""

    step: int
    score: float
    text_loss: float | None = None
    side_loss: float | None = None


class Versions(Frozen):
    """Where the numbers come from: the fingerprint that runs must share to be compared."""

    nlcse_tune: str
    numerics: str
    commit: str | None
    python: str
    packages: dict[str, str]
    device: str


class Timings(Frozen):
    """Wall-clock seconds."""

    setup: float
    train: float
    evaluate: float
    total: float


class RunRecord(Frozen):
    """One run: finished, or (status `running`, never on disk) as far as it has come."""

    run_id: str
    study: str
    seed: int
    config: RunConfig
    status: Literal["running", "completed", "stopped", "failed"]
    dev_before: float | None = Field(None, description="dev score before the first step")
    dev_curve: tuple[DevPoint, ...] = ()
    best_step: int | None = None
    best_dev: float | None = None
    steps: int = 0
    total_steps: int | None = Field(None, description="steps of the whole run; a stopped one has fewer")
    workers: int = 1
    data: dict[str, str] = Field(description="fingerprint of each input")
    versions: Versions
    timings: Timings | None = None
    events: tuple[str, ...] = Field((), description="what the run did by itself: a restart, a halved micro-batch")
    error: str | None = None
    started: str = ""
    finished: str = ""


class TaskScore(Frozen):
    """One STS task: Spearman and Pearson x 100. `subsets` maps a sub-set's name to (Spearman, Pearson, pairs)."""

    all: float
    mean: float
    wmean: float
    pearson: float
    pairs: int
    subsets: dict[str, tuple[float, float, int]] = {}


class TestRecord(Frozen):
    """Test scores of one run's best checkpoint."""

    __test__ = False  # not a pytest class

    run_id: str
    opened: str
    setting: Literal["all", "mean", "wmean"]
    scores: dict[StsTask, TaskScore]
    missing: dict[StsTask, str] = Field({}, description="tasks that could not be scored, and why")
    geometry: dict[Literal["alignment", "uniformity"], float] = {}
    data: dict[str, str] = Field(description="fingerprint of each test set")
    versions: Versions

    def score(self, task: StsTask) -> float | None:
        """The task's Spearman x 100 in this record's setting; None where it was not scored."""
        return float(getattr(self.scores[task], self.setting)) if task in self.scores else None

    def average(self, tasks: tuple[StsTask, ...]) -> float | None:
        """The mean over `tasks`; None unless every one of them was scored."""
        scores = [self.score(task) for task in tasks]
        known = [score for score in scores if score is not None]
        return sum(known) / len(known) if known and len(known) == len(scores) else None


def run_id(config: RunConfig, seed: int, data: Mapping[str, str]) -> str:
    """The name of a run: configuration, data and numerics in 12 hex digits, then the seed."""
    return f"{digest(config, {**data, 'numerics': NUMERICS})[:12]}-s{seed}"


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def versions(device: str) -> Versions:
    """The fingerprint of this process on `device` (its printed name, such as the card's)."""
    from nlcse_tune import __version__

    return Versions(
        nlcse_tune=__version__,
        numerics=NUMERICS,
        commit=_commit(),
        python=platform.python_version(),
        packages=_package_versions(),
        device=device,
    )


@cache
def _package_versions() -> dict[str, str]:
    names = ("torch", "torchvision", "torchaudio", "transformers", "tokenizers", "numpy", "scipy", "ray", "optuna")
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def _commit() -> str | None:
    """The commit of this checkout, with `+changes` if files differ from it; None in an installed copy."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "nlcse_tune") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def write_record(record: RunRecord, paths: RunPaths) -> None:
    """Atomically writes the record's one file."""
    write_text(paths.record, record.model_dump_json(indent=1) + "\n")


def read_record(path: Path) -> RunRecord:
    """The record in `path`; DataError where it is not one."""
    return _read(path, RunRecord)


def write_test_record(record: TestRecord, paths: RunPaths) -> None:
    """Atomically writes the test record's one file."""
    write_text(paths.test, record.model_dump_json(indent=1) + "\n")


def read_test_record(path: Path) -> TestRecord:
    """The test record in `path`; DataError where it is not one."""
    return _read(path, TestRecord)


Record = TypeVar("Record", RunRecord, TestRecord)


def _read(path: Path, model: type[Record]) -> Record:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: not a readable {model.__name__}: {error}; move it away to go on without it") from None


def is_whole(record: RunRecord, paths: RunPaths) -> bool:
    """Whether a run was trained to its end and its best model is still there."""
    return record.status == "completed" and paths.best.exists()


def ledger(paths: StudyPaths) -> Iterator[RunRecord]:
    """Every run record of a study, oldest first."""
    records = [read_record(path) for path in paths.records.glob("*.json")]
    yield from sorted(records, key=lambda record: (record.finished, record.run_id))


def log_opening(paths: StudyPaths, runs: Sequence[str], by: Literal["seeds", "evaluate"]) -> None:
    """Notes that the test sets of a study are about to be scored for `runs`: one line a time, never rewritten."""
    line = {"time": now(), "command": "nlcse-tune " + " ".join(sys.argv[1:]), "by": by, "runs": list(runs)}
    try:
        paths.folder.mkdir(parents=True, exist_ok=True)
        with paths.openings.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
    except OSError as error:
        raise storage_error(paths.openings, error) from error


def read_openings(paths: StudyPaths) -> list[dict[str, Any]]:
    """Each time the study's test sets were scored, oldest first."""
    if not paths.openings.is_file():
        return []
    lines = [line for line in paths.openings.read_text(encoding="utf-8").splitlines() if line.strip()]
    try:
        found = [json.loads(line) for line in lines]
        return sorted(found, key=lambda opening: str(opening["time"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{paths.openings}: not a log of test openings: {error}; move it away to go on") from None


def tests_ledger(paths: StudyPaths) -> dict[str, TestRecord]:
    """Every test record of a study by run id."""
    found = (read_test_record(path) for path in paths.tests.glob("*.json"))
    return {record.run_id: record for record in found}
