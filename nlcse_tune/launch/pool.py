"""Many runs under Ray Tune: a source says what to run next and is handed each record.

A search and a seed study are two sources over one machinery. The driver alone decides: it writes the record of a run
that is stopped early, since only it knows why.
"""

import logging
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlcse_tune.errors import NlcseError
from nlcse_tune.files import write_text
from nlcse_tune.launch.cluster import fit, ray_cluster  # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import Launch, Resources, RunSpec
from nlcse_tune.launch.trial import trial
from nlcse_tune.records import RunRecord, now

from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip

WATCHER_BYTES = 2**20
RETRIES = 3  # fresh starts of a run whose process died; it goes on from its restart point
# Tune prints a trial's traceback as well as raising it; it lies in the trial's error.txt, and we print its last line.
logging.getLogger("ray.tune").setLevel(logging.CRITICAL)


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
        trainable = tune.with_parameters(trial, resources=self.resources, then_test=then_test)
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
    """Joins or starts the cluster; RunError where not even one run fits on it."""
    with ray_cluster(launch.address) as dashboard:
        yield Pool(*fit(launch), dashboard)


class _Driver(Searcher, tune.Stopper):
    """A RunSource in the shape that Tune asks for, and whether all should end.

    That is when time is up, or a run met what all others would meet.
    """

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
                self.source.done(spec, RunRecord.read(spec.paths.record))

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
                record.model_copy(update=stopped).write(spec.paths.record)
        return why is not None

    def stop_all(self) -> bool:
        return self.refusal is not None or (self.deadline is not None and time.monotonic() > self.deadline)

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it now and then, and never reads that: the records are what a search continues from

    def save(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""
