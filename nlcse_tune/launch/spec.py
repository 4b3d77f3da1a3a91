"""What is to be run, in plain values that travel between processes. Imports neither Ray nor torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcse_tune.paths import RunPaths


@dataclass(frozen=True)
class RunSpec:
    """What a launcher needs to know of a run."""

    study: str
    study_folder: str
    run_id: str
    seed: int
    config: dict[str, Any]

    @property
    def paths(self) -> RunPaths:
        return RunPaths(Path(self.study_folder), self.run_id)


@dataclass(frozen=True)
class Launch:
    """How runs are launched: what each asks for, how many side by side, and on which cluster."""

    workers: int = 1
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    concurrent: int | None = None
    address: str | None = None
