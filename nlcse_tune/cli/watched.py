"""How far a command is: a bar on a terminal, lines in a log."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from typer import echo

if TYPE_CHECKING:
    from nlcse_tune.evaluation.embed import Progress as Told

EVERY = 30.0  # seconds from one line to the next of the same kind of work


@contextmanager
def watched() -> "Iterator[Told]":
    """A bar on stderr where that is a terminal, from the slow imports to the last task; elsewhere lines."""
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


class Lines:
    """A line on stderr for each kind of work as it begins, every half minute that it goes on, and at its end."""

    def __init__(self) -> None:
        self.what, self.written = "", 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        now = time.monotonic()
        if what == self.what and done < total and now - self.written < EVERY:
            return
        self.what, self.written = what, now
        echo(f"{what}: {done:,} of {total:,}" if total > 1 else what, err=True)
