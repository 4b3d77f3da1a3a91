"""What the commands print: tables through rich, one line per finished run, no colour where there is no terminal."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Self

from rich.box import HEAVY_HEAD
from rich.console import Console
from rich.table import Table

from nlcse_tune.cli.options import command_line
from nlcse_tune.config.fields import flatten, known_fields, plain
from nlcse_tune.errors import plural
from nlcse_tune.files import named
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import DevPoint, RunRecord, constant_side_loss
from nlcse_tune.space import Range, ValueList, number
from nlcse_tune.study import Study

if TYPE_CHECKING:
    from nlcse_tune.report import Report, ReportOptions


class WholeConsole(Console):
    """Prints texts with addresses in place of the folders of this machine that stand for them, one thread at a time.

    That is, from where a text goes above a live display to where both are written: rich works out how far up the
    display begins before it writes; where another thread draws it in between, with more lines or fewer, a line that is
    there to stay is erased.
    """

    def __init__(self, **options: Any) -> None:
        self.whole = RLock()
        super().__init__(**options)

    def set_live(self, live: Any) -> Any:
        live._lock = self.whole  # the display's own, in the other order, would be a deadlock
        return super().set_live(live)

    def print(self, *objects: Any, **settings: Any) -> None:
        super().print(*(named(item) if isinstance(item, str) else item for item in objects), **settings)

    def __enter__(self) -> Self:
        self.whole.acquire()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            super().__exit__(*error)
        finally:
            self.whole.release()


# A pipe or a log file has no width of its own; 80 columns would break most rows.
console = WholeConsole(highlight=False, width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 120)
# Spinners. A line above one erases it only where both are of one console; nothing where there is no terminal.
screen = console if sys.stdout.isatty() else WholeConsole(stderr=True, highlight=False)


def duration(seconds: float) -> str:
    """12 s, 3 min 05 s, 2 h 04 min."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def score(value: float | None) -> str:
    """Two decimals; a dash where there is none, never 0.00."""
    return "-" if value is None else f"{value:.2f}"


def table(*columns: str, title: str | None = None, wrap: bool = True, boxed: bool = True) -> Table:
    """A table with these columns, those that end in `>` flush right."""
    shown = Table(title=title, title_justify="left", box=HEAVY_HEAD if boxed else None, pad_edge=boxed)
    for name in columns:
        right = name.endswith(">")
        shown.add_column(name.removesuffix(">"), justify="right" if right else "left", no_wrap=not wrap)
    return shown


def outcome(record: RunRecord | None) -> str:
    """A run's result in a few words."""
    if record is None:
        return "no record: its process died, or time was up; the same command goes on with it"
    if record.status == "failed":
        return f"failed: {record.error}"
    took = duration(record.timings.total) if record.timings else "-"
    vain = "" if record.gained else f"; no better than before training ({score(record.dev_before)})"
    constant = f"; {told}" if (told := constant_side_loss(record.dev_curve)) else ""
    return f"dev {score(record.best_dev)} at step {record.best_step}, {took}{vain}{constant}"


def vain(what: str, record: RunRecord) -> None:
    """A warning, where even the best of what was trained is no better than no training."""
    if not record.gained:
        console.print(
            f"warning: {what} no better than no training: best dev {score(record.best_dev)}, "
            f"{score(record.dev_before)} before the first step; try lower learning rates or more steps, and look at "
            "the data"
        )


def following(command: str) -> None:
    """What to run next, on one line: it is there to be copied."""
    console.print(f"next: {command}", markup=False, soft_wrap=True)


def report(studies: Sequence[Study], out: Path, options: "ReportOptions") -> "Report":
    """The report over these studies, on the terminal and in its folder."""
    from nlcse_tune import report as reports

    made = reports.build(studies, out, options)
    console.print(reports.terminal(made))
    written(reports.write_report(made))
    return made


def next_step(
    made: "Report", study: str | None, out: Path, config: Sequence[str] | None = None, *, any_version: bool = False
) -> None:
    """The command that follows from a report, with what it was called with."""
    from nlcse_tune import report as reports

    if words := reports.next_command(made, study):
        if words[0] == "plan":
            words += [part for text in config or () for part in ("--config", text)]
        words += ["--any-version"] if any_version and words[0] != "export" else []
        following(command_line(*words, out=out))


def written(files: Sequence[Path]) -> None:
    """What was written where."""
    console.print(f"written to {files[0].parent}: {', '.join(file.name for file in files)}")


def dev_point(point: DevPoint) -> None:
    """One line per dev evaluation."""
    side = "" if point.side_loss is None else f", side loss {point.side_loss:.4f}"
    console.print(f"  step {point.step:>6}  dev {point.score:.2f}  text loss {point.text_loss:.4f}{side}")


def run(record: RunRecord, paths: StudyPaths) -> None:
    """What one run came to."""
    best = f"best dev {score(record.best_dev)} at step {record.best_step} of {record.steps}"
    took = duration(record.timings.total) if record.timings else "-"
    console.print(
        f"{record.config.method}, seed {record.seed}: {best}, {score(record.dev_before)} before training; {took}"
    )
    for event in record.events:
        console.print(f"  {event}")
    vain("this run is", record)
    console.print(f"record: {paths.run(record.run_id).record}\ncheckpoint: {paths.run(record.run_id).best}")


def profile(run: RunPaths) -> None:
    """Where the time of the traced steps went."""
    if not run.profile.is_file():
        console.print("no profile: the run ended before there were steps to trace")
        return
    console.print(run.profile.read_text(encoding="utf-8"), markup=False, highlight=False)
    console.print(f"trace: {run.trace}, for https://ui.perfetto.dev")


def studies(known: Sequence[Study]) -> None:
    """All studies, one per line."""
    shown = table("study", "method", "baseline", "space", "what it is", boxed=False)
    for item in known:
        size = f"{item.space.name} ({item.grid_size or 'no grid'})" if item.space else "-"
        shown.add_row(item.name, item.config.method, item.baseline or "-", size, item.description)
    console.print(shown)


def study(item: Study) -> None:
    """One study, every field with its meaning."""
    console.print(f"{item.name}: {item.config.method}. {item.description}".rstrip())
    seeds = ", ".join(map(str, item.seeds))
    console.print(f"baseline {item.baseline or '-'}, seeds {seeds}, search seed {item.search_seed}")
    if item.baseline:
        confirm, columns = item.confirm, ", ".join(item.confirm.columns)
        test = confirm.test or "paired where the arms differ in the side alone, else welch"
        console.print(f"declared: {test}; on {columns}, level {confirm.level:g}, margin {confirm.margin:g} points")
    if item.space:
        size = plural(item.grid_size, "point") if item.grid_size else "infinitely many points, or too many to list"
        console.print(f"space {item.space.name}: {size}")
    shown = table("field", "value", "searched", "meaning", boxed=False)
    known = known_fields()
    parameters = item.space.parameters if item.space else {}
    for name, value in flatten(item.config).items():
        meaning = (known[plain(name)].description or "") if plain(name) in known else "no side"
        p = parameters.get(name, parameters.get(plain(name)))
        span = f"{number(p.low)} to {number(p.high)}" if isinstance(p, Range) else ""
        searched = ", ".join(map(number, p.values)) if isinstance(p, ValueList) else span
        shown.add_row(name, number(value), searched, meaning)
    console.print(shown)
