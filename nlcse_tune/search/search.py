"""A search: many runs of one study under Ray Tune, judged on dev scores alone.

The records under the study's folder are the truth: a point that has one is never trained again, and what the
sampler and the early-stopping rule know is rebuilt from them. A run that was under way when a search ended goes on
first, from its restart point.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from nlcse_tune.config import flatten
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.files import locked
from nlcse_tune.launch.cluster import Resources, concurrency, fit, ray_cluster
from nlcse_tune.launch.pool import ListedRuns, RunSource, run_trials
from nlcse_tune.launch.spec import Launch, RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, RunRecord, read_record, write_choice
from nlcse_tune.search.disk import KEEP, check_space, clear_checkpoints
from nlcse_tune.search.early_stopping import GRACE, Curve, Scheduler, curve_of, make_rule
from nlcse_tune.search.journal import Journal
from nlcse_tune.search.sampler import Method, Sampler
from nlcse_tune.search.selection import FIRST, Standing, repeat
from nlcse_tune.search.state import Candidate, SearchState, View, complete_point, load_state, prior
from nlcse_tune.space import Point
from nlcse_tune.study import Study

# From so many points on, hopeless runs are stopped and the best few repeated unless said otherwise: of fewer, a third
# is nothing to choose from.
MANY = 9
SEEDS = 3


@dataclass(frozen=True)
class SearchOptions:
    """How to search; None means the default that suits the study."""

    trials: int | None = None
    method: Method | None = None
    scheduler: Scheduler | None = None
    grace: float = GRACE
    select_seeds: int | None = None
    tries: tuple[dict[str, Any], ...] = ()
    prior: StudyPaths | None = None
    seconds: float | None = None
    keep: int = KEEP
    fresh: bool = False


@dataclass(frozen=True)
class SearchResult:
    """What a search found: candidates best first (finished, stopped, failed), and the winner among them."""

    study: str
    candidates: tuple[Candidate, ...]
    best: Candidate
    trained: int  # runs of this call
    missing: int  # runs that it wanted and has no record of: time was up, or their process died
    unrepeated: bool  # the best few were to be repeated, and it did not come to that, or not to its end
    seconds: float = 0.0
    exhausted: bool = False  # the space has no further point
    standings: tuple[tuple[Candidate, Standing], ...] = ()  # those repeated with further seeds, best first


def search(
    study: Study,
    paths: StudyPaths,
    options: SearchOptions = SearchOptions(),
    launch: Launch = Launch(),  # noqa: B008
    view: View = View(),  # noqa: B008
) -> SearchResult:
    """Searches `study` until `options.trials` of its points have a record, and ranks them.

    Raises RunError where another process works on the same folder, or no run finished.
    """
    clock = time.perf_counter()
    with locked(paths.lock, str(paths.folder)), ExitStack() as stack:
        if options.fresh and (aside := paths.set_aside()) is not None:
            view.set_aside(aside)
        plan = load_state(study, paths, options.trials)
        before, seeds = len(plan.done), seeds_of(plan.trials, options)
        sampler = _sampler(plan, options)

        @cache
        def start() -> tuple[Resources, int]:
            """Starts Ray, once there is something to run."""
            dashboard = stack.enter_context(ray_cluster(launch.address))
            resources = fit(launch)
            side_by_side = concurrency(resources, launch.concurrent)
            check_space(plan, side_by_side, options.keep, seeds)
            view.started(plan, dashboard, side_by_side)
            return resources, side_by_side

        def run(source: RunSource) -> None:
            left = None if options.seconds is None else max(0.0, options.seconds - (time.perf_counter() - clock))
            run_trials(source, *start(), plan.paths.ray, seconds=left)

        dry = False  # the sampler had no further point, be the space infinite in name
        if before < plan.trials:
            source = SearchRuns(plan, sampler, options, view)
            run(source)
            if dry := source.exhausted:
                plan.trials = len(plan.done) + len(source.running) + source.lost  # the space has no more
        standings = _repeat(plan, seeds, run, view) if len(plan.done) >= plan.trials else None
        result = _result(plan, standings, before, exhausted=dry or len(plan.done) == study.grid_size)
        _write_choice(plan, result)
        best = result.best.record.run_id
        # While the best few are still to be repeated any of them can win, and would be missed.
        clear_checkpoints(plan, max(options.keep, FIRST) if result.unrepeated else options.keep, winner=best)
        if not plan.paths.run(best).best.exists():  # cleared by a search that had another winner
            again = plan.spec(result.best.point)
            plan.begin(again)
            view.again(again)
            run(ListedRuns([again], view.repeated))
        return replace(result, seconds=time.perf_counter() - clock)


def seeds_of(points: int, options: SearchOptions) -> int:
    """Over how many seeds the winner of so many points is chosen."""
    return options.select_seeds or (SEEDS if points >= MANY else 1)


def scheduler_of(points: int, options: SearchOptions) -> Scheduler:
    """The rule of early stopping for so many points."""
    return options.scheduler or ("asha" if points >= MANY else "none")


def _sampler(plan: SearchState, options: SearchOptions) -> Sampler:
    """A sampler that knows what the records know, and what to try first."""
    size = plan.study.grid_size
    if options.method == "grid" and size is None:
        raise ConfigError(f"--sampler grid: {plan.space.name} has infinitely many points, or too many to list; use tpe")
    chosen: Method = options.method or ("grid" if size is not None and plan.trials >= size else "tpe")
    sampler = Sampler(plan.space, chosen, plan.seed, plan.study.own_point, flatten(plan.study.config))
    for record in plan.done.values():  # in the order in which they ended, as a search under way learns of them
        stopped_at = record.steps / (record.total_steps or record.steps) if record.status == "stopped" else None
        score = record.best_dev if record.status != "failed" else None
        sampler.learn(plan.point_of(record.config), score, stopped_at=stopped_at)
    sampler.first([*plan.under_way, *(complete_point(plan, values) for values in options.tries)])
    if options.prior is not None:
        sampler.prior(prior(plan, options.prior))
    return sampler


class SearchRuns(RunSource):
    """The sampler's points as runs, until the plan has as many records as it wants or the space is exhausted."""

    def __init__(self, plan: SearchState, sampler: Sampler, options: SearchOptions, view: View) -> None:
        self.plan, self.sampler, self.view = plan, sampler, view
        self.keep = max(options.keep, FIRST if seeds_of(plan.trials, options) > 1 else 1)
        self.rule = make_rule(scheduler_of(plan.trials, options), options.grace)
        self.journal = Journal(plan)
        self.curves: dict[str, Curve] = {name: curve_of(record) for name, record in plan.done.items()}
        self.running: dict[str, Point] = {}
        self.lost = 0
        self.exhausted = False  # the sampler had no further point

    def next(self) -> RunSpec | None:
        if len(self.plan.done) + len(self.running) + self.lost >= self.plan.trials:
            return None
        if (point := self.sampler.ask()) is None:
            self.exhausted = True
            return None
        spec = self.plan.spec(point)
        self.plan.begin(spec)
        self.journal.begin(spec.run_id, point)
        self.running[spec.run_id] = point
        return spec

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        self.journal.update(record)
        before, curve = self.curves.get(spec.run_id, ()), curve_of(record)
        if len(curve) <= len(before):  # a run that began again brings its old scores once more
            return None
        self.curves[spec.run_id] = curve
        if self.rule is None:
            return None
        return self.rule.judge(curve, [other for name, other in self.curves.items() if name != spec.run_id])

    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        point = self.running.pop(spec.run_id)
        if record is not None:
            self.journal.update(record)
            self.curves[record.run_id] = curve_of(record)
        self.journal.end(spec.run_id, record)
        if record is None:
            self.lost += 1
            self.sampler.tell(point, None)
            return
        self.plan.done[record.run_id] = record
        stopped_at = self.curves[record.run_id][-1][0] if record.status == "stopped" else None
        self.sampler.tell(point, record.best_dev, stopped_at=stopped_at)
        clear_checkpoints(self.plan, self.keep)
        self.view.finished(Candidate(point, record), len(self.plan.done), self.plan.trials)


