"""A search made concrete: its points, what is on record of them, what was under way. Imports neither Ray nor torch."""

import math
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import digest, override, plain, searchable
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.check import check_inputs
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.precision import expected
from nlcse_tune.launch.preflight import check_precision, check_store
from nlcse_tune.launch.spec import Launch, RunSpec, run_spec
from nlcse_tune.names import SamplerName, SchedulerName
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import BegunRun, Choice, RunRecord
from nlcse_tune.records.ledger import ledger
from nlcse_tune.records.progress import Numbers
from nlcse_tune.space import Point, SearchSpace, spoken
from nlcse_tune.study import Study

# Defaults of a search, from `benchmarks/search.py`: they find better points than the whole grid at half its cost.
DEFAULT_TRIALS = 30  # where the space has no end and nobody says
LARGE_GRID = 18  # points from which on two thirds of a grid are tried
# From so many points on, hopeless runs are stopped and the best few repeated unless said otherwise: of fewer, a third
# is nothing to choose from.
MANY = 9
SEEDS = 3


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


class Candidate(NamedTuple):
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
    left_out: list[str] = field(default_factory=list)  # files in place of records that are none, and why

    @property
    def space(self) -> SearchSpace:
        assert self.study.space is not None
        return self.study.space

    def spec(self, point: Point, seed: int | None = None) -> RunSpec:
        """The run of a point; `seed` is the search's own unless said otherwise."""
        return run_spec(self.paths, self.study.configure(point), self.seed if seed is None else seed, self.data)

    def point_of(self, config: RunConfig) -> Point:
        """The searched fields' values in a configuration."""
        flat = searchable(config)
        return self.space.active(flat, flat)

    def begin(self, spec: RunSpec) -> RunSpec:
        """Notes on disk that a run is under way, so that a later search goes on with it first; returns it, labelled.

        Its number is that of its configuration, whatever the seed, and stays the same over restarts.
        """
        configuration = spec.run_id.rpartition("-s")[0]
        earlier = [record.configuration for record in self.done.values()]
        number = Numbers.give(self.paths.numbers, configuration, earlier)
        tried = spoken(self.point_of(spec.config))
        spec = spec.model_copy(update={"label": f"{self.paths.study} {number:03d} {tried} seed {spec.seed}"})
        BegunRun(config=spec.config, seed=spec.seed, label=spec.label).write(spec.paths.begun)
        return spec

    def belongs(self, name: str, config: RunConfig) -> bool:
        """Whether a run is one that this search could make: of a point of its space, under its seed and the rest."""
        point = self.point_of(config)
        if not self.space.contains(point) or name != self.spec(point).run_id:
            return False  # nor are packages looked for that it names
        return name == run_spec(self.paths, config, self.seed, self.data).run_id

    def candidates(self) -> tuple[Candidate, ...]:
        """What is on record, best first: finished runs, then stopped ones, then failed ones."""
        group = ("completed", "stopped", "failed").index
        lowest, done = -math.inf, self.done
        keys = [(group(r.status), -(lowest if r.best_dev is None else r.best_dev), name) for name, r in done.items()]
        ranked = [done[name] for *_, name in sorted(keys)]
        return tuple(Candidate(self.point_of(record.config), record) for record in ranked)


