"""What is to be run, in values that travel between processes. Imports neither Ray nor torch."""

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nlcse_tune import storage
from nlcse_tune.config import Frozen, RunConfig
from nlcse_tune.errors import plural
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.plugins import with_packages
from nlcse_tune.records import run_id

LONGEST = 150  # bytes of a folder's name that is made of a run's title; Ray adds to it


class RunSpec(Frozen):
    """What a launcher needs to know of a run."""

    folder: Path  # the study's, absolute: a worker has a working folder of its own
    store: str | None = None  # address of the store above it, of which each machine has a mirror of its own
    run_id: str
    seed: int
    config: RunConfig
    profile: bool = False  # its leading worker traces a few steps; no part of its name
    label: str = ""  # for people, in a dashboard or a list: what is tried, and the seed

    @property
    def title(self) -> str:
        """The run, for people."""
        return self.label or f"{self.folder.name} seed {self.seed}"

    @property
    def folder_name(self) -> str:
        """`title` as the name of a folder."""
        plain = re.sub(r"[^\w .,=+()-]", "_", self.title)
        return plain.encode()[:LONGEST].decode(errors="ignore").strip(". ")

    @property
    def study(self) -> StudyPaths:
        root = self.folder.parent if self.store is None else storage.folder_of(self.store)
        return StudyPaths(root, self.folder.name)

    @property
    def paths(self) -> RunPaths:
        return self.study.run(self.run_id)


def run_spec(paths: StudyPaths, config: RunConfig, seed: int, data: Mapping[str, str]) -> RunSpec:
    """The run of `config` at `seed` on inputs with the fingerprints `data`, in the study's folder."""
    folder, store = paths.folder.resolve(), storage.address_of(paths.folder)
    name, label = run_id(config, seed, with_packages(data, config.sides)), f"{paths.study} seed {seed}"
    return RunSpec(folder=folder, store=store, run_id=name, seed=seed, config=config, label=label)


@dataclass(frozen=True)
class Resources:
    """What one run asks for."""

    workers: int = 1
    cpus: float = 1.0  # a worker
    gpus: float = 0.0  # a worker

    def concurrent(self, nodes: Sequence[tuple[float, float]]) -> int:
        """How many runs fit at a time into nodes of so many CPUs and GPUs each; a worker needs one node's."""
        asked = [[(cpus, self.cpus), (gpus, self.gpus)] for cpus, gpus in nodes]
        # 1 / 0.1 may come out below 10.
        fitting = [min(math.floor(has / each + 1e-6) for has, each in node if each) for node in asked]
        return sum(fitting) // self.workers

    def __str__(self) -> str:
        gpus = f" and {plural(self.workers * self.gpus, 'GPU')}" if self.gpus else ""
        many = f" ({self.workers} workers)" if self.workers > 1 else ""
        return f"{plural(self.workers * self.cpus, 'CPU')}{gpus}{many}"


@dataclass(frozen=True)
class Needs:
    """What runs of a call need on whichever node they are: their studies' folders, and the inputs of `configs`."""

    studies: tuple[StudyPaths, ...] = ()
    configs: tuple[RunConfig, ...] = ()
    tests: bool = False  # the test sets, too

    @cached_property
    def store(self) -> str | None:
        """Address of the store that the studies are in, as where the call is made: it travels with what is asked."""
        return storage.address_of(self.studies[0].folder) if self.studies else None


@dataclass(frozen=True)
class Launch:
    """How runs are launched: what each asks for, how many at a time, and on which cluster."""

    workers: int = 1
    cpus_per_worker: float | None = None
    gpus_per_worker: float | None = None
    concurrent: int | None = None
    address: str | None = None

    @property
    def here(self) -> bool:
        """Whether its runs will be on this machine, and not on a cluster that is up already."""
        return not (self.address or os.environ.get("RAY_ADDRESS"))
