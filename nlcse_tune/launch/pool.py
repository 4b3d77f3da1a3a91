"""Many runs under Ray Tune: a source says what to run next and is handed each record.

A search and a seed study are two sources over one machinery. The driver alone decides: it writes the record of a run
that is stopped early, since only it knows why.
"""

import logging
import time
import traceback
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError, StorageError, verbose
from nlcse_tune.files import write_text
from nlcse_tune.launch.cluster import fit, start  # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import Launch, Resources, RunSpec
from nlcse_tune.launch.worker import reporting, run_here, run_on_workers
from nlcse_tune.records import Opening, RunRecord, now
from nlcse_tune.records.ledger import is_whole, keep_record, kept_record
from nlcse_tune.run import device_name, is_tested, score_run
from nlcse_tune.versions import versions

import ray  # isort: skip
from ray import tune  # isort: skip
from ray.exceptions import RayError  # isort: skip
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError  # isort: skip
from ray.tune.search import Searcher  # isort: skip

WATCHER_BYTES = 2**20
OUT_OF_MEMORY = (MemoryError, torch.OutOfMemoryError)  # beside other runs, or others' processes: worth another try
ERRORS: tuple[type[NlcseError], ...] = (StorageError, ConfigError, DataError, RunError)
RETRIES = 3  # fresh starts of a run whose process died; it goes on from its restart point
# Tune prints a trial's traceback as well as raising it; it lies in the trial's error.txt, and we print its last line.
logging.getLogger("ray.tune").setLevel(logging.INFO if verbose() else logging.CRITICAL)


class RunSource(ABC):
    """What to run, one after the other."""

    @abstractmethod
    def next(self) -> RunSpec | None:
        """The next run; None when there is none left, now or (while runs are under way) ever."""

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        """A run got a dev score: why it should stop here, None to let it go on."""
        return None

    @abstractmethod
    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        """A run ended; without a record if its process died once too often, or time was up before its end."""


class ListedRuns(RunSource):
    """A list of runs; reports each as it ends."""

    def __init__(self, specs: Sequence[RunSpec], on_run: Callable[[RunSpec, RunRecord | None, int, int], None]) -> None:
        self.left, self.total, self.on_run = list(specs), len(specs), on_run
        self.ended = 0

    def next(self) -> RunSpec | None:
        return self.left.pop(0) if self.left else None

    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        self.ended += 1
        self.on_run(spec, record, self.ended, self.total)


@dataclass(frozen=True)
class Pool:
    """A cluster with room for `at_a_time` runs."""

    resources: Resources
    at_a_time: int
    dashboard: str | None

    def run(self, source: RunSource, storage: Path, *, then_test: bool = False, seconds: float | None = None) -> None:
        """Runs all that `source` gives; `then_test` scores each best checkpoint on the test sets.

        After `seconds` everything stops; what was under way has no record and can go on from its restart point. A run
        whose process dies (a node, preemption, out of memory) is started again up to three times. What would befall
        every other run alike, a wrong configuration, missing data, a full disk or a bug, ends it all and is raised.
        """
        driver = _Driver(source, seconds)
        try:
            self._tuner(driver, storage, then_test).fit()
        except NlcseError:
            raise
        except Exception as error:
            with driver.guarding():  # a folder that cannot be written Tune meets in many ways of its own
                write_text(storage / ".probe", "x" * 4096)
                (storage / ".probe").unlink()
            if driver.refusal is None:
                raise
            raise driver.refusal from error
        if driver.refusal is not None:
            raise driver.refusal

    def _tuner(self, driver: "_Driver", storage: Path, then_test: bool) -> tune.Tuner:
        opening = Opening.by_this_command("seeds") if then_test else None
        trainable = tune.with_parameters(trial, resources=self.resources, opening=opening)
        many = self.resources.workers > 1
        # A trial that only watches its workers asks for no CPU at all: with 0.01 of one, two workers on a machine of
        # two CPUs never start (LOG.md). A request must not be empty, so it is a little memory.
        watcher: dict[str, float] = {"memory": WATCHER_BYTES}
        request = watcher if many else {"CPU": self.resources.cpus, "GPU": self.resources.gpus}
        tuning = tune.TuneConfig(
            metric="dev",
            mode="max",
            search_alg=driver,
            num_samples=-1,  # until the source has no more
            max_concurrent_trials=self.at_a_time,
            reuse_actors=not many,  # a fresh process costs 11 s a trial, mostly imports; a reused one 4 s (docs/ray.md)
        )
        running = tune.RunConfig(
            name=uuid.uuid4().hex[:12],
            storage_path=str(storage.resolve()),
            verbose=0,
            stop=driver,
            failure_config=tune.FailureConfig(max_failures=RETRIES),
        )
        placed = tune.with_resources(trainable, tune.PlacementGroupFactory([request]))
        return tune.Tuner(placed, tune_config=tuning, run_config=running)


