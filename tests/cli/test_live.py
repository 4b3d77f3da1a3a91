"""Runs under way: a table for any width, and what a real terminal has of it in the middle and at the end."""

import fcntl
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from nlcse_tune.cli import live as live_module
from nlcse_tune.cli import show
from nlcse_tune.cli.live import LiveView
from nlcse_tune.cli.show_runs import Row, brief, cut, print_fitted, runs_table, shortened, tried
from nlcse_tune.config.fields import override
from nlcse_tune.launch.spec import RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.study import find_study
from tests.synthetic_records import progress_of

LABEL = "demo 007 text.batch_size=64 text.learning_rate=1e-3 side.learning_rate=1e-4 side.loss=simclr seed 42"
DONE = "text.batch_size=64 text.learning_rate=1e-3 side.learning_rate=1e-4"


def labelled(number: int) -> RunSpec:
    config = override(find_study("demo").config, {"text.learning_rate": 10.0**-number})
    label = LABEL.replace("007", f"{number:03d}")
    return run_spec(StudyPaths(Path("/nowhere"), "demo"), config, 42, {}).model_copy(update={"label": label})


def test_labels_are_shortened_and_words_are_never_cut() -> None:
    text = tried(LABEL)
    assert text == "007 text.batch_size=64 text.learning_rate=1e-3 side.learning_rate=1e-4 side.loss=simclr"
    assert tried("simcse-bert seed 3") == "simcse-bert seed 3"
    short = shortened(text)
    assert short == "007 bs=64 text.lr=1e-3 side.lr=1e-4 loss=simclr"
    assert cut(short, len(short)) == short
    assert cut(short, len(short) - 1) == "007 bs=64 … side.lr=1e-4 loss=simclr"
    assert cut(short, 20) == "007 … loss=simclr"
    assert cut(short, 5) == "007 …"
    assert cut(short, 2) == "…"
    assert shortened("simcse-bert seed 3") == "simcse-bert seed 3"
    assert shortened("008 side.0.learning_rate=1e-6 side.1.learning_rate=2e-7") == "008 side.0.lr=1e-6 side.1.lr=2e-7"


def test_times_are_brief() -> None:
    assert [brief(s) for s in (0.4, 59.6, 185, 7440, 273_600)] == ["0s", "1m00s", "3m05s", "2h04m", "3d04h"]


@pytest.mark.parametrize(
    ("width", "kept"),
    [(200, "bar step dev best sent/s left"), (100, "step dev best sent/s left"), (80, "step dev best sent/s left"),
     (60, "step dev best left"), (40, "best left")],
)  # fmt: skip
def test_a_narrow_window_costs_the_least_needed_columns(width: int, kept: str) -> None:
    spec = labelled(7)
    rows = [Row(spec.label, "", progress_of(spec, 12345, 15625), 3900.0), Row(labelled(8).label, "loading")]
    shown, needed = runs_table(rows, width)
    console = Console(width=width)
    with console.capture() as caught:
        console.print(shown)
    lines = caught.get().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) == needed <= width
    assert "run " + kept.replace("bar ", "") == " ".join(lines[0].split())
    assert ("━" in lines[1]) is ("bar" in kept)
    assert lines[1].startswith("007 ")
    assert lines[1].rstrip().endswith("1h05m")
    figures = {"step": "12345/15625", "dev": "80.00", "best": "84.27", "sent/s": "1,23", "left": "1h05m"}
    assert all(text in lines[1] for name, text in figures.items() if name in kept)
    assert width < 100 or "side.lr=1e-4" in lines[1] or "side.learning_rate=1e-4" in lines[1]


def perform() -> None:
    """What a search under way prints and is told, in two acts; run in a terminal of its own."""
    from nlcse_tune.cli.show_search import SearchView

    first, second = labelled(1), labelled(2)
    with SearchView("demo") as view:
        time.sleep(0.5)
        view.expected([6], 2)
        view.head = "demo: 0 of 6 runs done"
        for spec in (first, second):
            view.begun(spec)
            view.placed(spec)
        view.progressed(first, progress_of(first, 12345, 15625, 3900.0))
        time.sleep(1)
        print("printed by a library")
        warnings.warn("warned by a library", stacklevel=1)
        logging.getLogger("library").warning("logged by a library")
        print_fitted("  [1/6]", DONE, "dev 84.27 at step 40, 58 s")
        view.ended(first, None)
        view.note("a note")
        time.sleep(1)
    print("the end")


