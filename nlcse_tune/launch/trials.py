"""Many runs under Ray Tune: a source says what to run next and is handed each record.

A search and a seed study are two sources over one machinery.
"""

import logging
import uuid
from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nlcse_tune.config import RunConfig
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError
from nlcse_tune.launch.cluster import Resources  # sets Ray's environment before ray is imported
from nlcse_tune.launch.worker import RunSpec, run_in_trial, run_on_workers
from nlcse_tune.records import RunRecord, now, read_record, versions, write_record
from nlcse_tune.run import device_name, test_one

from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip

WATCHER_BYTES = 2**20
# Tune prints a trial's traceback as well as raising it; it lies in the trial's error.txt, and we print its last line.
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


class Source(ABC):
    """What to run, one after the other."""

    @abstractmethod
    def next(self) -> RunSpec | None:
        """The next run; None when there is none left, now or (while runs are under way) ever."""

    @abstractmethod
    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        """A run ended; without a record if its process died."""


def run_trials(
    source: Source, resources: Resources, side_by_side: int, storage: Path, *, then_test: bool = False
) -> None:
    """Runs all that `source` gives, `side_by_side` at a time; `then_test` scores each best checkpoint on the test sets.

    Raises ConfigError or DataError of a trial as such: every other trial would fail alike.
    """
    trainable = tune.with_parameters(_trial, resources=resources, then_test=then_test)
    many = resources.workers > 1
    # A trial that only watches its workers asks for no CPU at all: with 0.01 of one, two workers on a machine of two
    # CPUs never start (LOG.md, 2026-11-21). A request must not be empty, so it is a little memory.
    request: dict[str, float] = {"memory": WATCHER_BYTES} if many else {"CPU": resources.cpus, "GPU": resources.gpus}
    results = tune.Tuner(
        tune.with_resources(trainable, tune.PlacementGroupFactory([request])),
        tune_config=tune.TuneConfig(
            metric="dev",
            mode="max",
            search_alg=_SourceSearcher(source),
            num_samples=-1,  # until the source has no more
            max_concurrent_trials=side_by_side,
            # A fresh process costs 11 s a trial, mostly imports; a reused one 4 s (PITFALLS, "Ray").
            reuse_actors=not many,
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex[:12],
            storage_path=str(storage.resolve()),
            verbose=0,
            failure_config=tune.FailureConfig(fail_fast=True),
        ),
    ).fit()
    for error in results.errors:
        raise _as_ours(error)


def _trial(config: dict[str, Any], resources: Resources, then_test: bool) -> None:
    """One Ray Tune trial: one run, in this process or on workers of its own."""
    spec = RunSpec(**config["spec"])
    try:
        if spec.paths.record.is_file():  # trained earlier, to be tested only
            record = read_record(spec.paths.record)
        elif resources.workers == 1:
            record = run_in_trial(spec, resources.cpus, tune.report)
        else:
            from ray.tune.integration.ray_train import TuneReportCallback

            record = run_on_workers(spec, resources, tune.get_context().get_trial_id(), [TuneReportCallback()])  # type: ignore[no-untyped-call]
        if then_test and record.status == "completed" and not spec.paths.test.is_file():
            test_one(record, spec.paths)
        tune.report({"dev": record.best_dev, "step": record.steps})
    except (ConfigError, DataError):
        raise
    except NlcseError as error:
        _write_failure(spec, error)
        tune.report({"dev": float("nan"), "step": 0})


def _write_failure(spec: RunSpec, error: NlcseError) -> None:
    """A run that failed by its own doing (a loss that is no number) leaves a record too: it is a result."""
    config = RunConfig.model_validate(spec.config)
    record = RunRecord(
        run_id=spec.run_id, study=spec.study, seed=spec.seed, config=config, status="failed", error=str(error),
        data=fingerprints(config), versions=versions(device_name("cpu")), finished=now(),
    )  # fmt: skip
    write_record(record, spec.paths)


class _SourceSearcher(Searcher):
    """A Source in the shape that Tune asks for."""

    def __init__(self, source: Source) -> None:
        super().__init__(metric="dev", mode="max")
        self.source = source
        self.running: dict[str, RunSpec] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        spec = self.source.next()
        if spec is None:
            return None if self.running else str(Searcher.FINISHED)
        self.running[trial_id] = spec
        return {"spec": asdict(spec)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if (spec := self.running.pop(trial_id, None)) is not None:
            path = spec.paths.record
            self.source.done(spec, read_record(path) if path.is_file() else None)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher now and then; ours is rebuilt from the records instead."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the records are what a search continues from."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


def _as_ours(error: BaseException) -> NlcseError:
    """A trial's error as it was raised there, dug out of Ray's wrappers."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, NlcseError):
            kind = next(k for k in (ConfigError, DataError, RunError, NlcseError) if isinstance(cause, k))
            return kind(*cause.args[:1]) if type(cause) is not kind else cause
        cause = getattr(cause, "cause", None) or cause.__cause__
    last = str(error).strip().splitlines()[-1]
    return RunError(f"a trial ended in an error: {last}; its traceback is in error.txt under the study's ray folder")
