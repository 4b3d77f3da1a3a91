"""The command line: parse, call one function, print. Heavy imports wait until a command needs them."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlcse_tune import cli_evaluate, cli_export, cli_report
from nlcse_tune.errors import NlcseError

if TYPE_CHECKING:
    from nlcse_tune.study import Study

app = typer.Typer(
    name="nlcse-tune",
    help="Search, repeat and decide: is this sentence-embedding method better, or was it a lucky seed?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

StudyName = Annotated[
    str, typer.Argument(help="a study: a name (see `nlcse-tune studies`) or a YAML file", metavar="STUDY")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="field=value, any number of times: text.learning_rate=2e-5", metavar="FIELD=VALUE"),
]
Out = Annotated[Path, typer.Option("--out", help="where records and checkpoints go")]
Workers = Annotated[int, typer.Option(min=1, help="workers (processes, GPUs) of one run; the batch size stays global")]
Address = Annotated[str | None, typer.Option(help="a running Ray cluster, for instance auto or ray://host:10001")]
CpusPerWorker = Annotated[float | None, typer.Option(min=0.1, help="CPUs of a worker [default: 1]")]
GpusPerWorker = Annotated[float | None, typer.Option(min=0, help="GPUs of a worker [default: 1 where there are any]")]


def chosen_study(name: str, assignments: list[str] | None) -> "tuple[Study, dict[str, Any]]":
    """The study with its overrides in place, and the overrides."""
    from nlcse_tune.config import parse_assignment
    from nlcse_tune.study import find_study

    values = dict(parse_assignment(text) for text in assignments or [])
    return find_study(name).with_overrides(values), values


@app.command()
def search(
    study: StudyName,
    sets: Sets = None,
    trials: Annotated[int | None, typer.Option(min=1, help="runs in all [default: the study's, else the grid]")] = None,
    space: Annotated[str | None, typer.Option(help="another search space: a name or a YAML file")] = None,
    sampler: Annotated[
        str | None, typer.Option(help="tpe, random or grid [default: grid if it fits, else tpe]")
    ] = None,
    workers: Workers = 1,
    concurrent: Annotated[int | None, typer.Option(min=1, help="runs side by side [default: what fits]")] = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    address: Address = None,
    out: Out = Path("runs"),
) -> None:
    """Search a study's hyper-parameters on STS-B dev; the best configuration and its checkpoint come out."""
    from nlcse_tune import show
    from nlcse_tune.errors import ConfigError, nearest
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.space import load_space
    from nlcse_tune.study import resolve

    chosen, _ = chosen_study(study, sets)
    if space is not None:
        chosen = chosen.model_copy(update={"space": load_space(resolve("search_spaces", space))})
    if sampler not in (None, "tpe", "random", "grid"):
        raise ConfigError(
            f"--sampler {sampler}: must be tpe, random or grid{nearest(sampler, ('tpe', 'random', 'grid'))}"
        )
    paths = StudyPaths(out, chosen.name)
    with show.status(f"{chosen.name}: reading the study"):
        from nlcse_tune.launch.search import search as run_search

    with show.SearchView(chosen.name) as view:
        result = run_search(
            chosen, paths, trials=trials, method=sampler,  # type: ignore[arg-type]
            workers=workers, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker,
            concurrent=concurrent, address=address, on_start=view.started, on_run=view.finished,
        )  # fmt: skip
    show.ranking(result, paths)


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
    from nlcse_tune import show
    from nlcse_tune.paths import StudyPaths

    chosen, _ = chosen_study(study, sets)
    paths = StudyPaths(out, chosen.name)
    with show.status(f"{chosen.name}: reading the study"):
        from nlcse_tune.launch.single import train_one
    with show.RunView(chosen.config, seed) as view:
        record = train_one(
            chosen, paths, seed,
            workers=workers, cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker, address=address,
            on_point=view.point,
        )  # fmt: skip
    show.run(record, paths)


@app.command()
def seeds(
    study: Annotated[
        str | None, typer.Argument(help="a study [default: the one searched last, else visualcse-bert]")
    ] = None,
    n: Annotated[int, typer.Option("--n", min=2, help="seeds 1 to n for the method and for its baseline")] = 5,
    seed_list: Annotated[str | None, typer.Option("--seeds", help="these seeds instead: 7,8,9")] = None,
    until_decided: Annotated[
        bool, typer.Option(help="add seeds in rounds under a rule that keeps the error rate")
    ] = False,
    maximum: Annotated[int, typer.Option("--max", min=3, help="most seeds of --until-decided")] = 20,
    sets: Sets = None,
    workers: Workers = 1,
    concurrent: Annotated[int | None, typer.Option(min=1, help="runs side by side [default: what fits]")] = None,
    cpus_per_worker: CpusPerWorker = None,
    gpus_per_worker: GpusPerWorker = None,
    address: Address = None,
    out: Out = Path("runs"),
) -> None:
    """Repeat a study's best configuration and its baseline with several seeds, on the seven STS test sets."""
    from nlcse_tune import show
    from nlcse_tune.paths import StudyPaths

    with show.status("reading the study"):
        from nlcse_tune.launch import seeds as launcher
    name = study or launcher.last_searched(StudyPaths(out, "")) or "visualcse-bert"
    chosen, values = chosen_study(name, sets)
    both = launcher.sides(chosen, StudyPaths(out, chosen.name), values)
    show.sides(both)
    launch = partial(
        launcher.run_seeds, both, workers=workers, concurrent=concurrent, address=address,
        cpus_per_worker=cpus_per_worker, gpus_per_worker=gpus_per_worker,
    )  # fmt: skip
    with show.SeedsView() as view:
        if until_decided:
            launcher.until_decided(
                both, n, maximum, launch=partial(launch, on_start=view.started, on_run=view.finished)
            )
        else:
            numbers = launcher.parse_seeds(seed_list) if seed_list else tuple(range(1, n + 1))
            launch(numbers, on_start=view.started, on_run=view.finished)
    show.report(both, out)


@app.command()
def studies(study: Annotated[str | None, typer.Argument(help="a study to show whole")] = None) -> None:
    """List the studies at hand, or show one with every field and what it means."""
    from nlcse_tune import show
    from nlcse_tune.study import find_study, names

    if study is None:
        show.studies([find_study(name) for name in names("studies")])
    else:
        show.study(find_study(study))


app.command()(cli_report.report)
app.command()(cli_report.compare)
app.command()(cli_report.plan)
app.command()(cli_evaluate.evaluate)
app.command()(cli_export.export)
app.add_typer(cli_evaluate.data_app)


def main() -> None:
    """Entry point: a NlcseError is printed as one message, anything else is a bug and keeps its traceback."""
    try:
        app(standalone_mode=True)
    except NlcseError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        sys.exit(1)
