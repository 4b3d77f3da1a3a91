"""A search made concrete: its points, what is on record of them, what was under way. Imports neither Ray nor torch."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlcse_tune.config import RunConfig, digest, flatten, override, validate
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError
from nlcse_tune.files import write_json
from nlcse_tune.launch.spec import RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, RunRecord, ledger, read_choice, run_id
from nlcse_tune.space import Point, SearchSpace
from nlcse_tune.study import Study

# Defaults of a search, from `benchmarks/search.py`: they find better points than the whole grid at half its cost.
DEFAULT_TRIALS = 30  # where the space has no end and nobody says
LARGE_GRID = 18  # points from which on two thirds of a grid are tried
_ORDER = {"completed": 0, "stopped": 1, "failed": 2}


@dataclass(frozen=True)
class Candidate:
    """One searched point and its run: dev only, as all that a search sees."""

    point: Point
    record: RunRecord


@dataclass
class SearchState:
    """Where a search is, from which base, how many runs, which are on record and which were under way."""

    study: Study
    paths: StudyPaths
    seed: int
    data: dict[str, str]
    trials: int
    done: dict[str, RunRecord] = field(default_factory=dict)
    under_way: list[Point] = field(default_factory=list)

    @property
    def space(self) -> SearchSpace:
        assert self.study.space is not None
        return self.study.space

    def config(self, point: Mapping[str, Any]) -> RunConfig:
        return self.study.configure(point)

    def run_id(self, point: Mapping[str, Any], seed: int | None = None) -> str:
        return run_id(self.config(point), self.seed if seed is None else seed, self.data)

    def spec(self, point: Point, seed: int | None = None) -> RunSpec:
        return run_spec(self.paths, self.config(point), self.seed if seed is None else seed, self.data)

    def point_of(self, config: RunConfig) -> Point:
        """The searched fields' values in a configuration."""
        flat = flatten(config)
        return self.space.active({name: flat[name] for name in self.space.fields if name in flat}, flat)

    def begin(self, spec: RunSpec) -> None:
        """Notes on disk that a run is under way, so that a later search goes on with it first."""
        write_json(spec.paths.begun, {"config": spec.config, "seed": spec.seed})

    def candidates(self) -> tuple[Candidate, ...]:
        """What is on record, best first: finished runs, then stopped ones, then failed ones."""
        worst = float("-inf")

        def rank(candidate: Candidate) -> tuple[int, float, str]:
            record = candidate.record
            return _ORDER[record.status], -(worst if record.best_dev is None else record.best_dev), record.run_id

        return tuple(sorted((Candidate(self.point_of(r.config), r) for r in self.done.values()), key=rank))


