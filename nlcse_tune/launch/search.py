"""A search: many runs of one study under Ray Tune, judged on dev scores alone.

The records under the study's folder are the truth: a point that has one is never trained again, and what the
sampler knows is rebuilt from them.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nlcse_tune.config import RunConfig, digest, flatten
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.files import write_json
from nlcse_tune.launch.cluster import concurrency, fit, ray_cluster
from nlcse_tune.launch.sampler import Method, Sampler
from nlcse_tune.launch.trials import Source, run_trials
from nlcse_tune.launch.worker import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, ledger, run_id
from nlcse_tune.space import Point
from nlcse_tune.study import Study

DEFAULT_TRIALS = 30  # where the space has no end and nobody says


@dataclass(frozen=True)
class Candidate:
    """One searched point and its run: dev only, as all that a search sees."""

    point: Point
    record: RunRecord


@dataclass(frozen=True)
class SearchResult:
    """What a search found: candidates best first, then those that failed."""

    study: str
    candidates: tuple[Candidate, ...]
    trained: int  # runs of this call
    seconds: float

    @property
    def best(self) -> Candidate:
        return self.candidates[0]


@dataclass
class Plan:
    """A search made concrete: where, from which base, how many runs, which are done."""

    study: Study
    paths: StudyPaths
    seed: int
    data: dict[str, str]
    trials: int
    done: dict[str, RunRecord] = field(default_factory=dict)

    def config(self, point: Mapping[str, Any]) -> RunConfig:
        return self.study.configure(point)

    def run_id(self, point: Mapping[str, Any]) -> str:
        return run_id(self.config(point), self.seed, self.data)

    def spec(self, point: Point) -> RunSpec:
        return RunSpec(
            study=self.study.name,
            study_folder=str(self.paths.folder.resolve()),
            run_id=self.run_id(point),
            seed=self.seed,
            config=self.config(point).model_dump(mode="json"),
        )

    def point_of(self, record: RunRecord) -> Point:
        """The searched fields' values in a record."""
        assert self.study.space is not None
        flat = flatten(record.config)
        return self.study.space.active({name: flat[name] for name in self.study.space.fields}, flat)


def make_plan(study: Study, paths: StudyPaths, trials: int | None) -> Plan:
    """Checks that the study can be searched and its data are there, and reads what was run before."""
    if study.space is None:
        raise ConfigError(f"{study.name}: has no search space; add `space:` to the study or pass --space")
    size = study.space.grid_size
    wanted = trials or study.trials or size or DEFAULT_TRIALS
    plan = Plan(study, paths, study.search_seed, fingerprints(study.config), min(wanted, size or wanted))
    base = digest(study.config, plan.data, without=study.space.fields)
    for record in ledger(paths):
        same_base = digest(record.config, record.data, without=study.space.fields) == base
        point = plan.point_of(record) if same_base else {}
        if (
            same_base
            and record.seed == plan.seed
            and study.space.contains(point)
            and record.run_id == plan.run_id(point)
        ):
            plan.done[record.run_id] = record
    return plan


def search(
    study: Study,
    paths: StudyPaths,
    *,
    trials: int | None = None,
    method: Method | None = None,
    workers: int = 1,
    cpus_per_worker: float | None = None,
    gpus_per_worker: float | None = None,
    concurrent: int | None = None,
    address: str | None = None,
    on_start: Callable[[Plan, str | None, int], None] = lambda plan, dashboard, concurrent: None,
    on_run: Callable[[Candidate, int, int], None] = lambda candidate, done, trials: None,
) -> SearchResult:
    """Searches `study` until `trials` of its points have a record, and ranks them.

    `on_start` is told the plan, the dashboard's address and the runs side by side; `on_run` each finished run.
    """
    clock = time.perf_counter()
    plan = make_plan(study, paths, trials)
    before = len(plan.done)
    if before < plan.trials:
        with ray_cluster(address) as dashboard:
            resources = fit(workers, cpus_per_worker, gpus_per_worker)
            side_by_side = concurrency(resources, concurrent)
            on_start(plan, dashboard, side_by_side)
            source = SearchSource(plan, _sampler(plan, method), on_run)
            run_trials(source, resources, side_by_side, plan.paths.ray)
    result = SearchResult(
        study.name, _ranked(plan), trained=len(plan.done) - before, seconds=time.perf_counter() - clock
    )
    if not result.candidates or result.best.record.best_dev is None:
        errors = sorted({record.error or record.status for record in plan.done.values()})
        raise RunError(f"{study.name}: no run of the search finished: {'; '.join(errors) or 'none was started'}")
    _write_choice(plan, result)
    return result


def _sampler(plan: Plan, method: Method | None) -> Sampler:
    """A sampler that knows what the records know."""
    assert plan.study.space is not None
    size = plan.study.space.grid_size
    chosen: Method = method or ("grid" if size is not None and plan.trials >= size else "tpe")
    sampler = Sampler(plan.study.space, chosen, plan.seed, plan.study.own_point, flatten(plan.study.config))
    for record in plan.done.values():
        sampler.learn(plan.point_of(record), record.best_dev if record.status == "completed" else None)
    return sampler


class SearchSource(Source):
    """The sampler's points as runs, until the plan has as many records as it wants or the space is exhausted."""

    def __init__(self, plan: Plan, sampler: Sampler, on_run: Callable[[Candidate, int, int], None]) -> None:
        self.plan, self.sampler, self.on_run = plan, sampler, on_run
        self.running: dict[str, Point] = {}

    def next(self) -> RunSpec | None:
        if len(self.plan.done) + len(self.running) >= self.plan.trials:
            return None
        if (point := self.sampler.ask()) is None:
            return None
        spec = self.plan.spec(point)
        self.running[spec.run_id] = point
        return spec

    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        point = self.running.pop(spec.run_id)
        if record is None:
            self.sampler.tell(point, None)
            return
        self.plan.done[record.run_id] = record
        self.sampler.tell(point, record.best_dev, stopped=record.status == "stopped")
        self.on_run(Candidate(point, record), len(self.plan.done), self.plan.trials)


def _ranked(plan: Plan) -> tuple[Candidate, ...]:
    candidates = [Candidate(plan.point_of(record), record) for record in plan.done.values()]
    worst = float("-inf")
    return tuple(
        sorted(
            candidates,
            key=lambda c: (-(c.record.best_dev if c.record.best_dev is not None else worst), c.record.run_id),
        )
    )


def _write_choice(plan: Plan, result: SearchResult) -> None:
    best = result.best
    write_json(
        plan.paths.search,
        {
            "study": plan.study.name,
            "run_id": best.record.run_id,
            "point": best.point,
            "dev": best.record.best_dev,
            "config": best.record.config.model_dump(mode="json"),
            "data": best.record.data,
            "seed": plan.seed,
            "searched": len(result.candidates),
            "checkpoint": str(plan.paths.run(best.record.run_id).best.relative_to(plan.paths.folder)),
        },
    )
