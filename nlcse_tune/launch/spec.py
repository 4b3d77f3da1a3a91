"""What is to be run, in plain values that travel between processes. Imports neither Ray nor torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcse_tune.config import RunConfig
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import run_id


@dataclass(frozen=True)
class RunSpec:
    """What a launcher needs to know of a run."""

    study: str
    study_folder: str
    run_id: str
    seed: int
    config: dict[str, Any]

    @property
    def study_paths(self) -> StudyPaths:
        folder = Path(self.study_folder)
        return StudyPaths(folder.parent, folder.name)

    @property
    def paths(self) -> RunPaths:
        return RunPaths(Path(self.study_folder), self.run_id)


def run_spec(paths: StudyPaths, config: RunConfig, seed: int, data: Mapping[str, str]) -> RunSpec:
    """The run of `config` at `seed` on inputs with the fingerprints `data`, in the study's folder."""
    return RunSpec(
        study=paths.study,
        study_folder=str(paths.folder.resolve()),
        run_id=run_id(config, seed, data),
        seed=seed,
        config=config.model_dump(mode="json"),
    )


@dataclass(frozen=True)
class Launch:
    """How runs are launched: what each asks for, how many at a time, and on which cluster."""

    workers: int = 1
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    concurrent: int | None = None
    address: str | None = None
