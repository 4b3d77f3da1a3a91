"""`reproduce`: what a table of the paper would cost, the runs it lacks, and the table, ours beside the paper's."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from typer import Argument, Exit, Option

from nlcse_tune.cli import options
from nlcse_tune.errors import NlcseError, all_of, first_line, interrupted_status, interrupted_why

if TYPE_CHECKING:
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.published import Table
    from nlcse_tune.reproduce.evaluated import Progress
    from nlcse_tune.reproduce.measured import Page
    from nlcse_tune.reproduce.source import Scale, Source
    from nlcse_tune.study import Study

SETS_HELP = "field=value, or studies:field=value ('audiocse-*:side.data=clips'), any number of times"


def reproduce(
    tables: Annotated[
        list[str] | None,
        Argument(
            help="tables and figures of the paper (table3, tableC1, figure2), or all [default: list them]",
            metavar="[TABLE]...",
        ),
    ] = None,
    n: Annotated[int, Option("--n", min=1, help="seeds 1 to n of each row; a comparison takes 2")] = 5,
    search: Annotated[bool, Option("--search", help="search each study that has not been searched first")] = False,
    scale: Annotated[
        Literal["full", "small"], Option(help="small: a small encoder, embedded data and a few steps, for a laptop")
    ] = "full",
    dry_run: Annotated[bool, Option("--dry-run", help="say what would run and what it costs, and end")] = False,
    sets: Annotated[list[str] | None, Option("--set", help=SETS_HELP, metavar="FIELD=VALUE")] = None,
    workers: options.Workers = 1,
    concurrent: options.Concurrent = None,
    cpus_per_worker: options.CpusPerWorker = None,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    out: options.Out = Path("runs"),
) -> None:
    """Run what tables of the paper lack, and print them with the paper's numbers beside, and whether these agree."""
    from nlcse_tune import published
    from nlcse_tune.cli import show, show_reproduce
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.reproduce.source import check_patterns, find_source

    known, seeds = published.tables(), range(1, n + 1)
    everything = not tables or "all" in tables
    chosen = {name: known[name] for name in (known if everything else map(published.find_table, tables or ()))}
    check_patterns(sets or (), {row.study for table in known.values() for row in table.rows})
    names = list(dict.fromkeys(row.study for table in chosen.values() for row in table.rows))
    found = all_of(partial(find_source, name, out, scale, sets or ()) for name in names)
    sources: dict[str, Source] = dict(zip(names, found, strict=True))
    if not tables:
        show_reproduce.listing(chosen, sources, seeds, scale)
        return
    show_reproduce.plan(chosen, sources, seeds, scale, search=search)
    if dry_run:
        return
    launch = Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address)
    again = partial(find_source, out=out, scale=scale, sets=sets or (), settle=partial(_settle, launch))
    try:
        needed = _to_run(chosen, sources, settings=search)
        sources |= {name: again(name) for name in needed}
        if search:
            _search([sources[name] for name in needed], launch)
            sources |= {name: again(name) for name in needed}
        failed = _train([sources[name] for name in _to_run(chosen, sources)], seeds, launch)
        failed += [why for name in chosen for why in _evaluate(chosen[name], sources, seeds, scale)]
    except KeyboardInterrupt:
        show.console.print(f"{interrupted_why()}; finished runs are on record; the same command goes on from there")
        raise Exit(interrupted_status()) from None
    pages = list(_pages(chosen, sources, seeds, scale, out))
    if failed or not all(page.complete for page in pages):
        for why in failed:
            show.console.print(why, markup=False, soft_wrap=True)
        raise Exit(1)


def _settle(launch: "Launch", study: "Study", paths: "StudyPaths") -> "Study":
    """The study with the precision that runs of it have from now on."""
    from nlcse_tune.files import locked
    from nlcse_tune.launch.precision import settle

    with locked(paths.lock, str(paths.folder)):
        return settle(study, paths, launch, lambda text: None)


