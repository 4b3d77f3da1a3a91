"""A run's log, for people: its leading worker adds to it, attempt after attempt. Imports no Ray."""

import logging
import os
import socket
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from nlcse_tune.errors import StorageError
from nlcse_tune.files import UNWATCHED, fetch, stored
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import DevPoint, RunRecord, now
from nlcse_tune.run import device_name
from nlcse_tune.training.context import Progress, RunContext
from nlcse_tune.versions import versions


class RunLog:
    """Each line is a file opened and closed: it may lie on a shared disk, and a full one ends no run."""

    def __init__(self, spec: RunSpec) -> None:
        self.path = spec.paths.log
        self.points: int | None = None  # dev evaluations told
        self.known = ""  # what earlier attempts told, for events that a restart point brings once more
        with suppress(OSError, StorageError):
            fetch(self.path)
            self.known = self.path.read_text(encoding="utf-8", errors="replace")

    def say(self, text: str) -> None:
        """Adds a line with the time, or several of which the first has it."""
        with suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8", errors="replace") as stream:
                stream.write(f"{now()} {text.rstrip()}\n")
        stored(self.path, every=UNWATCHED)

    def __call__(self, progress: Progress) -> None:
        """After each step: what is new."""
        if self.points is None:
            before = "" if progress.dev_before is None else f"; dev {progress.dev_before:.2f} before training"
            self.say(f"training from step {progress.step - 1} of {progress.total}{before}")
            self.points = sum(point.step < progress.step for point in progress.curve)
            self.tell([event for event in progress.events if event not in self.known])
        for point in progress.curve[self.points :]:
            self.say(_spoken(point))
        self.points = len(progress.curve)

    def tell(self, events: list[str]) -> None:
        for event in events:
            self.known += event
            self.say(event)

    def ended(self, record: RunRecord) -> None:
        self.tell([event for event in record.events if event not in self.known])
        for point in record.dev_curve[self.points or 0 :]:  # the loop reports the last one as its end
            self.say(_spoken(point))
        if record.status == "stopped":
            self.say(f"told to stop at step {record.steps} of {record.total_steps}")
        else:
            best = "" if record.best_dev is None else f"; best dev {record.best_dev:.2f} at step {record.best_step}"
            self.say(f"{record.status} at step {record.steps} of {record.total_steps}{best}")


@contextmanager
def logging_run(spec: RunSpec, context: RunContext) -> Iterator[RunLog | None]:
    """Around a run: its log, to which warnings and an error go too; None on a worker that does not lead.

    Of what libraries say it has warnings, and records of `logging` from WARNING on. What is printed past Python is in
    the files of Ray's session, where there is one.
    """
    if not context.leads:
        yield None
        return
    log, handler = RunLog(spec), _Handler(spec)
    at = versions(device_name(context.device))
    packages = ", ".join(f"{name} {at.packages[name]}" for name in ("torch", "transformers", "ray"))
    many = f", {context.world_size} workers" if context.world_size > 1 else ""
    log.say(f"{spec.label} ({spec.run_id}) on {socket.gethostname()}, process {os.getpid()}, {at.device}{many}")
    log.say(f"nlcse-tune {at.nlcse_tune} ({at.commit or 'no checkout'}), Python {at.python}, {packages}")
    with warnings.catch_warnings(), handler:
        try:
            yield log
        except (KeyboardInterrupt, SystemExit):
            log.say("interrupted")
            raise
        except BaseException as error:
            log.say(f"ended in an error: {type(error).__name__}\n{traceback.format_exc()}")
            raise
        finally:
            with suppress(StorageError):
                stored(log.path)


class _Handler(logging.Handler):
    """Within: warnings and log records go to the run's log beside where they went; a process may serve another next."""

    def __init__(self, spec: RunSpec) -> None:
        super().__init__(logging.WARNING)
        self.log = RunLog(spec)

    def __enter__(self) -> None:
        # Some libraries' loggers, transformers' among them, hand nothing on to the root.
        known = [logger for logger in logging.root.manager.loggerDict.values() if isinstance(logger, logging.Logger)]
        self.loggers = [logging.root, *(logger for logger in known if not logger.propagate)]
        for logger in self.loggers:
            logger.addHandler(self)
        self.shown = warnings.showwarning
        warnings.showwarning = self._show

    def __exit__(self, *error: object) -> None:
        warnings.showwarning = self.shown
        for logger in self.loggers:
            logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):  # a record whose arguments do not fit its text
            self.log.say(f"{record.levelname.lower()} by {record.name}: {record.getMessage()}")

    def _show(
        self, message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        self.log.say(f"warning: {category.__name__}: {message} ({filename}:{lineno})")
        self.shown(message, category, filename, lineno, file, line)


def _spoken(point: DevPoint) -> str:
    losses = {"text loss": point.text_loss, "side loss": point.side_loss}
    told = "".join(f", {name} {loss:.4f}" for name, loss in losses.items() if loss is not None)
    return f"step {point.step}: dev {point.score:.2f}{told}"