def perform_quickly() -> None:
    """Many lines above a table whose height changes all the time, drawn by another thread as often as it can."""
    view, specs = LiveView("demo"), [labelled(number) for number in range(1, 5)]
    assert view.live is not None
    view.live.refresh_per_second = 10_000
    with view:
        for number in range(150):
            spec = specs[number % len(specs)]
            if spec.run_id in view.under_way:
                view.ended(spec, None)
            else:
                view.begun(spec)
            show.console.print(f"note {number}")
            time.sleep(0.002)


def window(width: int, height: int = 24, what: str = "perform") -> tuple[list[list[str]], pyte.HistoryScreen]:
    """What a terminal of this size showed of `perform` at each moment, and what is left in it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    screen = pyte.HistoryScreen(width, height, history=1000)
    stream, moments = pyte.ByteStream(screen), []
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-c", f"from tests.cli.test_live import {what}; {what}()"]
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm"}
    ) as process:
        os.close(theirs)
        with suppress(OSError):  # a terminal whose other end is closed
            while part := os.read(ours, 65536):
                stream.feed(part)
                moments.append([line.rstrip() for line in screen.display])
    os.close(ours)
    assert process.returncode == 0, "\n".join(screen.display)
    return moments, screen


@pytest.mark.parametrize(("width", "bar"), [(80, False), (100, False), (200, True)])
def test_a_terminal_shows_one_line_per_run_and_keeps_none_of_it(width: int, bar: bool) -> None:
    moments, screen = window(width)
    shown = [lines for lines in moments if any("12345/15625" in line for line in lines)]
    assert shown
    whole = [lines for lines in shown if any("2 under way" in line for line in lines)]
    lines = [line for line in whole[-1] if line]
    row = next(i for i, line in enumerate(lines) if line.startswith("001 "))
    assert lines[row - 1].split()[0] == "run"
    assert re.search(r"12345/15625 +80\.00 +84\.27 +1,23\d +1h0[45]m$", lines[row])
    assert ("━" in lines[row]) is bar
    assert re.match(r"002 .* loading +- +- +- +-$", lines[row + 1])
    assert re.match(r"\S demo: 0 of 6 runs done, 2 under way; about \d+ h \d+ min left$", lines[row + 2])
    assert len(lines) == row + 3

    history = ["".join(line[x].data for x in range(width)).rstrip() for line in screen.history.top]
    left = [line for line in (*history, *(line.rstrip() for line in screen.display)) if line]
    assert left[0] == "printed by a library"
    assert "warned by a library" in " ".join(left[1:3])
    finished = "bs=64 text.lr=1e-3 side.lr=1e-4" if width < 110 else DONE
    assert "logged by a library" in left
    assert left[-3:] == [f"  [1/6] {finished}  dev 84.27 at step 40, 58 s", "a note", "the end"]
    assert not any("under way" in line or "loading" in line for line in left)
    assert screen.cursor.hidden is False


def test_no_line_above_the_table_is_lost_while_it_changes() -> None:
    _, screen = window(80, what="perform_quickly")
    history = ["".join(line[x].data for x in range(80)).rstrip() for line in screen.history.top]
    left = [line for line in (*history, *(line.rstrip() for line in screen.display)) if line]
    assert left == [f"note {number}" for number in range(150)]


def test_without_a_terminal_a_line_now_and_then_says_how_far_a_run_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = labelled(7)
    view = LiveView("demo")
    with view:
        view.begun(spec)
        view.placed(spec)
        view.progressed(spec, progress_of(spec, 100, 400, 185.0))
        assert capsys.readouterr().out == ""  # a minute has not gone by
        monkeypatch.setattr(live_module, "PERIOD", 0.0)
        for step in (100, 101):  # the same scores are told once
            view.progressed(spec, progress_of(spec, step, 400, 185.0))
        assert capsys.readouterr().out == (
            f"  {tried(LABEL)}: step 100 of 400, dev 80.00 (best 84.27), 1,234 sentences/s, 3 min 05 s left\n"
        )
        monkeypatch.setattr(live_module, "LONGEST", 0.0)
        view.progressed(spec, progress_of(spec, 102, 400))
        assert "step 102 of 400" in capsys.readouterr().out