def _to_run(chosen: "Mapping[str, Table]", sources: "Mapping[str, Source]", *, settings: bool = False) -> list[str]:
    """Those whose runs the tables are about, and whose inputs are there; of tables of settings searches alone are."""
    about = [table for table in chosen.values() if settings or table.measure != "settings"]
    names = dict.fromkeys(row.study for table in about for row in table.rows)
    return [name for name in names if not sources[name].lacking]


def _search(sources: "Sequence[Source]", launch: "Launch") -> None:
    """Searches each study that has a space and no choice; a baseline as thoroughly as the first method against it."""
    from nlcse_tune.cli.search import search_and_show
    from nlcse_tune.reproduce.source import SMALL
    from nlcse_tune.search.state import SearchOptions, check_call
    from nlcse_tune.study import find_study

    how: dict[str, SearchOptions] = {}
    for source in sources:
        baseline = find_study(source.study.name.removeprefix(SMALL)).baseline
        if baseline is not None:
            how.setdefault(baseline, SearchOptions().on_equal_terms(source.study))
    wanted = [source for source in sources if source.study.space is not None and not source.searched]
    asked = {s.study.name: how.get(s.study.name.removeprefix(SMALL), SearchOptions()) for s in wanted}
    for source in wanted:
        check_call(source.study, source.paths, asked[source.study.name], launch)
    for source in wanted:
        search_and_show(source.study, source.paths, asked[source.study.name], launch, ())


def _train(sources: "Sequence[Source]", seeds: Sequence[int], launch: "Launch") -> list[str]:
    """Trains and tests what has no record yet, all studies at once; returns what did not come to its end."""
    from nlcse_tune.cli import show
    from nlcse_tune.launch.preflight import check_precision, check_store

    wanted = [source for source in sources if source.missing(seeds)]
    if not wanted:
        return []
    for source in wanted:
        check_store(source.paths)
        check_precision([source.config.train.precision], source.paths, here=launch.here)
    with show.screen.status("reading the studies"):
        from nlcse_tune import seeds as repeat
        from nlcse_tune.cli.show_seeds import ConsoleView
    arms = [repeat.PlannedArm(s.study, s.paths, s.config, "search" if s.searched else "study") for s in wanted]
    with ConsoleView() as view:
        repeat.run_seeds(arms, seeds, launch, view)
    left = {source.study.name: source.missing(seeds) for source in wanted}
    return [f"{name}: no scores at seeds {', '.join(map(str, own))}" for name, own in left.items() if own]


def _evaluate(table: "Table", sources: "Mapping[str, Source]", seeds: Sequence[int], scale: "Scale") -> Iterator[str]:
    """Evaluates the best models that a table of transfer tasks or retrieval is about; yields what failed."""
    from nlcse_tune.cli.watched import watched
    from nlcse_tune.reproduce.evaluated import evaluate_run, evaluation_seeds, kept_evaluation

    wanted = evaluation_seeds(table, seeds)
    for source in (sources[row.study] for row in table.rows if wanted):
        for record, _ in source.kept(wanted).values():
            if kept_evaluation(source, record, table, scale) is not None:
                continue
            try:
                with watched() as progress:
                    told = f"{source.study.name} seed {record.seed}"
                    evaluate_run(source, record, table, scale, _named(told, progress))
            except NlcseError as error:
                yield f"{source.study.name}, {table.measure} of seed {record.seed}: {first_line(error)}"


def _named(what: str, progress: "Progress") -> "Progress":
    return lambda step, done, whole: progress(f"{what}: {step}", done, whole)


def _pages(
    chosen: "Mapping[str, Table]", sources: "Mapping[str, Source]", seeds: Sequence[int], scale: "Scale", out: Path
) -> "Iterator[Page]":
    """Prints and writes each table."""
    from nlcse_tune.cli import show, show_reproduce
    from nlcse_tune.reproduce.measured import make_page

    for name, table in chosen.items():
        page = make_page(name, table, sources, seeds, scale)
        show_reproduce.page(page)
        show.written(show_reproduce.write(page, out))
        yield page
