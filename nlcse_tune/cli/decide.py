"""`decide`: the whole question unattended: both arms searched, seeds under a stopping rule, a report, one verdict."""

import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Exit, Option

from nlcse_tune.cli import options
from nlcse_tune.errors import RunError, interrupt, interrupted_status, interrupted_why

if TYPE_CHECKING:
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.search.state import SearchOptions
    from nlcse_tune.study import Study


def decide(
    study: options.StudyName,
    max_time: Annotated[
        str | None, Option(help="end in order after: 24h, 90m; the same command goes on later", metavar="TIME")
    ] = None,
    trials: Annotated[
        int | None, Option(min=1, help="points that each arm's search tries [default: as `search`]")
    ] = None,
    sets: options.Sets = None,
    workers: options.Workers = 1,
    concurrent: options.Concurrent = None,
    cpus_per_worker: options.CpusPerWorker = None,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    track: options.Track = None,
    out: options.Out = Path("runs"),
) -> None:
    """Is it better than its baseline? Search both on equal terms, add seeds until decided, report, one verdict."""
    from nlcse_tune.cli import show
    from nlcse_tune.cli.search import both_searches
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.search.state import SearchOptions, check_call

    chosen, values = options.chosen_study(study, sets)
    seconds = options.parse_time(max_time)
    launch = Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address)
    searches = both_searches(chosen, out, values, SearchOptions(trials=trials))
    for searched, how in searches:
        check_call(searched, StudyPaths(out, searched.name), how, launch)
    with show.screen.status(f"{chosen.name}: reading the study"):  # an import that time cuts short cannot be made again
        import nlcse_tune.search.search
        import nlcse_tune.seeds  # noqa: F401
    try:
        with ended_after(seconds):
            _search(searches, out, launch, track)
            verdict = _repeat(chosen, values, out, launch, track)
    except (KeyboardInterrupt, Exit):
        show.console.print(f"{interrupted_why()} before a verdict; the same command goes on from here:")
        for line in _missing(searches, chosen, values, out):
            show.console.print(f"  {line}")
        raise Exit(interrupted_status()) from None
    show.console.print(f"verdict: {verdict}", soft_wrap=True)


@contextmanager
def ended_after(seconds: float | None) -> Iterator[None]:
    """Ends the block in order, as Ctrl-C would, when its time is up."""
    if seconds is None:
        yield
        return
    why = "time was up (--max-time)"
    former = signal.signal(signal.SIGALRM, lambda number, frame: interrupt(number, why))
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def _search(
    searches: "Sequence[tuple[Study, SearchOptions]]", out: Path, launch: "Launch", track: list[str] | None
) -> None:
    """Both searches, baseline first, each to its end: a choice from half a search would not be on equal terms."""
    from nlcse_tune.cli.search import search_and_show
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.tracking import trackers

    for study, how in searches:
        paths = StudyPaths(out, study.name)
        result = search_and_show(study, paths, how, launch, trackers(study, paths, "search", track))
        if result.missing or result.unrepeated:
            raise RunError(f"{study.name}: its search lacks runs, whose processes died; the same command goes on")


def _repeat(study: "Study", values: "Mapping[str, Any]", out: Path, launch: "Launch", track: list[str] | None) -> str:
    """Seeds of both winners until the rule stops, and the report; returns the rule's verdict."""
    from nlcse_tune import seeds as repeat
    from nlcse_tune.cli import show
    from nlcse_tune.cli.show_seeds import ConsoleView
    from nlcse_tune.launch.precision import known
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.report.verdict_words import rule_outcome
    from nlcse_tune.study import Rounds
    from nlcse_tune.tracking import trackers

    paths = StudyPaths(out, study.name)
    study = known(study, paths)  # its search has found what `auto` is
    arms = repeat.planned_arms(study, paths, dict(values))
    rounds = study.confirm.rule or Rounds()
    with ConsoleView() as view:
        watchers = trackers(study, paths, "seeds", track)
        run = partial(repeat.run_seeds, arms, launch=launch, view=view, watchers=watchers)
        repeat.until_decided(arms, rounds.first, rounds.maximum, launch=run, view=view)
    made = show.report([arm.study for arm in arms], out, repeat.report_options(arms))
    comparison = made.comparisons[0]
    assert comparison.look is not None
    assert comparison.kept is not None
    told = comparison.method.name, comparison.declared.margin, comparison.kept.rule.alpha
    return rule_outcome(comparison.look, *told)


def _missing(
    searches: "Sequence[tuple[Study, SearchOptions]]", study: "Study", values: "Mapping[str, Any]", out: Path
) -> Iterator[str]:
    """How far each part is, a line each."""
    from nlcse_tune import seeds as repeat
    from nlcse_tune.launch.precision import expected
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.records import KeptRule
    from nlcse_tune.search.state import load_state

    for searched, how in searches:
        paths = StudyPaths(out, searched.name)
        state = load_state(expected(searched, paths), paths, how.trials)
        chosen = "chosen" if state.paths.search.is_file() else "nothing chosen yet"
        yield f"search of {searched.name}: {len(state.done)} of {state.trials} points on record, {chosen}"
    paths = StudyPaths(out, study.name)
    arms = repeat.planned_arms(expected(study, paths), paths, dict(values))
    if any(arm.origin != "search" for arm in arms):
        yield "seeds: none yet, both searches come first"
        return
    kept = KeptRule.read(arms[0].paths.rule((arms[0].key, arms[1].key)))
    if kept is None:
        yield "seeds: none yet"
        return
    tested = [sum(arm.is_tested(arm.spec(seed).run_id) for seed in kept.seeds) for arm in arms]
    looks = ", ".join(map(str, kept.rule.looks))
    yield f"seeds: {tested[0]} of {arms[0].study.name} and {tested[1]} of its baseline; looks at {looks} per arm"
