"""A search: many runs of one study under Ray Tune, judged on dev scores alone.

The records under the study's folder are the truth: a point that has one is never trained again, and what the
sampler and the early-stopping rule know is rebuilt from them. A run that was under way when a search ended goes on
first, from its restart point.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property

from nlcse_tune.config.fields import searchable
from nlcse_tune.errors import RunError
from nlcse_tune.files import locked, moved, stored
from nlcse_tune.launch.call import Calling
from nlcse_tune.launch.driver import ListedRuns, RunSource
from nlcse_tune.launch.events import Audience, Watcher, watched
from nlcse_tune.launch.pool import Pool, open_pool
from nlcse_tune.launch.precision import settle
from nlcse_tune.launch.spec import Launch, Needs, RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import is_whole, kept_record
from nlcse_tune.search.disk import check_space, clear, clear_checkpoints
from nlcse_tune.search.early_stopping import RULES, Curve, curve_of
from nlcse_tune.search.journal import Journal
from nlcse_tune.search.outcome import write_best, write_choice, write_trials
from nlcse_tune.search.sampler import Sampler
from nlcse_tune.search.selection import FIRST, Standing, repeat, rounds
from nlcse_tune.search.state import (
    Candidate,
    SearchOptions,
    SearchState,
    View,
    check_sampler,
    complete_point,
    load_state,
    prior,
    remarks,
)
from nlcse_tune.study import Study


@dataclass(frozen=True)
class SearchResult:
    """What a search came to: candidates best first (finished, stopped, failed), and the winner among them."""

    candidates: tuple[Candidate, ...]
    best: Candidate
    scores: tuple[float, ...]  # the winner's, by which it was chosen: the search's own seed first
    trained: int  # runs of this call
    missing: int  # runs that it wanted and has no record of: time was up, or their process died
    unrepeated: bool  # the best few were to be repeated, and it did not come to that, or not to its end
    seconds: float
    exhausted: bool  # the space has no further point
    standings: tuple[tuple[Candidate, Standing], ...]  # those repeated with further seeds, best first


def search(
    study: Study,
    paths: StudyPaths,
    options: SearchOptions = SearchOptions(),  # noqa: B008
    launch: Launch = Launch(),  # noqa: B008
    view: View = View(),  # noqa: B008
    watchers: Sequence[Watcher] = (),
) -> SearchResult:
    """Searches `study` until `options.trials` of its points have a record, and ranks them.

    Then the best few are repeated and the winner's checkpoint is kept. `watchers` are told what happens to runs.
    RunError where another process works on the same folder, or no run finished.
    """
    with locked(paths.lock, str(paths.folder)), ExitStack() as stack:
        if options.fresh and (aside := paths.set_aside()) is not None:
            moved(paths.folder, aside)
            view.note(f"{study.name}: earlier runs moved to {aside}; nothing was deleted")
        calling = stack.enter_context(Calling([paths], "search"))
        audience = stack.enter_context(watched([view, calling, *watchers], view.note, paths))
        study = settle(study, paths, launch, view.note)
        state = load_state(study, paths, options.trials)
        under_way = _Search(state, options, launch, view, calling, stack, audience)
        for line in (*remarks(study), *(f"not counted: {line}" for line in under_way.state.left_out)):
            view.note(f"  {line}")
        exhausted = under_way.try_points()
        standings = under_way.repeat_best()
        write_trials(under_way.state, under_way.seeds)
        result = under_way.ranked(standings, exhausted=exhausted)
        write_choice(under_way.state, result.best, result.scores)
        write_best(under_way.state, result.best, result.scores)
        stored(paths.journal)
        under_way.keep_checkpoints(result)
        if result.missing or result.unrepeated:
            calling.outcome = "ended before its last run (time was up, or processes died)"
        return replace(result, seconds=under_way.elapsed())


class _Search:
    """A search under way: what its steps share."""

    def __init__(
        self,
        state: SearchState,
        options: SearchOptions,
        launch: Launch,
        view: View,
        calling: Calling,
        stack: ExitStack,
        audience: Audience,
    ) -> None:
        self.state, self.options, self.launch, self.view, self.stack = state, options, launch, view, stack
        self.calling, self.audience = calling, audience
        self.clock, self.on_record = time.perf_counter(), len(state.done)
        self.seeds = options.seeds_for(state.trials)

    @cached_property
    def pool(self) -> Pool:
        """Ray, started once there is something to run."""
        needs = Needs((self.state.paths,), (self.state.study.config,))
        pool = self.stack.enter_context(open_pool(self.launch, self.audience, needs))
        self.calling.say(dashboard=pool.dashboard, address=self.launch.address)
        check_space(self.state, pool.at_a_time, self.options.keep, self.seeds)
        self.view.started(self.state, pool.dashboard, pool.at_a_time)
        return pool

    def run(self, source: RunSource, batches: Sequence[int]) -> None:
        """Runs all of `source`; so many runs are to end now, and in each later batch."""
        self.audience.expected(batches, self.pool.at_a_time)
        seconds = self.options.seconds
        left = None if seconds is None else max(0.0, seconds - self.elapsed())
        self.pool.run(source, self.state.paths.ray, seconds=left)

    def elapsed(self) -> float:
        return time.perf_counter() - self.clock

    def try_points(self) -> bool:
        """Runs points until the search has its number; whether the space has no more, be it infinite in name."""
        state = self.state
        if self.on_record < state.trials:
            source = SearchRuns(state, self.options, self.view)
            self.run(source, [source.left, *rounds(state.trials, self.seeds)])
            if source.exhausted:
                state.trials -= source.left
                return True
        return len(state.done) == state.study.grid_size

    def repeat_best(self) -> dict[str, Standing] | None:
        """Repeats the best few configurations with further seeds; standings by run id of the search's own seed.

        None where a point or a repetition is missing: a mean that lacks it would favour whoever has it.
        """
        state, lost = self.state, False
        if len(state.done) < state.trials:
            return None
        points = {c.record.run_id: c.point for c in state.candidates() if c.record.status == "completed"}

        def run(ids: Sequence[str], i: int) -> dict[str, float]:
            nonlocal lost
            specs = {name: state.spec(points[name], state.seed + i) for name in ids}
            if missing := [spec for spec in specs.values() if kept_record(spec.paths) is None]:
                self.view.note(f"  the best {len(missing)} so far again, with seed {state.seed + i}")
                self.run_again(missing, rounds(len(points), self.seeds)[i:])
                clear(spec.paths for spec in missing)
            records = {name: kept_record(spec.paths) for name, spec in specs.items()}
            lost = not all(records.values())
            finished = {name: r.best_dev for name, r in records.items() if r and r.status == "completed"}
            return {} if lost else {name: dev for name, dev in finished.items() if dev is not None}

        first = {name: dev for name in points if (dev := state.done[name].best_dev) is not None}
        standings = repeat(first, self.seeds, run) if self.seeds > 1 else {}
        return None if lost else standings

    def run_again(self, specs: Sequence[RunSpec], later: Sequence[int] = ()) -> None:
        self.run(ListedRuns([self.state.begin(spec) for spec in specs], self.view.repeated), [len(specs), *later])

    def ranked(self, standings: dict[str, Standing] | None, *, exhausted: bool) -> SearchResult:
        """The result; RunError where no run has finished."""
        state, candidates = self.state, self.state.candidates()
        if not candidates or candidates[0].record.status != "completed":
            errors = sorted({c.record.error or c.record.status for c in candidates})
            why = "; ".join(errors) or "time was up, or their processes died; the same command goes on with them"
            raise RunError(f"{state.study.name}: no run of the search has finished: {why}")
        by_id = {candidate.record.run_id: candidate for candidate in candidates}
        ranking = tuple((by_id[name], standing) for name, standing in (standings or {}).items())
        best = ranking[0][0] if ranking else candidates[0]
        return SearchResult(
            candidates, best, ranking[0][1].scores if ranking else (best.record.best_dev or 0.0,),
            trained=len(state.done) - self.on_record, missing=max(0, state.trials - len(state.done)),
            unrepeated=standings is None, seconds=self.elapsed(), exhausted=exhausted, standings=ranking,
        )  # fmt: skip

    def keep_checkpoints(self, result: SearchResult) -> None:
        """Clears what is not among the best; trains the winner again where an earlier search cleared its checkpoint."""
        best = result.best.record.run_id
        # While the best few are still to be repeated any of them can win, and would be missed.
        keep = max(self.options.keep, FIRST) if result.unrepeated else self.options.keep
        clear_checkpoints(self.state, keep, winner=best)
        if not is_whole(result.best.record, self.state.paths.run(best)):
            self.view.note("  the winner's checkpoint was cleared by an earlier search, or damaged: trained again")
            self.run_again([self.state.spec(result.best.point)])


def make_sampler(state: SearchState, options: SearchOptions) -> Sampler:
    """A sampler that knows what the records know, and what to try first."""
    check_sampler(state.study, options)
    size = state.study.grid_size
    method = options.method or ("grid" if size is not None and state.trials >= size else "tpe")
    tries = [complete_point(state.study, values) for values in options.tries]
    first = [*state.under_way, *tries, state.study.own_point]
    sampler = Sampler(state.space, method, state.seed, first, searchable(state.study.config))
    for record in state.done.values():  # in the order in which they ended, as a search under way learns of them
        _tell(sampler, Candidate(state.point_of(record.config), record))
    if options.prior is not None:
        sampler.prior(prior(state, options.prior))
    return sampler


def _tell(sampler: Sampler, candidate: Candidate) -> None:
    point, record = candidate
    score = record.best_dev if record.status != "failed" else None
    sampler.tell(point, score, stopped_at=record.share if record.status == "stopped" else None)


class SearchRuns(RunSource):
    """The sampler's points as runs, until there are as many records as wanted or the space is exhausted."""

    def __init__(self, state: SearchState, options: SearchOptions, view: View) -> None:
        self.state, self.view, self.sampler = state, view, make_sampler(state, options)
        self.keep = max(options.keep, FIRST if options.seeds_for(state.trials) > 1 else 1)
        self.rule, self.grace = RULES[options.scheduler_for(state.trials)], options.grace
        self.journal = Journal(state)
        self.curves: dict[str, Curve] = {name: curve_of(record) for name, record in state.done.items()}
        self.left = state.trials - len(state.done)  # to begin
        self.exhausted = False  # the sampler had no further point

    def next(self) -> RunSpec | None:
        if self.left <= 0:
            return None
        if (point := self.sampler.ask()) is None:
            self.exhausted = True
            return None
        self.left -= 1
        spec = self.state.begin(self.state.spec(point))
        self.journal.begin(spec.run_id, point)
        return spec

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        self.journal.update(record)
        before, curve = self.curves.get(spec.run_id, ()), curve_of(record)
        if len(curve) <= len(before):  # a run that began again brings its old scores once more
            return None
        self.curves[spec.run_id] = curve
        return self.rule(curve, [other for name, other in self.curves.items() if name != spec.run_id], self.grace)

    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        self.journal.end(spec.run_id, record)
        if record is None:
            return
        self.curves[record.run_id] = curve_of(record)
        self.state.done[record.run_id] = record
        candidate = Candidate(self.state.point_of(spec.config), record)
        _tell(self.sampler, candidate)
        clear_checkpoints(self.state, self.keep)
        self.view.finished(candidate, len(self.state.done), self.state.trials)