def _repeat(
    plan: SearchState, seeds: int, launch: Callable[[RunSource], None], view: View
) -> dict[str, Standing] | None:
    """Repeats the best few configurations with further seeds; standings by run id of the search's own seed.

    None where a repetition is missing: a mean that lacks it would favour whoever has it.
    """
    if seeds < 2:
        return {}
    points = {c.record.run_id: c.point for c in plan.candidates() if c.record.status == "completed"}

    def run(ids: Sequence[str], i: int) -> dict[str, float]:
        specs = {name: plan.spec(points[name], plan.seed + i) for name in ids}
        missing = [spec for spec in specs.values() if not spec.paths.record.is_file()]
        if missing:
            for spec in missing:
                plan.begin(spec)
            view.round(plan.seed + i, len(missing))
            launch(ListedRuns(missing, view.repeated))
            clear_checkpoints(plan, len(plan.done), repeats=missing)
        records = {name: record for name, spec in specs.items() if (record := read_record(spec.paths)) is not None}
        if len(records) < len(specs):
            raise _Incomplete
        return {name: r.best_dev for name, r in records.items() if r.status == "completed" and r.best_dev is not None}

    first = {name: dev for name in points if (dev := plan.done[name].best_dev) is not None}
    try:
        return repeat(first, seeds, run)
    except _Incomplete:
        return None


class _Incomplete(Exception):
    """A repetition has no record: time was up, or its process died."""


def _result(plan: SearchState, standings: dict[str, Standing] | None, before: int, *, exhausted: bool) -> SearchResult:
    candidates = plan.candidates()
    if not candidates or candidates[0].record.status != "completed":
        errors = sorted({c.record.error or c.record.status for c in candidates})
        why = "; ".join(errors) or "time was up, or their processes died; the same command goes on with them"
        raise RunError(f"{plan.study.name}: no run of the search has finished: {why}")
    by_id = {candidate.record.run_id: candidate for candidate in candidates}
    ranked = tuple((by_id[name], standing) for name, standing in (standings or {}).items())
    return SearchResult(
        plan.study.name, candidates, best=ranked[0][0] if ranked else candidates[0],
        trained=len(plan.done) - before, missing=max(0, plan.trials - len(plan.done)),
        unrepeated=standings is None, exhausted=exhausted, standings=ranked,
    )  # fmt: skip


def _write_choice(plan: SearchState, result: SearchResult) -> None:
    best = result.best
    scores = result.standings[0][1].scores if result.standings else (best.record.best_dev,)
    choice = Choice(
        study=plan.study.name,
        run_id=best.record.run_id,
        point=best.point,
        dev=best.record.best_dev,
        dev_by_seed={plan.seed + i: score for i, score in enumerate(scores) if score is not None},
        config=best.record.config,
        data=best.record.data,
        seed=plan.seed,
        searched=len(result.candidates),
        checkpoint=str(plan.paths.run(best.record.run_id).best.relative_to(plan.paths.folder)),
    )
    write_choice(choice, plan.paths)
