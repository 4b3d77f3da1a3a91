"""A search made concrete: its points, what is on record of them, what was under way. Imports neither Ray nor torch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nlcse_tune.config import RunConfig, digest, flatten, override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.launch.spec import RunSpec, run_spec
from nlcse_tune.names import SamplerName, SchedulerName
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import BegunRun, Choice, RunRecord, ledger, run_id
from nlcse_tune.space import Point, SearchSpace
from nlcse_tune.study import Study

# Defaults of a search, from `benchmarks/search.py`: they find better points than the whole grid at half its cost.
DEFAULT_TRIALS = 30  # where the space has no end and nobody says
LARGE_GRID = 18  # points from which on two thirds of a grid are tried
# From so many points on, hopeless runs are stopped and the best few repeated unless said otherwise: of fewer, a third
# is nothing to choose from.
MANY = 9
SEEDS = 3
_ORDER = {"completed": 0, "stopped": 1, "failed": 2}


@dataclass(frozen=True)
class SearchOptions:
    """How to search; None means the default that suits the study."""

    trials: int | None = None
    method: SamplerName | None = None
    scheduler: SchedulerName | None = None
    grace: float = 0.25  # no run is stopped before this share of it
    select_seeds: int | None = None
    tries: tuple[dict[str, Any], ...] = ()
    prior: StudyPaths | None = None
    seconds: float | None = None
    keep: int = 3  # finished runs whose checkpoints stay
    fresh: bool = False

    def seeds_for(self, points: int) -> int:
        """Over how many seeds the winner of so many points is chosen."""
        return self.select_seeds or (SEEDS if points >= MANY else 1)

    def scheduler_for(self, points: int) -> SchedulerName:
        """The rule of early stopping for so many points."""
        return self.scheduler or ("asha" if points >= MANY else "none")

    def on_equal_terms(self, method: Study) -> "SearchOptions":
        """With the method's own defaults in place: a smaller space would suggest others to its baseline."""
        points = budget(method, self.trials)
        scheduler, seeds = self.scheduler_for(points), self.seeds_for(points)
        return replace(self, trials=points, scheduler=scheduler, select_seeds=seeds)

    def of_baseline(self) -> "SearchOptions":
        """For the baseline's search: the method's points and prior mean nothing there; of the time it gets half."""
        return replace(self, tries=(), prior=None, seconds=None if self.seconds is None else self.seconds / 2)

    def after(self, spent: float) -> "SearchOptions":
        """With so many seconds less to go."""
        return replace(self, seconds=None if self.seconds is None else max(0.0, self.seconds - spent))


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
        BegunRun(config=spec.config, seed=spec.seed).write(spec.paths.begun)

    def belongs(self, name: str, config: RunConfig, seed: int) -> bool:
        """Whether a run is one that this search could make: of a point of its space, under its seed and the rest."""
        point = self.point_of(config)
        named = seed == self.seed and name == run_id(config, seed, self.data)
        return named and self.space.contains(point) and name == self.run_id(point)

    def candidates(self) -> tuple[Candidate, ...]:
        """What is on record, best first: finished runs, then stopped ones, then failed ones."""

        def rank(record: RunRecord) -> tuple[int, float, str]:
            return _ORDER[record.status], math.inf if record.best_dev is None else -record.best_dev, record.run_id

        return tuple(Candidate(self.point_of(r.config), r) for r in sorted(self.done.values(), key=rank))


class View:
    """Whoever watches a search; this one looks away."""

    def set_aside(self, folder: Path) -> None:
        """Earlier runs were moved there."""

    def started(self, state: "SearchState", dashboard: str | None, concurrent: int) -> None:
        """Ray is up: the search, the dashboard's address, the runs at a time."""

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
    state = SearchState(study, paths, study.search_seed, fingerprints(study.config), budget(study, trials))
    for point in state.space.points(flatten(study.config)) if study.grid_size else ():
        state.config(point)  # values that do not go together are an error now, not after hours
    if fresh:
        return state
    for record in ledger(paths):
        if record.data == state.data and state.belongs(record.run_id, record.config, record.seed):
            state.done[record.run_id] = record
    state.under_way = [point for point in _begun(state) if state.run_id(point) not in state.done]
    return state


