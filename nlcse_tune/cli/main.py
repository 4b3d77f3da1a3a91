"""The command line: parse, call one function, print. Heavy imports wait until a command needs them."""

import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nlcse_tune.cli import data, evaluate, export, report, search
from nlcse_tune.cli.options import (
    Address,
    Concurrent,
    CpusPerWorker,
    GpusPerWorker,
    Out,
    Sets,
    StudyName,
    Workers,
    chosen_study,
)
from nlcse_tune.errors import ConfigError, NlcseError

app = typer.Typer(
    name="nlcse-tune",
    help="Search, repeat and decide: is this sentence-embedding method better, or was it a lucky seed?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def train(
    study: StudyName,
    seed: Annotated[int, typer.Option(min=0, help="the run's seed")] = 42,
    sets: Sets = None,
    workers: Workers = 1,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    address: Address = None,
    out: Out = Path("runs"),
) -> None:
    """Train one run of a study; with one worker in this process, with more through Ray Train."""
    from nlcse_tune.cli import show
    from nlcse_tune.paths import StudyPaths

    chosen, _ = chosen_study(study, sets)
    paths = StudyPaths(out, chosen.name)
    with show.status(f"{chosen.name}: reading the study"):
        from nlcse_tune.launch.single import train_one
        from nlcse_tune.launch.spec import Launch
    with show.RunView(chosen.config, seed) as view:
        launch = Launch(workers, cpus_per_worker, gpus_per_worker, address=address)
        record = train_one(chosen, paths, seed, launch, on_point=view.point)
    show.run(record, paths)


@app.command()
def seeds(
    study: Annotated[
        str | None, typer.Argument(help="a study [default: the one searched last, else visualcse-bert]")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=2, help="seeds 1 to n for the method and for its baseline")] = 5,
    seed_list: Annotated[str | None, typer.Option("--seeds", help="these seeds instead: 7,8,9")] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            help="add fresh seeds in rounds, first --n of them, under a rule that keeps the error rate",
        ),
    ] = False,
    maximum: Annotated[int, typer.Option("--max", min=3, help="most seeds of --until-decided")] = 20,
    any_version: Annotated[
        bool, typer.Option("--any-version", help="count runs of different numerics of this tool, too")
    ] = False,
    sets: Sets = None,
    workers: Workers = 1,
    concurrent: Concurrent = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    address: Address = None,
    out: Out = Path("runs"),
) -> None:
    """Repeat a study's best configuration and its baseline with several seeds, on the seven STS test sets."""
    from nlcse_tune.cli import show
    from nlcse_tune.paths import StudyPaths, last_searched

    if until_decided and seed_list:
        raise ConfigError("--seeds and --until-decided: a stopping rule takes seeds of its own; leave --seeds out")
    with show.status("reading the study"):
        from nlcse_tune import seeds as launcher
        from nlcse_tune.launch.spec import Launch
    name = study or last_searched(out) or "visualcse-bert"
    chosen, values = chosen_study(name, sets)
    both = launcher.sides(chosen, StudyPaths(out, chosen.name), values)
    show.sides(both)
    with show.SeedsView() as view:
        launch = partial(
            launcher.run_seeds, both, launch=Launch(workers, cpus_per_worker, gpus_per_worker, concurrent, address),
            any_version=any_version, on_start=view.started, on_run=view.finished,
        )  # fmt: skip
        try:
            if until_decided:
                launcher.until_decided(
                    both, n, maximum, launch=launch, any_version=any_version, on_rule=view.rule, on_look=view.looked
                )
            else:
                launch(launcher.parse_seeds(seed_list) if seed_list else tuple(range(1, n + 1)))
        except KeyboardInterrupt:
            show.console.print("interrupted; finished runs are on record, and the same command goes on from there")
            raise typer.Exit(130) from None
    show.report(both, out, any_version=any_version)


@app.command()
def studies(study: Annotated[str | None, typer.Argument(help="a study to show whole")] = None) -> None:
    """List the studies at hand, or show one with every field and what it means."""
    from nlcse_tune.cli import show
    from nlcse_tune.study import find_study, names

    if study is None:
        show.studies([find_study(name) for name in names("studies")])
    else:
        show.study(find_study(study))


app.command()(search.search)
app.command()(report.report)
app.command()(report.compare)
app.command()(report.plan)
app.command()(evaluate.evaluate)
app.command()(export.export)
app.add_typer(data.app)


def main() -> None:
    """Entry point: a NlcseError is printed as one message, anything else is a bug and keeps its traceback."""
    try:
        app(standalone_mode=True)
    except NlcseError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
