"""A command that works on a study's folder says so there, and ends in order where somebody asks for it there.

Both by files alone, so that whoever sees the folder needs neither this machine nor its Ray.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, Self

from nlcse_tune.errors import DataError, StorageError, end_in_order, interrupt, interrupted_why, this_command
from nlcse_tune.files import fetch, gone
from nlcse_tune.launch.forecast import Forecast
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, now
from nlcse_tune.records.progress import FINISHED, Call, StopRequest

LOOK = 1.0  # seconds between two looks for a request to stop
SAY = 10.0  # seconds between two words that the command is still at work
# What the looking thread interrupts the main one with. SIGINT may be ignored (a job in a shell's background is started
# so), Ray has an answer of its own to SIGTERM while it starts, and Tune one to SIGUSR1.
ASK = signal.SIGUSR2
FETCH = 5.0  # seconds between two looks into a store


class Calling(Forecast):
    """Around what a command does on the folders of one or more studies, whose locks it holds.

    `call.json` says what works there, and `Call.ended` at the end; after SIGKILL it stays without an end. A request to
    stop, `stop.json`, ends the block by a KeyboardInterrupt in the main thread, as Ctrl-C does. Neither a full disk nor
    a damaged file ends anything here. `each_second` is called in a thread.
    """

    def __init__(
        self,
        folders: Sequence[StudyPaths],
        kind: Literal["search", "seeds", "train"],
        each_second: Callable[[], None] = lambda: None,
        runs: int = 0,
    ) -> None:
        super().__init__()
        self.folders, self.each_second = folders, each_second
        self.call = Call(
            command=this_command(), kind=kind, study=folders[0].study,
            host=socket.gethostname(), process=os.getpid(), began=now(), heard=now(), runs=runs,
        )  # fmt: skip
        self.outcome = FINISHED  # unless somebody knows better, or an exception says otherwise
        self.over, self.saying, self.why = threading.Event(), threading.Lock(), ""
        self.thread = threading.Thread(target=self._look, name="nlcse-call", daemon=True)

    def __enter__(self) -> Self:
        self.say()
        self.handler: Any = None
        if threading.current_thread() is threading.main_thread():
            end_in_order()
            self.handler = signal.signal(ASK, self._asked)
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.over.set()
        self.thread.join()
        if self.handler is not None:
            signal.signal(ASK, self.handler)
        if isinstance(error, KeyboardInterrupt):
            self.outcome = interrupted_why()
        elif error is not None:
            self.outcome = f"{type(error).__name__}: {' '.join(str(error).split())}"
        self.say(ended=now(), outcome=self.outcome, seconds_left=None)
        for paths in self.folders:
            with suppress(OSError, StorageError):
                if self._request(paths) is not None:
                    paths.stop.unlink(missing_ok=True)
                    gone(paths.stop)

    def say(self, **known: Any) -> None:
        """Writes what is known of the command; of several trainings in one folder the newest is told of."""
        with self.saying:
            self.call = self.call.model_copy(update={"heard": now(), **known})
            for paths in self.folders:
                other = None
                with suppress(DataError):
                    other = Call.read(paths.call)
                with suppress(StorageError):
                    if not known or other is None or self.call.is_same(other):
                        self.call.write(paths.call, durable="ended" in known)

    def expected(self, batches: Sequence[int], at_a_time: int) -> None:
        super().expected(batches, at_a_time)
        self.say(runs=self.call.done + sum(batches), at_a_time=at_a_time)

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        super().ended(spec, record)
        self.say(done=self.call.done + 1, seconds_left=self.seconds_left())

    def _look(self) -> None:
        said = fetched = time.monotonic()
        while not self.over.wait(LOOK):
            self.each_second()
            if time.monotonic() > fetched + FETCH:
                fetched = time.monotonic()
                with suppress(StorageError):
                    fetch(*(paths.stop for paths in self.folders))
            if time.monotonic() > said + SAY:
                said = time.monotonic()
                self.say(seconds_left=self.seconds_left())
            requests = [request for paths in self.folders if (request := self._request(paths)) is not None]
            if requests and self.handler is not None and not self.why:
                self.why = f"stopped by `nlcse-tune stop` from {requests[0].by}"
                signal.pthread_kill(threading.main_thread().ident or 0, ASK)

    def _request(self, paths: StudyPaths) -> StopRequest | None:
        """The request that this very command stop: one that was meant for an earlier command is none."""
        with suppress(DataError):
            request = StopRequest.read(paths.stop)
            return request if request is not None and self.call.is_same(request) else None
        return None

    def _asked(self, number: int, frame: Any) -> None:
        if not self.over.is_set():
            interrupt(signal.SIGTERM, self.why)
