"""`nlcse-tune data`: get and check what runs and evaluations read."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nlcse_tune.cli.command import Command, with_verbose
from nlcse_tune.names import DataName

if TYPE_CHECKING:
    from nlcse_tune.data.fetch import Contents

app = typer.Typer(name="data", help="Get and check evaluation data and training texts.", no_args_is_help=True)


@app.command(cls=Command)
@with_verbose
def fetch(
    name: Annotated[DataName, Argument(help="sts (SentEval's sets), wiki1m or nli (SimCSE's training texts)")],
    to: Annotated[Path | None, Option(help="folder (sts) or file [default: where studies look]")] = None,
) -> None:
    """Download SimCSE's public data from the Hugging Face hub (HF_ENDPOINT names a mirror), and check them."""
    from nlcse_tune.data import fetch

    target, contents = fetch.fetch(name, to)
    typer.echo(f"{name}: {target.resolve()}")
    _print(contents)


@app.command(cls=Command)
@with_verbose
def check(
    folder: Annotated[Path, Argument(help="in SentEval's layout, or of images or audio")] = Path("data/senteval"),
) -> None:
    """Read all of a folder and count it: evaluation sets, or a side's files; exit status 1 if something is wrong."""
    from nlcse_tune.data.fetch import check_folder

    contents = check_folder(folder)
    _print(contents)
    if contents.warnings:
        raise typer.Exit(1)


def _print(contents: "Contents") -> None:
    for line in contents.counts:
        typer.echo(f"  {line}")
    for line in contents.warnings:
        typer.echo(f"  warning: {line}", err=True)
