"""The command line: parse, call one function, print. Heavy imports wait until a command needs them."""

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from nlcse_tune import errors
from nlcse_tune.cli import dashboard, data, decide, evaluate, options, report, reproduce, search, seeds, status
from nlcse_tune.cli.command import Command, Verbose, be_verbose, with_verbose
from nlcse_tune.files import named
from nlcse_tune.names import MAX_SEED
from nlcse_tune.storage import here

app = typer.Typer(
    name="nlcse-tune",
    help="Search, repeat and decide: is this sentence-embedding method better, or was it a lucky seed?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_versions(asked: bool) -> None:
    if asked:
        from nlcse_tune import __version__
        from nlcse_tune.versions import packages

        python = ".".join(map(str, sys.version_info[:3]))
        for name, version in {"nlcse-tune": __version__, "python": python, **packages()}.items():
            typer.echo(f"{name} {version}")
        raise typer.Exit


@app.callback()
def _before_any_command(
    version: Annotated[
        bool,
        Option("--version", callback=_print_versions, is_eager=True, help="versions of this tool and what it rests on"),
    ] = False,
    verbose: Verbose = False,
    folder: data.Place = None,
) -> None:
    be_verbose(verbose)
    data.use(folder)


def train(
    study: options.StudyName,
    seed: Annotated[int, Option(min=0, max=MAX_SEED, help="the run's seed")] = 42,
    sets: options.Sets = None,
    workers: options.Workers = 1,
    cpus_per_worker: options.CpusPerWorker = None,
    gpus_per_worker: options.GpusPerWorker = None,
    address: options.Address = None,
    track: options.Track = None,
    profile: Annotated[bool, Option("--profile", help="trace steps 20 to 30, and print where their time goes")] = False,
    out: options.Out = Path("runs"),
) -> None:
    """Train one run of a study; with one worker in this process, with more through Ray Train."""
    from nlcse_tune.cli import show
    from nlcse_tune.cli.live import LiveView
    from nlcse_tune.launch.precision import expected
    from nlcse_tune.launch.preflight import check_precision, check_store
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.tracking import trackers

    chosen, _ = options.chosen_study(study, sets)
    paths = StudyPaths(out, chosen.name)
    launch = Launch(workers, cpus_per_worker, gpus_per_worker, address=address)
    check_store(paths)
    watchers = trackers(chosen, paths, "train", track)
    check_precision([expected(chosen, paths).config.train.precision], paths, here=workers == 1 or launch.here)
    with show.screen.status(f"{chosen.name}: reading the study"):
        from nlcse_tune.launch.single import train_one
    with LiveView(f"{chosen.config.method}, seed {seed}", lines=workers > 1) as view:
        try:
            record = train_one(
                chosen,
                paths,
                seed,
                launch,
                on_point=show.dev_point,
                note=show.console.print,
                watchers=[view, *watchers],
                profile=profile,
            )
        except KeyboardInterrupt:
            show.console.print(f"{errors.interrupted_why()}; the same command goes on from the run's restart point")
            raise typer.Exit(errors.interrupted_status()) from None
    show.run(record, paths)
    if profile:
        show.profile(paths.run(record.run_id))


def studies(
    study: Annotated[
        str | None, Argument(help="a study to show whole", autocompletion=options.studies_that_begin)
    ] = None,
) -> None:
    """List the studies at hand, or show one with every field and what it means."""
    from nlcse_tune.cli import show
    from nlcse_tune.study import find_study, names

    if study is None:
        show.studies([find_study(name) for name in names("studies")])
    else:
        show.study(find_study(study))


def export(
    run: Annotated[str, Argument(help="a run id, a run's folder, or a checkpoint folder", metavar="RUN")],
    to: Annotated[Path, Option("--to", help="the folder to write", metavar="DIR")],
    force: Annotated[bool, Option("--force", help="replace an earlier export in DIR")] = False,
    out: options.Records = Path("runs"),
) -> None:
    """Write a run as a folder that sentence-transformers loads, with a model card."""
    from nlcse_tune.export.folder import export_run

    folder = export_run(here(run), to, out=out, force=force)
    typer.echo(f'wrote {folder}: load it with SentenceTransformer("{folder}"); state a licence in its README.md')


for command in (
    train, studies, export, search.search, seeds.seeds, decide.decide, reproduce.reproduce, report.report,
    report.compare, report.plan, evaluate.evaluate, status.status, status.stop, status.logs, dashboard.dashboard,
):  # fmt: skip
    app.command(cls=Command)(with_verbose(command))
app.add_typer(data.app)


def main() -> None:
    """Entry point: a NlcseError is printed as one message, anything else is a bug and keeps its traceback."""
    try:
        app(standalone_mode=True, prog_name="nlcse-tune")
    except errors.NlcseError as error:
        if errors.verbose():
            traceback.print_exception(error)
        typer.secho(named(f"error: {error}"), fg="red", err=True)
        sys.exit(1)