def check_call(study: Study, paths: StudyPaths, options: SearchOptions) -> None:
    """Raises what can be found wrong with a search before Ray and torch are imported, which takes ten times as long."""
    state = load_state(study, paths, options.trials, fresh=options.fresh)
    for point in options.tries:
        complete_point(state, point)
    if options.prior is not None:
        prior(state, options.prior)


def last_choice(state: SearchState) -> Choice | None:
    """The choice on disk, where it is of this very search; None otherwise."""
    choice = Choice.read(state.paths.search)
    return choice if choice is not None and choice.run_id in state.done else None


def repetitions(state: SearchState, choice: Choice) -> list[RunRecord]:
    """Runs of the search's best few with the further seeds that it chose by."""
    searched = {record.key for record in state.done.values()}
    again = (r for r in ledger(state.paths) if r.seed in choice.dev_by_seed and r.seed != state.seed)
    return [record for record in again if record.key in searched]


def budget(study: Study, trials: int | None) -> int:
    """How many points a search tries: as asked, else as the study says, else the space (of a large one two thirds)."""
    size = study.grid_size
    suits = DEFAULT_TRIALS if size is None else size if size < LARGE_GRID else math.ceil(size * 2 / 3)
    wanted = trials or study.trials or suits
    return min(wanted, size or wanted)


def prior(state: SearchState, paths: StudyPaths) -> list[tuple[Point, float]]:
    """Another search's points that lie in this state's space, with their scores (the mean over seeds).

    Runs whose other fields or data differ are on another level; the largest group that shares them is taken.
    ConfigError where there is no such point.
    """
    groups: dict[str, dict[str, tuple[Point, list[float]]]] = {}
    for record in ledger(paths):
        flat = flatten(record.config)
        if record.status != "completed" or record.best_dev is None or not set(state.space.fields) <= set(flat):
            continue
        point = state.point_of(record.config)
        if state.space.contains(point):
            base = digest(record.config, record.data, without=state.space.fields)
            groups.setdefault(base, {}).setdefault(repr(point), (point, []))[1].append(record.best_dev)
    if not groups:
        raise ConfigError(f"--from {paths.folder}: no finished run there is in the space {state.space.name}")
    known = max(groups.values(), key=len)
    return [(point, sum(values) / len(values)) for point, values in known.values()]


def complete_point(state: SearchState, values: Mapping[str, Any]) -> Point:
    """A point to try, its missing fields taken from the study; ConfigError where the space does not have it."""
    for name in values:
        if name not in state.space.fields:
            raise ConfigError(
                f"--try: {name} is not searched by {state.space.name}: {', '.join(state.space.fields)} are"
            )
    flat = flatten(override(state.study.config, values, where="--try"))
    point = state.space.active({name: flat[name] for name in state.space.fields}, flat)
    if not state.space.contains(point):
        wrong = {name: value for name, value in point.items() if not state.space.parameters[name].contains(value)}
        raise ConfigError(
            f"--try: {wrong} is not in the space {state.space.name}; add it there or choose another value"
        )
    return point


def _begun(state: SearchState) -> list[Point]:
    """Points of this search that were begun, oldest first."""
    begun = []
    for paths in state.paths.checkpoints():
        try:
            run = BegunRun.read(paths.begun)
        except DataError:  # of another version, or cut short: not worth an error
            continue
        if run is not None and state.belongs(paths.run_id, run.config, run.seed):
            begun.append((paths.begun.stat().st_mtime, state.point_of(run.config)))
    return [point for _, point in sorted(begun, key=lambda item: item[0])]
