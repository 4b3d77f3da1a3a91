"""A table of runs under way, for a window of any width: whatever is least needed is left out, and nothing is cut."""

import math
import re
from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from nlcse_tune.cli.show import console, score, table
from nlcse_tune.records.progress import RunProgress

BAR = 10
ABBREVIATED = {"learning_rate": "lr", "batch_size": "bs"}
# From what is left out first. Below LEAST columns for what is tried, a figure more goes in its place.
LEAST_NEEDED, LEAST = ("bar", "sent/s", "dev", "step", "heard", "best"), 24
MOST = {"step": 8, "dev": 5, "best": 5, "sent/s": 6, "left": 6}  # columns that a figure may take: else they would jump
_SEARCHED = re.compile(r"\S+ (\d{3,} .*) seed \d+")


class Row(NamedTuple):
    """One run under way."""

    label: str
    state: str  # in place of its step, where it has none yet
    progress: RunProgress | None = None
    left: float | None = None  # seconds
    heard: float | None = None  # seconds since, NaN where never; None where it is fresh by itself


def tried(label: str) -> str:
    """What is tried, less what all runs of a search share: `007 side.learning_rate=1e-6`."""
    match = _SEARCHED.fullmatch(label)
    return match[1] if match else label


def shortened(text: str) -> str:
    """`lr=1e-6 bs=64` for `side.learning_rate=1e-6 text.batch_size=64`; a prefix that tells two apart stays."""
    words = [word.partition("=") for word in text.split(" ")]
    last = [_last(name) for name, equals, _ in words if equals]
    short = []
    for name, equals, value in words:
        prefix = f"{name.rpartition('.')[0]}." if last.count(_last(name)) > 1 else ""
        short.append(f"{prefix}{_last(name)}={value}" if equals else name)
    return " ".join(short)


def print_fitted(before: str, text: str, after: str) -> None:
    """One line about what is tried; in a window that has no room for it, in short."""
    line, terminal = f"{before} {text}  {after}", console.is_terminal
    short = f"{before} {shortened(text)}  {after}"
    console.print(short if terminal and len(line) > console.width else line, soft_wrap=not terminal)


def _last(name: str) -> str:
    last = name.rpartition(".")[2]
    return ABBREVIATED.get(last, last)


def cut(text: str, width: int) -> str:
    """`text` in `width` columns, whole words left out of its middle."""
    words = text.split(" ")
    for kept in range(len(words), 0, -1):
        front = (kept + 1) // 2
        short = " ".join([*words[:front], *(["…"] if kept < len(words) else []), *words[len(words) - kept + front :]])
        if len(short) <= width:
            return short
    return "…"


def runs_table(rows: Sequence[Row], width: int) -> tuple[Table, int]:
    """The runs in at most `width` columns, and how many it has; what is least needed is left out, nothing is cut."""
    names = [tried(row.label) for row in rows]
    for dropped, how in product(range(len(LEAST_NEEDED) + 1), (str, shortened, None)):
        columns = [name for name in _CELLS if name not in LEAST_NEEDED[:dropped]]
        if not any(row.heard is not None for row in rows):
            columns = [name for name in columns if name != "heard"]
        room = width - _measure(_table(rows, [""] * len(rows), columns)) + len("run")
        if how is None and (dropped == 0 or room < LEAST) and dropped < len(LEAST_NEEDED):
            continue
        shown = _table(rows, [how(name) if how else cut(shortened(name), room) for name in names], columns)
        if (needed := _measure(shown)) <= width:
            break
    return shown, needed


def _measure(shown: Table) -> int:
    return console.measure(shown, options=console.options.update_width(1000)).maximum


def _table(rows: Sequence[Row], names: Sequence[str], columns: Sequence[str]) -> Table:
    shown = table("run", *(f"{name}>".replace("bar>", "") for name in columns), wrap=False, boxed=False)
    for column, name in zip(shown.columns[1:], columns, strict=True):
        column.min_width = MOST.get(name)
    for row, name in zip(rows, names, strict=True):
        shown.add_row(Text(name), *(_CELLS[column](row) for column in columns))
    return shown


def _bar(row: Row) -> str:
    share = row.progress.step / row.progress.total if row.progress and row.progress.total else 0.0
    done = min(BAR, math.floor(BAR * share))
    return "━" * done + "─" * (BAR - done)


def _step(row: Row) -> str:
    return f"{row.progress.step}/{row.progress.total}" if row.progress else row.state


def _speed(row: Row) -> str:
    speed = row.progress.sentences_per_second if row.progress else None
    return "-" if speed is None else f"{speed:,.0f}"


def _left(row: Row) -> str:
    if row.progress and row.progress.step == row.progress.total:
        return "ending"
    return "-" if row.left is None else brief(row.left)


_CELLS: dict[str, Callable[[Row], str]] = {
    "bar": _bar,
    "step": _step,
    "dev": lambda row: score(row.progress.dev if row.progress else None),
    "best": lambda row: score(row.progress.best_dev if row.progress else None),
    "sent/s": _speed,
    "left": _left,
    "heard": lambda row: "-" if row.heard is None or math.isnan(row.heard) else f"{brief(row.heard)} ago",
}


def brief(seconds: float) -> str:
    """12s, 3m05s, 2h04m, 3d04h: for tables."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours // 24}d{hours % 24:02d}h"
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
