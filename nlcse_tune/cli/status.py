"""`status`, `stop` and `logs`: a search, seed study or training, from another terminal or machine."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, Exit, Option, echo

from nlcse_tune.cli import options
from nlcse_tune.errors import ConfigError
from nlcse_tune.storage import refresh

if TYPE_CHECKING:
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.records.status import StudyStatus

FETCH = 10.0  # seconds between two looks into a store
LOOK = 2.0  # seconds between two looks of `--watch`, as often as a run says how far it is
NOT_WHOLE = 3  # exit status: what worked on the study ended before its end, or is gone


def status(
    study: Annotated[
        str | None, Argument(help="a study [default: a line for each]", autocompletion=options.studies_that_begin)
    ] = None,
    watch: Annotated[bool, Option("--watch", help="look again every two seconds while something is at work")] = False,
    as_json: Annotated[bool, Option("--json", help="JSON on stdout")] = False,
    out: options.Records = Path("runs"),
) -> None:
    """Show what works on a study, how far each run is, and how old each word of it is.

    Exit status: 0 where it is at work or came to its end, 3 where it was interrupted, failed or is gone, 1 where there
    is no such study.
    """
    from nlcse_tune.cli import show_status
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.records.status import studies_under, study_status

    if study is None:
        if watch:
            raise ConfigError("--watch: looks at one study; name it")
        found = [study_status(paths) for paths in studies_under(out)]
        in_json = ", ".join(seen.model_dump_json(indent=1) for seen in found)
        echo(f"[{in_json}]") if as_json else show_status.all_of(found, out)
        return
    paths = StudyPaths(out, study)
    if watch:
        if as_json:
            raise ConfigError("--watch: redraws a table; leave out --json, or ask for it again and again")
        show_status.watch(lambda: _newest(paths), LOOK)
    seen = study_status(paths)
    echo(seen.model_dump_json(indent=1)) if as_json else show_status.one(seen)
    if seen.lacks:
        raise Exit(NOT_WHOLE)


def _newest(paths: "StudyPaths") -> "StudyStatus":
    """What is known of a study now; of one in a store, some seconds ago."""
    from nlcse_tune.records.status import study_status

    refresh(paths.folder, every=FETCH)
    return study_status(paths)


def stop(
    study: options.StudyName,
    wait: Annotated[int, Option(min=0, help="seconds to wait for its end")] = 120,
    out: options.Records = Path("runs"),
) -> None:
    """End the search, seed study or training that works on a study, in order: as Ctrl-C there would.

    Runs under way keep their restart points, and the same command goes on later; it ends with exit status 143. Exit
    status of this one: 0 where nothing works on the study any more, 1 where it did not end in time.
    """
    from nlcse_tune.cli import show_status
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.records.status import ask_to_stop, study_status

    paths = StudyPaths(out, study)
    seen = study_status(paths)
    if seen.state not in ("at work", "silent") or (call := seen.call) is None:
        echo(f"{study}: nothing is at work in {paths.folder}" + (f"; {show_status.said(seen)}" if seen.call else ""))
        return
    ask_to_stop(paths, call)
    until = time.monotonic() + wait
    with show_status.waiting(f"{study}: asked {call.kind} (process {call.process} on {call.host}) to stop"):
        while (seen := _newest(paths)).state in ("at work", "silent") and time.monotonic() < until:
            time.sleep(0.5)
            if seen.call is not None and not call.is_same(seen.call):
                break
    if seen.call is not None and not call.is_same(seen.call):
        echo(f"{study}: it has ended, and another command works there: `{seen.call.command}`")
    elif seen.state in ("at work", "silent"):
        echo(f"{study}: asked to stop, and still at work after {wait} s; `nlcse-tune status {study}` says when it ends")
        raise Exit(1)
    else:
        echo(f"{study}: {show_status.said(seen)}")


def logs(
    run: Annotated[str, Argument(help="a run's id, the start of one, or STUDY/NUMBER: demo/2", metavar="RUN")],
    follow: Annotated[bool, Option("--follow", "-f", help="go on until the run ends")] = False,
    out: options.Records = Path("runs"),
) -> None:
    """Print a run's log: where it ran, each attempt, dev evaluation, warning and error."""
    from nlcse_tune.cli.show_status import outcome_of
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.records.status import find_log, is_over

    paths, told, over = find_log(run, out), 0, False
    study = StudyPaths(out, paths.study.name)
    while True:
        over = not follow or is_over(_newest(study), paths)
        with paths.log.open("rb") as stream:
            stream.seek(told)
            new = stream.read()
        told += len(new)
        if new:
            echo(new.decode(errors="replace"), nl=False)
        if over:
            break
        time.sleep(LOOK / 2)
    if (outcome := outcome_of(paths)) is not None:
        echo(outcome)
