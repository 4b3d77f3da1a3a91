"""What is on disk of a study: one model and one reader for each kind of file, and the ids by which runs go.

A RunRecord holds dev scores only. Test scores live in a TestRecord of their own, so that a search cannot read
them: what it receives has no such field.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import Field, ValidationError

from nlcse_tune.config import Frozen, RunConfig, StsTask, digest
from nlcse_tune.errors import DataError
from nlcse_tune.files import write_text, writing
from nlcse_tune.names import Setting
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.stats import Decision, StoppingRule
from nlcse_tune.versions import NUMERICS, Versions


class RunId(NamedTuple):
    """A run's name taken apart; `configuration` is its `configuration_id`."""

    configuration: str
    seed: int


def configuration_id(config: RunConfig, data: Mapping[str, str]) -> str:
    """A configuration on inputs with these fingerprints, under this tool's numerics: 12 hex digits."""
    return digest(config, {**data, "numerics": NUMERICS})[:12]


def run_id(config: RunConfig, seed: int, data: Mapping[str, str]) -> str:
    """The name of a run: its `configuration_id`, then its seed."""
    return f"{configuration_id(config, data)}-s{seed}"


def split_run_id(name: str) -> RunId | None:
    """The parts of a run's name, which is like 0123456789ab-s42; None where it is no such name."""
    configuration, _, seed = name.rpartition("-s")
    return RunId(configuration, int(seed)) if configuration and seed.isdecimal() else None


def configuration_key(config: RunConfig, data: Mapping[str, str]) -> str:
    """What runs share that differ in their seed, and in the version of this tool's numerics, alone: 12 hex digits."""
    return digest(config, data)[:12]


class Stored(Frozen):
    """A model that is a file of its own. DataError where a file is not what it must be."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """What `path` holds; None where there is no such file."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            what = f"not a readable {cls.__name__}: {error}"
            raise DataError(f"{path}: {what}; move it away to go on without it") from None

    @classmethod
    def read_all(cls, folder: Path) -> list[Self]:
        return [model for path in sorted(folder.glob("*.json")) if (model := cls.read(path)) is not None]

    def write(self, path: Path) -> None:
        """Atomically writes the file `path`."""
        write_text(path, self.model_dump_json(indent=1) + "\n")


class DevPoint(Frozen):
    """One dev evaluation: Spearman x 100 on STS-B dev, and the mean losses since the one before."""

    step: int
    score: float
    text_loss: float | None = None
    side_loss: float | None = None


class Timings(Frozen):
    """Wall-clock seconds."""

    setup: float
    train: float
    evaluate: float
    total: float


class RunRecord(Stored):
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

    @property
    def configuration(self) -> str:
        """The part of the run's id that says which configuration, data and numerics it is of."""
        return self.run_id.rpartition("-s")[0] or self.run_id

    @property
    def key(self) -> str:
        return configuration_key(self.config, self.data)

    @property
    def share(self) -> float:
        """How much of the run was trained, 0 to 1."""
        return self.steps / (self.total_steps or self.steps or 1)


class TaskScore(Frozen):
    """One STS task: Spearman and Pearson x 100. `subsets` maps a sub-set's name to (Spearman, Pearson, pairs)."""

    all: float
    mean: float
    wmean: float
    pearson: float
    pairs: int
    subsets: dict[str, tuple[float, float, int]] = {}


class TestRecord(Stored):
    """Test scores of one run's best checkpoint."""

    run_id: str
    opened: str
    setting: Setting
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
        scores = [score for task in tasks if (score := self.score(task)) is not None]
        return sum(scores) / len(scores) if scores and len(scores) == len(tasks) else None


class Choice(Stored):
    """What a search chose; a later search of the same folder replaces it."""

    study: str
    run_id: str
    point: dict[str, Any] = Field(description="the searched fields' values")
    dev: float | None
    dev_by_seed: dict[int, float] = Field({}, description="the dev scores that it was chosen by")
    config: RunConfig
    data: dict[str, str]
    seed: int = Field(description="of the search's runs")
    searched: int = Field(description="points on record")
    checkpoint: str


class BegunRun(Stored):
    """A run that a search began, noted before its first step."""

    config: RunConfig
    seed: int


class Opening(Frozen):
    """One time that test sets of a study were opened to score `runs`: a line of its log."""

    time: str
    command: str = "unknown"
    by: str = "unknown"
    runs: tuple[str, ...] = ()


class KeptRule(Stored):
    """The stopping rule of a comparison, written before its first look, and the looks taken since.

    It holds for two configurations, one way to score them, and a list of seeds of which the method had been tested
    with none when it was written: under another rule, or after a look, the error rate is not kept.
    """

    keys: tuple[str, str] = Field(description="`configuration_key` of method and baseline")
    scored: str = Field(description="how, in words")
    seeds: tuple[int, ...] = Field(description="a look at n sees the first n")
    rule: StoppingRule
    taken: tuple[Decision, ...] = ()


def now() -> str:
    """UTC to the second, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def ledger(paths: StudyPaths) -> list[RunRecord]:
    """Every run record of a study, oldest first."""
    return sorted(RunRecord.read_all(paths.records), key=lambda record: (record.finished, record.run_id))


def is_whole(record: RunRecord, paths: RunPaths) -> bool:
    """Whether a run was trained to its end and its best model is still there."""
    return record.status == "completed" and paths.best.exists()


def log_opening(paths: StudyPaths, runs: Sequence[str], by: Literal["seeds", "evaluate"]) -> None:
    """Notes that the test sets of a study are about to be scored for `runs`: one line a time, never rewritten."""
    opening = Opening(time=now(), command=" ".join(("nlcse-tune", *sys.argv[1:])), by=by, runs=tuple(runs))
    with writing(paths.openings):
        paths.folder.mkdir(parents=True, exist_ok=True)
        with paths.openings.open("a", encoding="utf-8") as stream:
            stream.write(opening.model_dump_json() + "\n")


def read_openings(paths: StudyPaths) -> list[Opening]:
    """Each time the study's test sets were opened, oldest first."""
    try:
        lines = paths.openings.read_text(encoding="utf-8").splitlines()
        openings = [Opening.model_validate_json(line) for line in lines if line.strip()]
        return sorted(openings, key=lambda opening: opening.time)
    except FileNotFoundError:
        return []
    except ValidationError as error:
        raise DataError(f"{paths.openings}: not a log of test openings: {error}; move it away to go on") from None
