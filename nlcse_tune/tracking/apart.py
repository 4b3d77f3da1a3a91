"""A tracker in a process of its own: a server that hangs, and what its client prints or leaves running, stay there.

The driver does not even import the client, which takes seconds.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from nlcse_tune.errors import RunError, verbose
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.progress import RunProgress

PATIENCE = 60.0  # seconds that it gets at the end for what is still to be sent
LAST_WORDS = 20.0  # the same where the driver was killed


class Apart(Watcher):
    """Passes on what it is told; the process is started when there is something, and ends when it is closed.

    The process makes its watcher by `make`; `first` is called here, before that.
    """

    def __init__(self, name: str, make: Callable[[], Watcher], first: Callable[[], object] = lambda: None) -> None:
        self.name, self.make, self.first, self.patience = name, make, first, PATIENCE
        self.process: Any = None

    def __str__(self) -> str:
        return f"--track {self.name}"

    def opened(self, paths: StudyPaths) -> None:
        self._tell("opened", paths)

    def begun(self, spec: RunSpec) -> None:
        self._tell("begun", spec)

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        if self.process is not None:  # `train` tells this from another thread, and maybe too late
            self._tell("progressed", spec, progress)

    def scored(self, spec: RunSpec, record: RunRecord) -> None:
        self._tell("scored", spec, record)

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        self._tell("ended", spec, record)

    def closed(self) -> None:
        """Waits until all is sent, and not for ever."""
        if self.process is None:
            return
        process, self.process = self.process, None
        self.queue.put(None)
        process.join(self.patience)
        if process.is_alive():
            process.kill()
            process.join()
            raise RunError(f"its server did not take everything within {self.patience:g} s; the records have it all")
        self._raise()

    def _tell(self, *what: Any) -> None:
        if self.process is None:
            self._start()
        self._raise()
        self.queue.put(what)

    def _start(self) -> None:
        self.first()
        context = multiprocessing.get_context("spawn")  # a copy of a process that Ray runs in would hang
        self.queue: Any = context.Queue()  # grows: the driver never waits for the other end
        self.queue.cancel_join_thread()  # nor at its exit
        self.errors, errors = context.Pipe(duplex=False)
        self.process = context.Process(target=_listen, args=(self.make, self.queue, errors), daemon=True)
        self.process.start()
        errors.close()

    def _raise(self) -> None:
        """RunError with what the process ended with, where it did."""
        try:
            if self.errors.poll():
                raise RunError(self.errors.recv())
        except EOFError:  # it ended, in order or not
            if self.process is not None:
                raise RunError("its process was killed; the records have it all") from None


def _listen(make: Callable[[], Watcher], queue: Any, errors: Any) -> None:
    """All that the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which then says that there is no more
    threading.Thread(target=_end_with_driver, args=(queue,), daemon=True).start()
    if not verbose():
        sys.stdout.flush()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
    try:
        watcher = make()
        while (told := queue.get()) is not None:
            name, *arguments = told
            getattr(watcher, name)(*arguments)
        watcher.closed()
    except Exception as error:
        first = (str(error).strip() or "no reason given").splitlines()[0]
        errors.send(f"{type(error).__name__}: {first}")


def _end_with_driver(queue: Any) -> None:
    """Waits for a driver that is killed, ends in order in its place, and not in order where a server hangs."""
    driver = multiprocessing.parent_process()
    assert driver is not None
    driver.join()
    queue.put(None)
    time.sleep(LAST_WORDS)
    os._exit(1)