@contextmanager
def open_pool(launch: Launch) -> Iterator[Pool]:
    """Joins the cluster, or starts one and stops it at the end; RunError where not even one run fits on it.

    A Ray that this process already runs in is used and left running.
    """
    if started := not ray.is_initialized():
        start(launch.address)
    try:
        url = ray._private.worker.get_dashboard_url()  # type: ignore[no-untyped-call]
        yield Pool(*fit(launch), f"http://{url}" if url else None)
    finally:
        if started:
            ray.shutdown()


class _Driver(Searcher, tune.Stopper):
    """A RunSource in the shape that Tune asks for; ends all when time is up, or a run met what all others would."""

    def __init__(self, source: RunSource, seconds: float | None) -> None:
        super().__init__(metric="dev", mode="max")
        self.source = source
        self.deadline = time.monotonic() + seconds if seconds is not None else None
        self.refusal: NlcseError | None = None
        self.running: dict[str, RunSpec] = {}

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Around what a source does: raised inside Tune's loop, its error would pass for a trial's and be retried."""
        try:
            yield
        except NlcseError as error:
            self.refusal = self.refusal or error

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        spec = None
        with self.guarding():
            spec = self.source.next()
        if spec is None:
            return None if self.running and self.refusal is None else str(Searcher.FINISHED)
        self.running[trial_id] = spec
        return {"spec": spec.model_dump(mode="json")}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if (spec := self.running.pop(trial_id, None)) is not None:
            with self.guarding():
                self.source.done(spec, kept_record(spec.paths))

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Asks the source about each dev score; whether the run ends here."""
        self.refusal = result.get("refusal") or self.refusal
        spec, why = self.running.get(trial_id), None
        if spec is None or "record" not in result or self.refusal is not None:
            return False
        record = RunRecord.model_validate_json(result["record"])
        with self.guarding():
            why = self.source.judge(spec, record) if record.status == "running" else None
            if why is not None:
                stopped = {"status": "stopped", "events": (*record.events, why), "finished": now()}
                keep_record(record.model_copy(update=stopped), spec.paths)
        return why is not None

    def stop_all(self) -> bool:
        return self.refusal is not None or (self.deadline is not None and time.monotonic() > self.deadline)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it now and then, and never reads that: the records are what a search continues from

    def save(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""


def trial(config: dict[str, Any], resources: Resources, opening: Opening | None) -> None:
    """One Ray Tune trial: one run, in this process or on workers of its own; tested where there is an `opening`."""
    spec = RunSpec.model_validate(config["spec"])
    try:
        record = _run(spec, resources, opening)
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
    paths, asked = spec.paths, spec.config.eval
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
        return run_here(spec, reporting(tune.report), resources.cpus)
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
    tune.report({"dev": float("nan"), "step": 0, "refusal": error})


def _keep_traceback(spec: RunSpec) -> str:
    """Writes the traceback of the error being handled; returns where it is."""
    try:
        write_text(spec.paths.error, traceback.format_exc())
        return f"the traceback is in {spec.paths.error}"
    except StorageError:
        return "its traceback could not be written"


def _write_failure(spec: RunSpec, error: NlcseError) -> None:
    """A run that failed by its own doing (a loss that is no number) leaves a record too: it is a result."""
    record = RunRecord(
        run_id=spec.run_id, study=spec.study.study, seed=spec.seed, config=spec.config, status="failed",
        error=str(error), data=fingerprints(spec.config), versions=versions(device_name("cpu")), finished=now(),
    )  # fmt: skip
    keep_record(record, spec.paths)
