"""`search`: the command with the most options, in a file of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Context, Exit, Option

from nlcse_tune import names
from nlcse_tune.cli import options
from nlcse_tune.errors import ConfigError, interrupted_status, interrupted_why, plural

if TYPE_CHECKING:
    from nlcse_tune.launch.events import Watcher
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.search.search import SearchResult
    from nlcse_tune.search.state import SearchOptions
    from nlcse_tune.study import Study


def search(
    context: Context,
    study: options.StudyName,
    sets: options.Sets = None,
    trials: Annotated[
        int | None,
        Option(
            "--trials",
            "--max-trials",
            min=1,
            help="points to try [default: the study's, else (most of) its grid]",
        ),
    ] = None,
    seed: Annotated[int | None, Option(min=0, help="of the search's runs [default: the study's search_seed]")] = None,
    space: Annotated[str | None, Option(help="another search space: a name or a YAML file")] = None,
    sampler: Annotated[names.SamplerName | None, Option(help="[default: grid if it fits, else tpe]")] = None,
    scheduler: Annotated[
        names.SchedulerName | None, Option(help="stops hopeless runs early [default: asha from 9 runs on]")
    ] = None,
    grace: Annotated[float, Option(min=0.01, max=0.99, help="share of a run before which none is stopped")] = 0.25,
    select_seeds: Annotated[
        int | None,
        Option(min=1, help="judge the best few by the mean over this many seeds [default: 3 from 9 runs on]"),
    ] = None,
    tries: Annotated[
        list[str] | None, Option("--try", help="a point to run early: field=value,field=value", metavar="POINT")
    ] = None,
    prior: Annotated[
        str | None, Option("--from", help="learn from another study's search under --out", metavar="STUDY")
    ] = None,
    with_baseline: Annotated[
        bool, Option("--with-baseline", help="search the baseline first, with the same budget")
    ] = False,
    max_time: Annotated[
        str | None, Option(help="stop after: 90m, 2h, 1h30m; the same command goes on later", metavar="TIME")
    ] = None,
    keep: Annotated[int, Option(min=1, help="finished runs whose checkpoints stay on disk")] = 3,
    fresh: Annotated[bool, Option("--fresh", help="move earlier runs aside and start anew")] = False,
    show: Annotated[bool, Option("--show", help="show what is on record instead of searching")] = False,
    figures: Annotated[bool, Option("--figures", help="with --show: draw heat map and dev curves")] = False,
    workers: options.Workers = 1,
    concurrent: options.Concurrent = None,
    cpus_per_worker: options.CpusPerWorker = None,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    track: options.Track = None,
    submit: options.Submit = False,
    out: options.Out = Path("runs"),
) -> None:
    """Search a study's hyper-parameters on STS-B dev; the best configuration and its checkpoint come out."""
    from nlcse_tune.config.fields import assignments
    from nlcse_tune.launch.precision import expected
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.search.state import SearchOptions, check_call, load_state
    from nlcse_tune.space import load_space
    from nlcse_tune.study import resolve
    from nlcse_tune.tracking import trackers

    if submit:
        from nlcse_tune.cli.submit import submit_command

        submit_command(context, study, sets, space)
        return
    chosen, values = options.chosen_study(study, sets)
    if space is not None:
        chosen = chosen.copied(space=load_space(resolve("search_spaces", space)))
    if seed is not None:
        chosen = chosen.copied(search_seed=seed)
    if show:
        from nlcse_tune.cli.show_search import overview

        paths = StudyPaths(out, chosen.name)
        overview(load_state(expected(chosen, paths), paths, trials), figures=figures)
        return
    how = SearchOptions(
        trials=trials, method=sampler, scheduler=scheduler, grace=grace, select_seeds=select_seeds,
        tries=tuple(assignments(text.split(",")) for text in tries or ()),
        prior=StudyPaths(out, prior) if prior else None, seconds=options.parse_time(max_time), keep=keep, fresh=fresh,
    )  # fmt: skip
    launch = Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address)
    searches = both_searches(chosen, out, values, how, seed) if with_baseline else [(chosen, how)]
    watchers = [trackers(searched, StudyPaths(out, searched.name), "search", track) for searched, _ in searches]
    for searched, asked in searches:
        check_call(searched, StudyPaths(out, searched.name), asked, launch)
    _run(searches, watchers, out, launch, options.command_line("seeds", study, sets=sets, out=out))


def both_searches(
    study: "Study", out: Path, values: "Mapping[str, Any]", how: "SearchOptions", seed: int | None = None
) -> "list[tuple[Study, SearchOptions]]":
    """The search of a study's baseline, then its own, with the same budget; ConfigError where it has no baseline."""
    from nlcse_tune.launch.precision import known
    from nlcse_tune.paths import StudyPaths

    if (baseline := known(study, StudyPaths(out, study.name), fresh=how.fresh).baseline_study(values)) is None:
        raise ConfigError(f"{study.name}: the study has no baseline to search or compare with; add `baseline:` to it")
    baseline = baseline.copied(search_seed=baseline.search_seed if seed is None else seed)
    how = how.on_equal_terms(study)
    # The method's points and prior mean nothing to the baseline.
    half = None if how.seconds is None else how.seconds / 2
    return [(baseline, replace(how, tries=(), prior=None, seconds=half)), (study, how)]


def _run(
    searches: "Sequence[tuple[Study, SearchOptions]]",
    watchers: "Sequence[Sequence[Watcher]]",
    out: Path,
    launch: "Launch",
    following: str,
) -> None:
    """Searches one after the other, within the time of the last, and says what to run after it."""
    from nlcse_tune.cli import show_search
    from nlcse_tune.paths import StudyPaths

    spent = 0.0
    for (study, how), told in zip(searches, watchers, strict=True):
        left = None if how.seconds is None else max(0.0, how.seconds - spent)
        result = search_and_show(study, StudyPaths(out, study.name), replace(how, seconds=left), launch, told)
        spent += result.seconds
    show_search.next_step(result, following)


def search_and_show(
    study: "Study", paths: "StudyPaths", how: "SearchOptions", launch: "Launch", watchers: "Sequence[Watcher]"
) -> "SearchResult":
    """Searches, and prints what came of it."""
    from nlcse_tune.cli import show, show_search
    from nlcse_tune.report.numbers import named_seeds

    with show.screen.status(f"{study.name}: reading the study"):
        from nlcse_tune.search.search import search
    if study.search_seed in study.seeds:
        show.console.print(
            f"warning: this study is tested with {named_seeds(study.seeds)}, and seed {study.search_seed} is one: "
            "where a search has chosen by a seed, its test score is biased upward; choose another --seed"
        )
    view = show_search.SearchView(study.name)
    with view:
        try:
            result = search(study, paths, how, launch, view, watchers)
        except KeyboardInterrupt:
            done = len(view.state.done) if view.state else 0
            same = "the same command without --fresh" if how.fresh else "the same command"
            show.console.print(f"{interrupted_why()} with {plural(done, 'run')} on record; {same} goes on from there")
            raise Exit(interrupted_status()) from None
    show_search.result(result, paths)
    return result