class View(Watcher):
    """Whoever watches a search; this one looks away."""

    def note(self, text: str) -> None:
        """Something that the search does by itself."""

    def started(self, state: SearchState, dashboard: str | None, at_a_time: int) -> None:
        """Ray is up: the search, the dashboard's address, the runs at a time."""

    def finished(self, candidate: Candidate, done: int, trials: int) -> None:
        """A run has its record."""

    def repeated(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        """A repetition ended."""


def remarks(study: Study) -> list[str]:
    """What a search of this study does that its user may not expect, a line each."""
    assert study.space is not None
    lines, fields, optimizers = [], study.space.fields, study.config.train.optimizers
    if not study.space.contains(study.own_point):
        own = " ".join(f"{field}={value}" for field, value in study.own_point.items())
        lines.append(f"the study's own point is not in the space {study.space.name} and is not tried: {own}")
    if "train.optimizers" not in fields:
        if "side.weight" in map(plain, fields) and optimizers == "two":
            lines.append("side.weight (omega) is searched and nearly inert under two AdamWs (train.optimizers)")
        if "side.learning_rate" in map(plain, fields) and optimizers == "one":
            lines.append("side.learning_rate is searched and plays no part under train.optimizers=one")
    return lines


def load_state(study: Study, paths: StudyPaths, trials: int | None, *, fresh: bool = False) -> SearchState:
    """Checks that the study can be searched and its data are there, and (unless `fresh`) reads what was run before."""
    space = space_of(study)
    for point in space.points(searchable(study.config)) if study.grid_size else ():
        study.configure(point)  # values that do not go together are an error now, not after hours
    state = SearchState(study, paths, study.search_seed, fingerprints(study.config), budget(study, trials))
    if not fresh:
        kept = ledger(paths)
        state.done = {r.run_id: r for r in kept.runs if state.belongs(r.run_id, r.config)}
        state.left_out = kept.left_out
        state.under_way = _under_way(state)
    return state


def space_of(study: Study) -> SearchSpace:
    """The study's space; ConfigError where it has none."""
    if study.space is None:
        raise ConfigError(f"{study.name}: has no search space; add `space:` to the study or pass --space")
    return study.space


def check_call(
    study: Study,
    paths: StudyPaths,
    options: SearchOptions,
    launch: Launch = Launch(),  # noqa: B008
) -> None:
    """Raises what can be found wrong with a search before Ray and torch are imported, which takes ten times as long.

    What the call itself says comes before what the data say, which may be slow to read, or missing.
    """
    check_sampler(study, options)
    check_store(paths)
    for values in options.tries:
        complete_point(study, values)
    study = expected(study, paths, fresh=options.fresh)
    searched = space_of(study).parameters.get("train.precision")
    precisions = [study.config.train.precision] if searched is None else searched.listed() or ()
    check_precision(precisions, paths, here=launch.here)
    state = load_state(study, paths, options.trials, fresh=options.fresh)
    if options.prior is not None:
        prior(state, options.prior)
    grid = state.space.points(searchable(study.config)) if study.grid_size else ()
    check_inputs([study.config, *map(study.configure, grid)])


def check_sampler(study: Study, options: SearchOptions) -> None:
    """ConfigError where every point of a space without end is asked for."""
    if options.method == "grid" and study.grid_size is None:
        name = space_of(study).name
        raise ConfigError(f"--sampler grid: {name} has infinitely many points, or too many to list; use tpe")


def last_choice(state: SearchState) -> Choice | None:
    """The choice on disk, where it is of this very search; None otherwise."""
    choice = Choice.read(state.paths.search)
    return choice if choice is not None and choice.run_id in state.done else None


def repetitions(state: SearchState, seeds: Collection[int]) -> list[RunRecord]:
    """Runs of the search's configurations at further seeds, of those in `seeds`."""
    searched = {record.key for record in state.done.values()}
    further = {*seeds} - {state.seed}
    return [record for record in ledger(state.paths).runs if record.seed in further and record.key in searched]


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
    for record in ledger(paths).runs:
        flat = searchable(record.config)
        if record.status != "completed" or record.best_dev is None or not set(state.space.fields) <= set(flat):
            continue
        point = state.point_of(record.config)
        if state.space.contains(point):
            data = {name: value for name, value in record.data.items() if name not in state.space.fields}
            base = digest(record.config, data, without=state.space.fields)
            groups.setdefault(base, {}).setdefault(repr(point), (point, []))[1].append(record.best_dev)
    if not groups:
        raise ConfigError(f"--from {paths.folder}: no finished run there is in the space {state.space.name}")
    known = max(groups.values(), key=len)
    return [(point, sum(values) / len(values)) for point, values in known.values()]


def complete_point(study: Study, values: Mapping[str, Any]) -> Point:
    """A point to try, its missing fields taken from the study; ConfigError where the space does not have it."""
    space = space_of(study)
    if stray := [name for name in values if name not in space.fields]:
        raise ConfigError(f"--try: {stray[0]} is not searched by {space.name}: {', '.join(space.fields)} are")
    flat = searchable(override(study.config, values, where="--try"))
    point = space.active(flat, flat)
    if not space.contains(point):
        wrong = {name: value for name, value in point.items() if not space.parameters[name].contains(value)}
        raise ConfigError(f"--try: {wrong} is not in the space {space.name}; add it there or choose another value")
    return point


def _under_way(state: SearchState) -> list[Point]:
    """Points of this search that were begun and have no record, oldest first."""
    begun = [run for run in state.paths.checkpoints() if run.begun.is_file() and run.run_id not in state.done]
    points = []
    for run in sorted(begun, key=lambda run: run.begun.stat().st_mtime):
        with suppress(DataError):  # of another version, or cut short: not worth an error
            noted = BegunRun.read(run.begun)
            if noted is not None and state.belongs(run.run_id, noted.config):
                points.append(state.point_of(noted.config))
    return points
