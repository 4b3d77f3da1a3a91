"""Every file name that a run, a search or a report creates."""

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


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
        """The run's TestRecord: written by `seeds`, `evaluate` or `reproduce`, never by a search."""
        return self.study / "tests" / f"{self.run_id}.json"

    @property
    def similarities(self) -> Path:
        """Cosine of every test pair, compressed, beside the TestRecord."""
        return self.study / "tests" / f"{self.run_id}.npz"

    @property
    def folder(self) -> Path:
        return self.study / "checkpoints" / self.run_id

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
        return self.folder / "best"

    @property
    def last(self) -> Path:
        """The restart point: model, optimizers, schedules, scaler, position."""
        return self.folder / "last.pt"


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
        return self.folder / "search.json"

    def set_aside(self) -> Path | None:
        """Moves the study's folder out of the way; returns where it lies now, None where there was none."""
        if not self.folder.exists():
            return None
        target = self.root / ".former" / f"{self.study}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        target.parent.mkdir(exist_ok=True)
        return self.folder.rename(target)

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
    def report(self) -> Path:
        """Tables and figures of `nlcse-tune report`."""
        return self.folder / "report"

    def run(self, run_id: str) -> RunPaths:
        return RunPaths(self.folder, run_id)


def cache_folder() -> Path:
    """Where derived data (token ids) is kept between runs: `$NLCSE_CACHE`, else `~/.cache/nlcse-tune`."""
    return Path(os.environ.get("NLCSE_CACHE") or Path.home() / ".cache" / "nlcse-tune")