class View:
    """Whoever watches a search; this one looks away."""

    def set_aside(self, folder: Path) -> None:
        """Earlier runs were moved there."""

    def started(self, plan: "SearchState", dashboard: str | None, concurrent: int) -> None:
        """Ray is up: the plan, the dashboard's address, the runs side by side."""

    def finished(self, candidate: Candidate, done: int, trials: int) -> None:
        """A run has its record."""

    def round(self, seed: int, runs: int) -> None:
        """The best few are about to be repeated with another seed."""

    def again(self, spec: RunSpec) -> None:
        """The winner's checkpoint is gone, so its run is trained once more."""

    def repeated(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        """A repetition ended."""


def load_state(study: Study, paths: StudyPaths, trials: int | None, *, fresh: bool = False) -> SearchState:
    """Checks that the study can be searched and its data are there, and (unless `fresh`) reads what was run before."""
    if study.space is None:
        raise ConfigError(f"{study.name}: has no search space; add `space:` to the study or pass --space")
    plan = SearchState(study, paths, study.search_seed, fingerprints(study.config), budget(study, trials))
    for point in plan.space.points(flatten(study.config)) if study.grid_size else ():
        plan.config(point)  # values that do not go together are an error now, not after hours
    if fresh:
        return plan
    base = digest(study.config, plan.data, without=study.space.fields)
    for record in ledger(paths):
        if record.seed == plan.seed and record.data == plan.data and _belongs(plan, base, record.run_id, record.config):
            plan.done[record.run_id] = record
    plan.under_way = [point for point in _begun(plan, base) if plan.run_id(point) not in plan.done]
    return plan


def last_choice(plan: SearchState) -> Choice | None:
    """The choice on disk, where it is of this very search; None otherwise."""
    choice = read_choice(plan.paths)
    return choice if choice is not None and choice.run_id in plan.done else None


def repetitions(plan: SearchState, choice: Choice) -> list[RunRecord]:
    """Runs of the search's best few with the further seeds that it chose by."""
    searched = {record.key for record in plan.done.values()}
    again = (r for r in ledger(plan.paths) if r.seed in choice.dev_by_seed and r.seed != plan.seed)
    return [record for record in again if record.key in searched]


def budget(study: Study, trials: int | None) -> int:
    """How many points a search tries: as asked, else as the study says, else the space (of a large one two thirds)."""
    size = study.grid_size
    suits = DEFAULT_TRIALS if size is None else size if size < LARGE_GRID else math.ceil(size * 2 / 3)
    wanted = trials or study.trials or suits
    return min(wanted, size or wanted)


def prior(plan: SearchState, paths: StudyPaths) -> list[tuple[Point, float]]:
    """Another search's points that lie in this plan's space, with their scores (the mean over seeds).

    Runs whose other fields or data differ are on another level; the largest group that shares them is taken.
    ConfigError where there is no such point.
    """
    groups: dict[str, dict[str, tuple[Point, list[float]]]] = {}
    for record in ledger(paths):
        flat = flatten(record.config)
        if record.status != "completed" or record.best_dev is None or not set(plan.space.fields) <= set(flat):
            continue
        point = plan.point_of(record.config)
        if plan.space.contains(point):
            base = digest(record.config, record.data, without=plan.space.fields)
            groups.setdefault(base, {}).setdefault(repr(point), (point, []))[1].append(record.best_dev)
    if not groups:
        raise ConfigError(f"--from {paths.folder}: no finished run there is in the space {plan.space.name}")
    known = max(groups.values(), key=len)
    return [(point, sum(values) / len(values)) for point, values in known.values()]


def complete_point(plan: SearchState, values: Mapping[str, Any]) -> Point:
    """A point to try, its missing fields taken from the study; ConfigError where the space does not have it."""
    for name in values:
        if name not in plan.space.fields:
            raise ConfigError(f"--try: {name} is not searched by {plan.space.name}: {', '.join(plan.space.fields)} are")
    flat = flatten(override(plan.study.config, values, where="--try"))
    point = plan.space.active({name: flat[name] for name in plan.space.fields}, flat)
    if not plan.space.contains(point):
        wrong = {name: value for name, value in point.items() if not plan.space.parameters[name].contains(value)}
        raise ConfigError(f"--try: {wrong} is not in the space {plan.space.name}; add it there or choose another value")
    return point


def _belongs(plan: SearchState, base: str, name: str, config: RunConfig) -> bool:
    if digest(config, plan.data, without=plan.space.fields) != base:
        return False
    point = plan.point_of(config)
    return plan.space.contains(point) and name == plan.run_id(point)


def _begun(plan: SearchState, base: str) -> list[Point]:
    """Points of this plan that a search began, oldest first."""
    found = []
    for path in sorted(plan.paths.folder.glob("checkpoints/*/run.json"), key=lambda path: path.stat().st_mtime):
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            config, seed = validate(RunConfig, raw["config"], where=str(path)), raw["seed"]
        except (OSError, ValueError, KeyError, ConfigError):  # of another version, or cut short: not worth an error
            continue
        if seed == plan.seed and _belongs(plan, base, path.parent.name, config):
            found.append(plan.point_of(config))
    return found
