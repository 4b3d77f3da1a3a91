"""`search`: the command with the most options, in a file of its own."""

import time
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlcse_tune.cli.options import (
    Address,
    Concurrent,
    CpusPerWorker,
    GpusPerWorker,
    Out,
    Sets,
    StudyName,
    Workers,
    assignments,
    chosen_study,
)
from nlcse_tune.errors import ConfigError

if TYPE_CHECKING:
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.search.search import SearchOptions
    from nlcse_tune.study import Study


class SamplerName(StrEnum):
    """What proposes points."""

    tpe = "tpe"
    random = "random"
    grid = "grid"


class SchedulerName(StrEnum):
    """What stops runs early."""

    none = "none"
    asha = "asha"
    median = "median"


def search(
    study: StudyName,
    sets: Sets = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            "--max-trials",
            min=1,
            help="points to try [default: the study's, else the grid, of a large one two thirds]",
        ),
    ] = None,
    space: Annotated[str | None, typer.Option(help="another search space: a name or a YAML file")] = None,
    sampler: Annotated[SamplerName | None, typer.Option(help="[default: grid if it fits, else tpe]")] = None,
    scheduler: Annotated[
        SchedulerName | None, typer.Option(help="stops hopeless runs early [default: asha from 9 runs on]")
    ] = None,
    grace: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="share of a run before which none is stopped")
    ] = 0.25,
    select_seeds: Annotated[
        int | None,
        typer.Option(min=1, help="judge the best few by the mean over this many seeds [default: 3 from 9 runs on]"),
    ] = None,
    tries: Annotated[
        list[str] | None,
        typer.Option("--try", help="a point to run early: field=value,field=value", metavar="POINT"),
    ] = None,
    prior: Annotated[
        str | None, typer.Option("--from", help="learn from another study's search under --out", metavar="STUDY")
    ] = None,
    with_baseline: Annotated[
        bool, typer.Option("--with-baseline", help="search the baseline first, with the same budget")
    ] = False,
    max_time: Annotated[
        str | None, typer.Option(help="stop after: 90m, 2h, 1h30m; the same command goes on later", metavar="TIME")
    ] = None,
    keep: Annotated[int, typer.Option(min=1, help="finished runs whose checkpoints stay on disk")] = 3,
    fresh: Annotated[bool, typer.Option("--fresh", help="move earlier runs aside and start anew")] = False,
    show: Annotated[bool, typer.Option("--show", help="show what is on record instead of searching")] = False,
    figures: Annotated[bool, typer.Option("--figures", help="with --show: draw heat map and dev curves")] = False,
    workers: Workers = 1,
    concurrent: Concurrent = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    address: Address = None,
    out: Out = Path("runs"),
) -> None:
    """Search a study's hyper-parameters on STS-B dev; the best configuration and its checkpoint come out."""
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.space import load_space
    from nlcse_tune.study import resolve

    chosen, values = chosen_study(study, sets)
    if space is not None:
        chosen = chosen.with_space(load_space(resolve("search_spaces", space)))
    if show:
        _show(chosen, StudyPaths(out, chosen.name), trials, figures)
        return
    from nlcse_tune.cli.show import status
    from nlcse_tune.search.state import complete_point, load_state
    from nlcse_tune.search.state import prior as prior_points

    # What can be wrong with the call is found before torch and Ray are imported, which takes ten times as long.
    paths, seconds = StudyPaths(out, chosen.name), parse_time(max_time)
    baseline = chosen.baseline_study(values) if with_baseline else None
    if with_baseline and baseline is None:
        raise ConfigError(f"{chosen.name}: --with-baseline: the study has no baseline; add `baseline:` to it")
    if baseline is not None:
        load_state(baseline, StudyPaths(out, baseline.name), trials, fresh=fresh)
    plan = load_state(chosen, paths, trials, fresh=fresh)
    points = tuple(assignments(text.split(",")) for text in tries or ())
    for point in points:
        complete_point(plan, point)
    if prior:
        prior_points(plan, StudyPaths(out, prior))
    with status(f"{chosen.name}: reading the study"):
        from nlcse_tune.launch.spec import Launch
        from nlcse_tune.search.search import SearchOptions
    options = SearchOptions(
        trials=trials, method=sampler.value if sampler else None, scheduler=scheduler.value if scheduler else None,
        grace=grace, select_seeds=select_seeds, tries=points, prior=StudyPaths(out, prior) if prior else None,
        seconds=seconds, keep=keep, fresh=fresh,
    )  # fmt: skip
    launch = Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address)
    if baseline is not None:
        options = _equal_terms(options, chosen)
        started = time.monotonic()
        # Points and prior of the method's space mean nothing in the baseline's; of the time it gets at most half.
        half = None if options.seconds is None else options.seconds / 2
        _run(baseline, StudyPaths(out, baseline.name), replace(options, tries=(), prior=None, seconds=half), launch)
        if options.seconds is not None:
            options = replace(options, seconds=max(0.0, options.seconds - (time.monotonic() - started)))
    _run(chosen, paths, options, launch)


def _equal_terms(options: "SearchOptions", method: "Study") -> "SearchOptions":
    """The options with the method's own defaults in place: a smaller space would suggest others to the baseline."""
    from nlcse_tune.search.search import scheduler_of, seeds_of
    from nlcse_tune.search.state import budget

    points = budget(method, options.trials)
    return replace(
        options, trials=points, scheduler=scheduler_of(points, options), select_seeds=seeds_of(points, options)
    )


def _run(study: "Study", paths: "StudyPaths", options: "SearchOptions", launch: "Launch") -> None:
    from nlcse_tune.cli import show_search
    from nlcse_tune.cli.show import console
    from nlcse_tune.search.search import search

    with show_search.SearchView(study.name) as view:
        try:
            found = search(study, paths, options, launch, view)
        except KeyboardInterrupt:
            done = len(view.plan.done) if view.plan else 0
            same = "the same command without --fresh" if options.fresh else "the same command"
            console.print(f"interrupted with {done} runs on record; {same} goes on from there")
            raise typer.Exit(130) from None
    show_search.result(found, paths)


def _show(study: "Study", paths: "StudyPaths", trials: int | None, figures: bool) -> None:
    from nlcse_tune.cli import show_search
    from nlcse_tune.cli.show import console
    from nlcse_tune.search.journal import importances
    from nlcse_tune.search.state import last_choice, load_state

    plan = load_state(study, paths, trials)
    candidates = plan.candidates()
    if not candidates:
        raise ConfigError(
            f"{study.name}: no run of this search is on record in {paths.folder}; pass the --set and --space options "
            "that it was searched with"
        )
    winner = last_choice(plan)
    show_search.overview(plan, candidates, importances(plan, candidates), winner)
    if figures:
        from nlcse_tune.report.search_figures import write_search_figures

        runs = [(candidate.point, candidate.record) for candidate in candidates]
        best = winner.run_id if winner else candidates[0].record.run_id
        files = write_search_figures(study.name, runs, best, show_search.heat_fields(plan), paths.report)
        console.print(f"written to {files[0].parent}: {', '.join(file.name for file in files)}")


def parse_time(text: str | None) -> float | None:
    """`"1h30m"` -> 5400.0 seconds."""
    import re

    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not text.strip() or found is None:
        raise ConfigError(f"--max-time {text}: must be hours, minutes and seconds, for instance 2h, 90m or 1h30m")
    parts: tuple[Any, ...] = found.groups()
    return sum(float(part) * unit for part, unit in zip(parts, (3600, 60, 1), strict=True) if part)
