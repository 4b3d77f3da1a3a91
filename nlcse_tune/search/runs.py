"""The runs of a search: what the sampler proposes, judged as they train, told to the sampler as they end."""

from nlcse_tune.config import flatten
from nlcse_tune.errors import ConfigError
from nlcse_tune.launch.pool import RunSource
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import RunRecord
from nlcse_tune.search.disk import clear_checkpoints
from nlcse_tune.search.early_stopping import RULES, Curve, curve_of
from nlcse_tune.search.journal import Journal
from nlcse_tune.search.sampler import Sampler
from nlcse_tune.search.selection import FIRST
from nlcse_tune.search.state import Candidate, SearchOptions, SearchState, View, complete_point, prior


def make_sampler(state: SearchState, options: SearchOptions) -> Sampler:
    """A sampler that knows what the records know, and what to try first."""
    size = state.study.grid_size
    if options.method == "grid" and size is None:
        raise ConfigError(
            f"--sampler grid: {state.space.name} has infinitely many points, or too many to list; use tpe"
        )
    method = options.method or ("grid" if size is not None and state.trials >= size else "tpe")
    tries = [complete_point(state, values) for values in options.tries]
    first = [*state.under_way, *tries, state.study.own_point]
    sampler = Sampler(state.space, method, state.seed, first, flatten(state.study.config))
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
        spec = self.state.spec(point)
        self.state.begin(spec)
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
