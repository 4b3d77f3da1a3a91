"""Ways of doing one thing compared, each in a process of its own: seconds, peak memory, lines of a table."""

import os
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One line of a table: a ratio is how many times as long, or as much, as the first way's."""

    what: str
    value: str = ""
    ratio: float | None = None
    memory: float | None = None  # MB

    def __str__(self) -> str:
        ratio, memory = (f"{n:.{d}f}" if n is not None else "" for n, d in ((self.ratio, 2), (self.memory, 0)))
        return f"{self.what:40}{ratio:>8}{self.value:>22}{memory:>9}"


HEAD = f"{'':40}{'ratio':>8}{'median':>22}{'peak MB':>9}"


class Cost(NamedTuple):
    """What a piece of work gave, and its peak of memory above what its process began with, in MB."""

    answer: Any
    memory: float


def in_process(work: Callable[..., Any], *arguments: Any) -> Cost:
    """`work(*arguments)` in a process forked from this one, which therefore must not have used threads of a library."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        status = 1
        try:
            os.close(reader)
            Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
            before = _status("VmRSS")
            answer = work(*arguments)
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(Cost(answer, _status("VmHWM") - before), stream)
            status = 0
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        told = stream.read()
    if os.waitpid(child, 0)[1] != 0 or not told:
        raise SystemExit(f"{getattr(work, '__name__', work)} failed in its process")
    return pickle.loads(told)  # type: ignore[no-any-return]


def compared(ways: Mapping[str, Callable[[], float]], rounds: int, told: Callable[[float], str]) -> list[Line]:
    """A line a way, each of which returns its seconds; medians of rounds that go through the ways in turn."""
    costs: dict[str, list[Cost]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            costs[name].append(in_process(way))
    seconds = {name: median(cost.answer for cost in own) for name, own in costs.items()}
    first = next(iter(seconds.values()))
    return [
        Line(f"  {name}", told(own), own / first, median(cost.memory for cost in costs[name]))
        for name, own in seconds.items()
    ]


def rate(count: int, unit: str) -> Callable[[float], str]:
    """How seconds for `count` of something are told."""
    return lambda seconds: f"{count / seconds:,.0f} {unit}/s"


def _status(field: str) -> float:
    """MB, of this process."""
    found = re.search(rf"^{field}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) / 1024
