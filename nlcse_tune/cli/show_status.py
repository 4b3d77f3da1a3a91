"""What `status`, `stop` and `logs` print."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from nlcse_tune.cli.show import console, duration, outcome, score, screen, table
from nlcse_tune.cli.show_runs import Row, brief, runs_table, tried
from nlcse_tune.errors import ConfigError, plural
from nlcse_tune.paths import RunPaths
from nlcse_tune.records.ledger import kept_record
from nlcse_tune.records.status import SILENT, RunStatus, StudyStatus


def said(seen: StudyStatus) -> str:
    """What became of the command that works, or worked last, on a study."""
    call, heard = seen.call, duration(seen.heard or 0.0)
    if call is None:
        return "no command has worked on it since this tool keeps track of them"
    driver = f"its driver (process {call.process} on {call.host})"
    if seen.state == "ended":
        return f"{call.kind} ended {heard} ago: {call.outcome}" + ("" if call.whole else "; the same command goes on")
    if seen.state == "gone":
        return f"{driver} is gone, last heard {heard} ago; the same command goes on"
    if seen.state == "silent":
        return (
            f"{driver} was last heard {heard} ago: it is gone, or does not get on; from another machine, its clock or "
            "this folder may lag behind"
        )
    return f"{call.kind} at work on {call.host} (process {call.process}), begun {call.began}; heard {heard} ago"


def one(seen: StudyStatus) -> None:
    """All that is known of a study under way."""
    console.print(_one(seen, console.width))


def _one(seen: StudyStatus, width: int) -> RenderableType:
    call, at_work = seen.call, seen.state in ("at work", "silent")
    parts: list[RenderableType] = [Text(f"{seen.study}: {said(seen)}")]
    if call is not None:
        parts.append(Text(f"  {call.command}"))
    if call is not None and at_work:
        left = f"; about {duration(call.seconds_left)} left" if call.seconds_left is not None else ""
        parts.append(Text(f"  {call.done} of {plural(call.runs, 'run')} done, {call.at_a_time} at a time{left}"))
        if call.dashboard:
            parts.append(Text(f"  Ray dashboard {call.dashboard}"))
    if seen.under_way:
        if not at_work:
            parts.append(Text(f"  {plural(len(seen.under_way), 'run')} to go on with:"))
        parts.append(runs_table([_row(run, at_work=at_work) for run in seen.under_way], width - 1)[0])
    if at_work and (stale := [tried(run.label) for run in seen.under_way if (run.heard or 0.0) > SILENT]):
        parts.append(Text(f"not heard of for over a minute, in a long evaluation or stuck: {', '.join(stale)}"))
    counts = ", ".join(f"{count} {name}" for name, count in seen.on_record.items())
    best = f"; best dev {score(seen.best_dev)}, {seen.best_run}" if seen.best_run else ""
    parts.append(Text(f"on record: {counts or 'nothing'}{best}"))
    return Group(*parts)


def _row(run: RunStatus, *, at_work: bool) -> Row:
    left = run.progress.seconds_left if run.progress and at_work else None
    left = max(0.0, left - (run.heard or 0.0)) if left is not None else None
    return Row(run.label, "begun", run.progress, left, run.heard if run.heard is not None else float("nan"))


def all_of(found: Sequence[StudyStatus], out: Path) -> None:
    """A line for each study."""
    if not found:
        console.print(f"nothing has worked under {out} yet")
        return
    shown = table("study", "command", "state", "done>", "left>", "heard>", "best dev>", wrap=False, boxed=False)
    for seen in found:
        call = seen.call
        state = (call.outcome if seen.state == "ended" and call else None) or seen.state
        left = call.seconds_left if call and seen.state == "at work" else None
        shown.add_row(
            seen.study, call.kind if call else "-", Text(state, overflow="ellipsis"),
            f"{call.done}/{call.runs}" if call else "-", "-" if left is None else brief(left),
            "-" if seen.heard is None else f"{brief(seen.heard)} ago", score(seen.best_dev),
        )  # fmt: skip
    console.print(shown)


def watch(look: Callable[[], StudyStatus], period: float) -> None:
    """Shows one study, drawn anew, until nothing works on it or Ctrl-C."""
    if not console.is_interactive:
        raise ConfigError("--watch: redraws a terminal, and this is none; use --json, again and again")
    with Live(console=console, transient=True, auto_refresh=False) as live, suppress(KeyboardInterrupt):
        while (seen := look()).state in ("at work", "silent"):
            live.update(_one(seen, console.width), refresh=True)
            time.sleep(period)


def waiting(what: str) -> AbstractContextManager[object]:
    """A spinner, where there is a terminal."""
    return screen.status(what)


def outcome_of(run: RunPaths) -> str | None:
    """The last line of a run's log, from its record; None where it has none yet."""
    record = kept_record(run)
    if record is None:
        return None
    why = f"; {record.events[-1]}" if record.status == "stopped" and record.events else ""
    return f"on record as {record.status}: {outcome(record)}{why}"
