"""What is to be run, and who stands between it and Ray Tune."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from nlcse_tune.errors import NlcseError
from nlcse_tune.files import fetch, keepers
from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import
from nlcse_tune.launch.events import Audience
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import RunRecord, now
from nlcse_tune.records.ledger import keep_record, kept_record

import ray  # isort: skip
from ray import tune  # isort: skip
from ray.tune.search import Searcher  # isort: skip


SUSPECT = 90.0  # seconds after a run was lost in which the death of a node explains it
LAST_WORDS = 10.0  # seconds that a run's death may come before that of the Ray which caused it


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


class Placing(tune.Callback):
    """Tells the audience when Tune has found room for a run."""

    def __init__(self, driver: "Driver") -> None:
        self.driver = driver

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if (spec := self.driver.running.get(trial.trial_id)) is not None:
            self.driver.audience.placed(spec)


class RayDied(BaseException):
    """Our own Ray died. No Exception, since Tune would catch it and try to tidy up by means of the dead Ray."""


class NodeDeaths(tune.Callback):
    """A node that goes is not its runs' doing: it takes none of their fresh starts.

    Ray itself spares them only where a node said that it would go. Of one that is killed a run's error says no more
    than that its process cannot be reached; that the node is dead the head says half a minute later.
    """

    def __init__(self, dead: Callable[[], int] = lambda: _dead_nodes()) -> None:
        self.dead, self.known, self.looked = dead, dead(), 0.0
        self.suspects: list[tuple[float, Any]] = []  # trials that were started afresh of late, and when

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.suspects.append((time.monotonic(), trial))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        if not self.suspects or (now := time.monotonic()) < self.looked + 1:
            return
        self.looked, dead = now, self.dead()
        if dead > self.known:
            for _, trial in self.suspects:
                trial.run_metadata.num_failures = max(0, trial.run_metadata.num_failures - 1)
            self.suspects = []
        self.known = dead
        self.suspects = [suspect for suspect in self.suspects if now - suspect[0] < SUSPECT]


def _dead_nodes() -> int:
    return sum(not node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


class Driver(Searcher, tune.Stopper):
    """A RunSource in the shape that Tune asks for; ends all when time is up, or a run met what all others would.

    `again` are runs that the source gave before and that a Ray that died did not end. `room` is how many may be under
    way, asked anew each time: what is given and does not fit waits, and is the demand that an autoscaler sees.
    """

    def __init__(
        self,
        source: RunSource,
        deadline: float | None,
        died: Callable[[], str | None] = lambda: None,
        again: Sequence[RunSpec] = (),
        audience: Audience | None = None,
        room: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        super().__init__(metric="dev", mode="max")
        self.source, self.deadline, self.died, self.again = source, deadline, died, list(again)
        self.audience, self.room = audience or Audience(), room
        self.refusal: NlcseError | None = None
        self.running: dict[str, RunSpec] = {}
        self.stopped: set[str] = set()  # trials that were told so
        self.seen: set[tuple[str, int]] = set()  # runs, each with how many dev scores; -1: it ended

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """Around what a source does: raised inside Tune's loop, its error would pass for a trial's and be retried."""
        try:
            yield
        except NlcseError as error:
            self.refusal = self.refusal or error

    def look(self, seconds: float = 0.0) -> None:
        """RayDied where Ray is dead, or dies within `seconds`: what Tune says of trials means nothing any more."""
        until = time.monotonic() + seconds
        while (part := self.died()) is None and time.monotonic() < until:
            time.sleep(0.1)
        if part is not None:
            raise RayDied(part)

    def unended(self) -> list[RunSpec]:
        """The runs that a dead Ray left, oldest first; those that had been stopped have their record and end here."""
        for trial_id in self.stopped & self.running.keys():
            self._end(trial_id)
        if self.refusal is not None:
            raise self.refusal
        return [*self.running.values(), *self.again]

    def is_over(self) -> bool:
        return self.refusal is not None or (self.deadline is not None and time.monotonic() > self.deadline)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        self.look()
        if len(self.running) >= self.room():
            return None
        spec = None
        with self.guarding():
            spec = self.again.pop(0) if self.again else self.source.next()
        if spec is None:
            return None if self.running and self.refusal is None else str(Searcher.FINISHED)
        self.running[trial_id] = spec
        self.audience.begun(spec)
        return {"spec": spec.model_dump(mode="json")}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        # A node that goes takes leave first, and on its way out all attempts of a run can fail within a moment.
        self.look(LAST_WORDS if error else 0.0)
        if trial_id in self.running:
            self._end(trial_id)

    def _end(self, trial_id: str) -> None:
        spec = self.running.pop(trial_id)
        self.seen.add((spec.run_id, -1))
        with self.guarding():  # another machine may have written them
            fetch(spec.paths.record, spec.paths.test, spec.paths.similarities, spec.paths.error, spec.paths.progress)
        record = kept_record(spec.paths)
        with self.guarding():
            self.source.done(spec, record)
        self.audience.ended(spec, record)

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Asks the source about each dev score; whether the run ends here."""
        self.refusal = result.get("refusal") or self.refusal
        spec, why = self.running.get(trial_id), None
        if spec is None or "record" not in result or self.refusal is not None:
            return False
        record = RunRecord.model_validate_json(result["record"])
        self.seen.add((spec.run_id, len(record.dev_curve)))
        self.audience.scored(spec, record)
        with self.guarding():
            why = self.source.judge(spec, record) if record.status == "running" else None
            if why is not None:
                stopped = {"status": "stopped", "events": (*record.events, why), "finished": now()}
                keep_record(record.model_copy(update=stopped), spec.paths)
                self.stopped.add(trial_id)
        return why is not None

    def stop_all(self) -> bool:
        """Asked at each turn of Tune's loop."""
        self.look()
        with self.guarding():
            for keeper in keepers():
                keeper.check()
        self.audience.look(self.running.values())
        return self.is_over()

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles it now and then, and never reads that: the records are what a search continues from

    def save(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, likewise."""
