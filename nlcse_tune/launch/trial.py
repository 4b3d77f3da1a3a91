"""One Ray Tune trial, in its own process: a run, and what its end means to the driver. Pool.run starts it."""

import traceback

import torch

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError, StorageError
from nlcse_tune.evaluation.tested import is_tested
from nlcse_tune.files import fetch, named, released, write_text
from nlcse_tune.launch.metrics import shown
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.launch.travel import at_hand, check_node
from nlcse_tune.launch.worker import reporting, run_here, run_on_workers
from nlcse_tune.records import Opening, RunRecord, now
from nlcse_tune.records.ledger import is_whole, keep_record, kept_record
from nlcse_tune.run import device_name, score_run
from nlcse_tune.versions import versions

from ray import tune  # isort: skip
from ray.exceptions import RayError  # isort: skip
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError  # isort: skip

OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)  # beside other runs, or others' processes: worth another try
ERRORS: tuple[type[NlcseError], ...] = (StorageError, ConfigError, DataError, RunError)


def run_trial(spec: RunSpec, resources: Resources, opening: Opening | None) -> None:
    """One run, in this process or on workers of its own; tested where there is an `opening`."""
    try:
        check_node(spec)
        record = _run(spec, resources, opening)
        released(spec.paths.folder)
        if record.status == "stopped":
            # What Tune raised in its report goes on to where it belongs: a function that returns instead is reported
            # as done once more, waits for an answer for ever, and its process is lost to the next run.
            raise SystemExit(0)
        tune.report({"dev": record.best_dev, "step": record.steps})
    except (StorageError, ConfigError, DataError) as error:
        _refuse(error)
    except NlcseError as error:
        try:
            _write_failure(spec, error)
            tune.report({"dev": float("nan"), "step": 0})
        except StorageError as full:
            _refuse(full)
    except (RayError, TrainingFailedError, *OUT_OF_MEMORY):
        _keep_traceback(spec)  # for whoever looks for the reason
        raise  # Tune starts the run again
    except Exception as error:
        _refuse(RunError(f"a run ended in an error: {type(error).__name__}: {error}; {_keep_traceback(spec)}"))


def _run(spec: RunSpec, resources: Resources, opening: Opening | None) -> RunRecord:
    paths, asked = spec.paths, at_hand(spec.config).eval
    fetch(paths.record, paths.test, paths.similarities, mine=True)
    earlier = kept_record(paths)
    tested = opening is not None and is_tested(paths, asked)
    if earlier and (earlier.status == "failed" or tested or is_whole(earlier, paths)):
        record = earlier
    else:
        record = _train(spec, resources)
    if opening is not None and not tested and record.status == "completed":
        score_run(record, paths, asked, opening)
    return record


def _train(spec: RunSpec, resources: Resources) -> RunRecord:
    if resources.workers == 1:
        with shown(spec) as show:
            return run_here(spec, reporting(tune.report), resources.cpus, show)
    from ray.tune.integration.ray_train import TuneReportCallback

    try:
        return run_on_workers(spec, resources, [TuneReportCallback()])  # type: ignore[no-untyped-call]
    except WorkerGroupError as error:
        raise _as_ours(error) from error


def _as_ours(error: WorkerGroupError) -> BaseException:
    """A worker's error as it was raised there, dug out of Train's wrappers; as it is where a process died."""
    for failure in error.worker_failures.values():
        cause: BaseException | None = getattr(failure, "_base_exc", None)  # of Train's UserExceptionWithTraceback
        while cause is not None and not isinstance(cause, (NlcseError, *OUT_OF_MEMORY)):
            cause = getattr(cause, "cause", None) or cause.__cause__
        if isinstance(cause, OUT_OF_MEMORY):
            return error
        if cause is not None:
            return next(kind for kind in ERRORS if isinstance(cause, kind))(*cause.args[:1])
        if hasattr(failure, "_base_exc"):
            return Exception(f"in a worker: {failure}")  # a bug
    return error


def _refuse(error: NlcseError) -> None:
    """Tells the driver to end everything. Raised from here, it would only be tried again."""
    tune.report({"dev": float("nan"), "step": 0, "refusal": type(error)(named(str(error)))})


def _keep_traceback(spec: RunSpec) -> str:
    """Writes the traceback of the error being handled; returns where it is."""
    try:
        write_text(spec.paths.error, traceback.format_exc())
        return named(f"the traceback is in {spec.paths.error}")
    except StorageError:
        return "its traceback could not be written"


def _write_failure(spec: RunSpec, error: NlcseError) -> None:
    """A run that failed by its own doing (a loss that is no number) leaves a record too: it is a result."""
    data = fingerprints(at_hand(spec.config))
    record = RunRecord(
        run_id=spec.run_id, study=spec.study.study, seed=spec.seed, config=spec.config, status="failed",
        error=named(str(error)), data=data, versions=versions(device_name("cpu")), finished=now(),
    )  # fmt: skip
    keep_record(record, spec.paths)
