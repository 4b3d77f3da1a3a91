"""Runs under way, a line each: on a terminal redrawn below what is printed, elsewhere told now and then."""

import math
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.live import Live
from rich.text import Text

from nlcse_tune.cli.show import console, duration, score, screen
from nlcse_tune.cli.show_runs import Row, runs_table, tried
from nlcse_tune.errors import plural
from nlcse_tune.launch.forecast import Forecast, UnderWay
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records.progress import RunProgress

# Seconds between two lines of a run, where there is no terminal: with a new dev score, and with none.
PERIOD, LONGEST = 60.0, 600.0
PATIENCE = 60.0  # seconds that a process takes at most to start; a run that has none by then is said to wait for room
SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class LiveView(Forecast):
    """Whatever runs, below what is printed while it stands; nothing of it stays at the end."""

    def __init__(self, head: str, *, lines: bool = True) -> None:
        """`lines`: without a terminal, a line now and then says how far each run is."""
        super().__init__()
        self.head, self.lines, self.widths = head, lines and not console.is_interactive, [0]
        self.told: dict[str, tuple[float, object]] = {}  # when a run was last told of, and its scores then
        self.live = _Live(self) if screen.is_interactive else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.live is not None:
            self.live.stop()

    def begun(self, spec: RunSpec) -> None:
        super().begun(spec)
        self.told[spec.run_id] = (time.monotonic(), None)

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        super().progressed(spec, progress)
        clock, scores = time.monotonic(), (progress.dev, progress.text_loss, progress.best_step)
        since, earlier = self.told.get(spec.run_id, (clock, None))
        if self.lines and (clock > since + LONGEST or (clock > since + PERIOD and progress.dev and scores != earlier)):
            self.told[spec.run_id] = (clock, scores)
            console.print(f"  {_line(progress)}", soft_wrap=True)

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        """One line per run, as many as there is room for, and one below for all."""
        clock, runs = time.monotonic(), list(self.under_way.values())
        width, most = options.max_width - 1, max(1, options.size.height - 4)
        widths = []
        if runs:
            shown, needed = runs_table([Row(*_standing(run, clock)) for run in runs[:most]], width)
            yield shown
            widths = [needed] * (1 + min(most, len(runs)))
        summary = self._summary(runs, clock, more=max(0, len(runs) - most), width=width)
        self.widths = [*widths, cell_len(summary)]
        yield Text(summary, no_wrap=True, overflow="ellipsis")

    def _summary(self, runs: Sequence[UnderWay], clock: float, *, more: int, width: int) -> str:
        """What is done, under way and to come; of the later parts those for which there is room."""
        waiting = sum(run.placed is None and clock > run.begun + PATIENCE for run in runs)
        left = self.seconds_left() if runs else None
        parts = [
            f"; about {duration(left)} left" if left is not None else "",
            f", {len(runs)} under way" if runs else "",
            f" ({more} not shown)" if more else "",
            f", {waiting} of them waiting for resources" if waiting else "",
        ]
        text = f"{SPINNER[int(clock * 10) % len(SPINNER)]} {self.head}"
        kept = [part for i, part in enumerate(parts) if cell_len(text + "".join(parts[: i + 1])) <= width]
        return text + "".join([*kept[1:], *kept[:1]])


def _standing(run: UnderWay, clock: float) -> tuple[str, str, RunProgress | None, float | None]:
    state = "loading" if run.placed is not None else "waiting" if clock > run.begun + PATIENCE else "starting"
    return run.spec.label, state, run.progress, run.left(clock)


def _line(progress: RunProgress) -> str:
    speed = progress.sentences_per_second
    parts = [
        f"{tried(progress.label)}: step {progress.step} of {progress.total}",
        f"dev {score(progress.dev)} (best {score(progress.best_dev)})" if progress.dev is not None else "",
        f"{speed:,.0f} sentences/s" if speed is not None else "",
        f"{duration(progress.seconds_left)} left" if progress.seconds_left is not None else "",
    ]
    return ", ".join(filter(None, parts))


class _Live(Live):
    """Knows how high its lines are once a window has become narrower than they are: terminals break them anew."""

    def __init__(self, view: LiveView) -> None:
        super().__init__(view, console=screen, transient=True, redirect_stdout=console is screen)
        self.view = view

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        drawn, width = self._live_render, self.console.width
        if drawn._shape is not None and width < max(self.view.widths):
            drawn._shape = (width, sum(max(1, math.ceil(each / width)) for each in self.view.widths))
        return super().process_renderables(renderables)


def to_go(done: int, runs: int) -> str:
    """`4 of 6 runs done`."""
    return f"{done} of {plural(runs, 'run')} done"
