"""A search: many runs of one study under Ray Tune, judged on dev scores alone.

The records under the study's folder are the truth: a point that has one is never trained again, and what the
sampler knows is rebuilt from them.
"""

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from nlcse_tune.config import RunConfig, digest, flatten
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError
from nlcse_tune.files import write_json
from nlcse_tune.launch.cluster import Resources, concurrency, fit, ray_cluster
from nlcse_tune.launch.sampler import Method, Sampler
from nlcse_tune.launch.worker import RunSpec, run_in_trial, run_on_workers
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, ledger, run_id
from nlcse_tune.space import Point
from nlcse_tune.study import Study

# After the environment is set: cluster.py imports ray first.
import ray  # noqa: I001
from ray import tune
from ray.tune.search import Searcher

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
        if same_base and record.seed == plan.seed and study.space.contains(point) and record.run_id == plan.run_id(point):
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
            _run_trials(plan, method, resources, side_by_side, on_run)
    result = SearchResult(
        study.name, _ranked(plan), trained=len(plan.done) - before, seconds=time.perf_counter() - clock
    )
    if not result.candidates or result.best.record.best_dev is None:
        errors = sorted({record.error or record.status for record in plan.done.values()})
        raise RunError(f"{study.name}: no run of the search finished: {'; '.join(errors) or 'none was started'}")
    _write_choice(plan, result)
    return result


def _run_trials(
    plan: Plan,
    method: Method | None,
    resources: Resources,
    side_by_side: int,
    on_run: Callable[[Candidate, int, int], None],
) -> None:
    assert plan.study.space is not None
    size = plan.study.space.grid_size
    chosen: Method = method or ("grid" if size is not None and plan.trials >= size else "tpe")
    own = plan.study.own_point
    sampler = Sampler(plan.study.space, chosen, plan.seed, own, flatten(plan.study.config))
    for record in plan.done.values():
        sampler.learn(plan.point_of(record), record.best_dev if record.status == "completed" else None)
    searcher = LedgerSearcher(plan, sampler, on_run)
    trainable = tune.with_parameters(_trial, resources=resources)
    own_request = {"cpu": 0.01} if resources.workers > 1 else {"cpu": resources.cpus, "gpu": resources.gpus}
    results = tune.Tuner(
        tune.with_resources(trainable, own_request),
        tune_config=tune.TuneConfig(
            metric="dev",
            mode="max",
            search_alg=searcher,
            num_samples=-1,  # until the searcher says that it is finished
            max_concurrent_trials=side_by_side,
            # A fresh process costs 11 s a trial, mostly imports; a reused one 4 s (PITFALLS, "Ray").
            reuse_actors=resources.workers == 1,
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:12],
            storage_path=str(plan.paths.ray.resolve()),
            verbose=0,
            failure_config=tune.FailureConfig(fail_fast=True),
        ),
    ).fit()
    _raise_first(results)


def _trial(config: dict[str, Any], resources: Resources) -> None:
    """One Ray Tune trial: one run, in this process or on workers of its own."""
    spec = RunSpec(**config["spec"])
    try:
        if resources.workers == 1:
            run_in_trial(spec, resources.cpus, tune.report)
        else:
            from ray.tune.integration.ray_train import TuneReportCallback

            run_on_workers(spec, resources, tune.get_context().get_trial_id(), [TuneReportCallback()])
    except (ConfigError, DataError):
        raise  # what people wrote or have on disk: every other run would fail alike
    except NlcseError as error:
        _write_failure(spec, error)
        tune.report({"dev": float("nan"), "step": 0})


def _write_failure(spec: RunSpec, error: NlcseError) -> None:
    from nlcse_tune.records import now, versions, write_record
    from nlcse_tune.run import device_name

    config = RunConfig.model_validate(spec.config)
    record = RunRecord(
        run_id=spec.run_id, study=spec.study, seed=spec.seed, config=config, status="failed", error=str(error),
        data=fingerprints(config), versions=versions(device_name("cpu")), finished=now(),
    )  # fmt: skip
    write_record(record, spec.paths)


class LedgerSearcher(Searcher):  # type: ignore[misc]
    """Hands the sampler's points to Tune and their records back."""

    def __init__(self, plan: Plan, sampler: Sampler, on_run: Callable[[Candidate, int, int], None]) -> None:
        super().__init__(metric="dev", mode="max")
        self.plan, self.sampler, self.on_run = plan, sampler, on_run
        self.running: dict[str, Point] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if len(self.plan.done) + len(self.running) >= self.plan.trials:
            # Not before all have ended: a failed trial may leave room for another.
            return None if self.running else Searcher.FINISHED
        point = self.sampler.ask()
        if point is None:
            return Searcher.FINISHED
        self.running[trial_id] = point
        return {"spec": asdict(self.plan.spec(point))}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        from nlcse_tune.records import read_record

        point = self.running.pop(trial_id, None)
        if point is None:
            return
        path = self.plan.paths.run(self.plan.run_id(point)).record
        if not path.is_file():
            self.sampler.tell(point, None)
            return
        record = read_record(path)
        self.plan.done[record.run_id] = record
        self.sampler.tell(point, record.best_dev, stopped=record.status == "stopped")
        self.on_run(Candidate(point, record), len(self.plan.done), self.plan.trials)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher now and then; this one is rebuilt from the records instead."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records are what a search continues from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


def _raise_first(results: tune.ResultGrid) -> None:
    """The first error of a trial, as what it was in the trial's process."""
    for error in results.errors:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, NlcseError):
                raise cause
            cause = getattr(cause, "cause", None) or cause.__cause__
        raise RunError(f"a trial ended in an error: {error}") from error


def _ranked(plan: Plan) -> tuple[Candidate, ...]:
    candidates = [Candidate(plan.point_of(record), record) for record in plan.done.values()]
    worst = float("-inf")
    return tuple(
        sorted(candidates, key=lambda c: (-(c.record.best_dev if c.record.best_dev is not None else worst), c.record.run_id))
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


def shut_down() -> None:
    """Stops a Ray that this process started."""
    ray.shutdown()
