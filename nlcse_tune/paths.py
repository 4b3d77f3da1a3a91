"""Every file name that a run, a search or a report creates, and how a run is found by its name."""

import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from nlcse_tune.errors import ConfigError

POOLING_FILE = "nlcse_pooling.json"  # in every model folder that this tool writes
CHECKPOINTS, SEARCH = "checkpoints", "search.json"
_START_OF_ID = re.compile(r"[0-9a-f]{4,12}(-s\d*)?")


@dataclass(frozen=True)
class RunPaths:
    """The files of one run, all named by its id."""

    study: Path
    run_id: str

    @property
    def record(self) -> Path:
        """The run's RunRecord: written once, when it ends."""
        return self.study / "records" / f"{self.run_id}.json"

    @property
    def test(self) -> Path:
        """The run's TestRecord: written by `seeds`, never by a search."""
        return self.study / "tests" / f"{self.run_id}.json"

    @property
    def similarities(self) -> Path:
        """Cosine of every test pair, compressed, beside the TestRecord."""
        return self.study / "tests" / f"{self.run_id}.npz"

    @property
    def folder(self) -> Path:
        return self.study / CHECKPOINTS / self.run_id

    @property
    def lock(self) -> Path:
        """Held by `nlcse-tune train` while it trains this run; searches and seed studies hold the study's."""
        return self.folder / "lock"

    @property
    def begun(self) -> Path:
        """Configuration and seed of a run that a search began."""
        return self.folder / "run.json"

    @property
    def error(self) -> Path:
        """The traceback of the last error that ended an attempt."""
        return self.folder / "error.txt"

    @property
    def best(self) -> Path:
        """The best dev checkpoint, a Hugging Face folder with its pooling."""
        return best_model(self.folder)

    @property
    def last(self) -> Path:
        """The restart point: model, optimizers, schedules, scaler, position."""
        return restart_point(self.folder)


def best_model(folder: Path) -> Path:
    """The best model in a run's folder: a link to the folder of its step."""
    return folder / "best"


def restart_point(folder: Path) -> Path:
    """The restart point in a run's folder."""
    return folder / "last.pt"


@dataclass(frozen=True)
class StudyPaths:
    """The folder of one study under `--out`."""

    root: Path
    study: str

    @property
    def folder(self) -> Path:
        return self.root / self.study

    @property
    def records(self) -> Path:
        return self.folder / "records"

    @property
    def tests(self) -> Path:
        return self.folder / "tests"

    @property
    def openings(self) -> Path:
        """One JSON line each time the study's test sets were scored."""
        return self.folder / "test-openings.jsonl"

    @property
    def search(self) -> Path:
        """What the last search chose."""
        return self.folder / SEARCH

    def rule(self, keys: tuple[str, str]) -> Path:
        """The stopping rule over two configurations, and the looks taken under it."""
        return self.folder / "stopping-rules" / f"{'-'.join(keys)}.json"

    @property
    def lock(self) -> Path:
        """Held by the one search or seed study that works on this folder; beside it, since --fresh moves the folder."""
        return self.root / f".{self.study}.lock"

    @property
    def journal(self) -> Path:
        """The search as optuna-dashboard reads it; made anew from the records by each search."""
        return self.folder / "optuna.journal"

    @property
    def ray(self) -> Path:
        """Ray Tune's own files."""
        return self.folder / "ray"

    @property
    def ray_train(self) -> Path:
        """Ray Train's own files."""
        return self.ray / "train"

    @property
    def report(self) -> Path:
        """Tables and figures of `nlcse-tune report`."""
        return self.folder / "report"

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.folder, run_id)

    def checkpoints(self) -> list[RunPaths]:
        """The runs that have a folder for checkpoints."""
        return [self.run(folder.name) for folder in sorted(self.folder.glob(f"{CHECKPOINTS}/*"))]

    def set_aside(self) -> Path | None:
        """Moves the study's folder out of the way; returns where it lies now, None where there was none."""
        if not self.folder.exists():
            return None
        target = self.root / ".former" / f"{self.study}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        target.parent.mkdir(exist_ok=True)
        return self.folder.rename(target)


def last_searched(root: Path) -> str | None:
    """The study searched last under this folder."""
    choices = sorted(root.glob(f"*/{SEARCH}"), key=lambda path: path.stat().st_mtime)
    return choices[-1].parent.name if choices else None


def studies_with_tests(root: Path) -> list[str]:
    """Names of the studies that have test records under `root`, sorted."""
    return sorted(folder.name for folder in root.glob("*") if any((folder / "tests").glob("*.json")))


def find_model(name: str, out: Path) -> Path | None:
    """The model folder that `name` means, where this tool wrote it; None where it did not (a hub name, say).

    A run's id under `out`, or the start of one (four hex digits and more) that only one run has; a run's folder; or
    the folder of the model itself. ConfigError where several runs go by the name.
    """
    folder = Path(name)
    if folder.is_dir():
        return next((path for path in (folder, best_model(folder)) if (path / POOLING_FILE).is_file()), None)
    if not _START_OF_ID.fullmatch(name):
        return None
    folders = sorted(out.glob(f"*/{CHECKPOINTS}/{name}*"))
    runs = [run for run in folders if (best_model(run) / POOLING_FILE).is_file()]
    runs = [run for run in runs if run.name == name] or runs
    if len(runs) > 1:
        raise ConfigError(f"{name}: {len(runs)} runs go by this name: {', '.join(map(str, runs))}; give the folder")
    return best_model(runs[0]) if runs else None


def run_of(model: Path) -> RunPaths | None:
    """The run whose best model lies in the folder `model`; None where that is no study's."""
    folder = model.absolute().parent  # not resolved before: the model's own folder is a link
    study = folder.resolve().parent.parent
    if folder.resolve().parent.name == CHECKPOINTS and (study / "records").is_dir():
        return RunPaths(study, folder.resolve().name)
    return None


def cache_folder() -> Path:
    """Where derived data (token ids, fingerprints) is kept between runs: `$NLCSE_CACHE`, else `~/.cache/nlcse-tune`."""
    return Path(os.environ.get("NLCSE_CACHE") or Path.home() / ".cache" / "nlcse-tune")
