"""`nlcse-tune data`: get, make and check what runs and evaluations read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from nlcse_tune.cli.command import Command, with_verbose
from nlcse_tune.names import MAX_SEED
from nlcse_tune.paths import DATA

if TYPE_CHECKING:
    from nlcse_tune.data.contents import Contents

app = typer.Typer(name="data", help="Get, make and check texts, images, audio, evaluation sets.", no_args_is_help=True)

Place = Annotated[
    Path | None,
    Option("--data", help="the data folder; else NLCSE_DATA, else ~/.cache/nlcse-tune/data", metavar="FOLDER"),
]
Name = Annotated[str, Argument(help="see `nlcse-tune data list`", metavar="NAME")]
To = Annotated[Path | None, Option(help="another file or folder than where studies look")]


def _names(words: list[str]) -> list[str]:
    """Checked, before the first of them takes hours."""
    from nlcse_tune.data.registry import named

    return [named(word).name for word in words]


def use(data: Path | None) -> None:
    """Makes `--data` the data folder of this process."""
    if data is not None:
        os.environ[DATA] = str(data.absolute())


@app.command("list", cls=Command)
@with_verbose
def list_(data: Place = None) -> None:
    """Every data set: what it is, how much there is to download, and whether it is here."""
    from nlcse_tune.data.fetch import place_of
    from nlcse_tune.data.registry import DATA_SETS

    use(data)
    for one in DATA_SETS.values():
        here = "made on the spot" if not one.place else "here" if place_of(one).exists() else "not here"
        typer.echo(f"{one.name:<14} {one.size:<16} {here:<17}{one.kind}")
        typer.echo(f"    {one.what}")


@app.command(cls=Command)
@with_verbose
def show(name: Name, data: Place = None) -> None:
    """One data set: source, licence, size, checksums, place, and what is recorded of it."""
    from nlcse_tune.data.fetch import MADE_HERE, about, place_of
    from nlcse_tune.data.manifest import Manifest
    from nlcse_tune.data.registry import named

    use(data)
    one = named(name)
    lines = about(one)
    if one.kind == "embedded":
        lines.append(f"  {MADE_HERE}")
    else:
        place = place_of(one)
        lines.append(f"  place: {place}" + ("" if place.exists() else f" (not there: `{one.command}`)"))
        lines += [f"  sha256 of {file.url}: {file.sha256}" for file in one.files if file.sha256]
        lines += [f"  by hand: {one.by_hand}"] if one.by_hand else []
        if (manifest := Manifest.read(place)) is not None:
            lines += [f"  made: {manifest.made}, {manifest.files:,} files, {manifest.brief}"]
            lines += [f"  of: {source}" for source in manifest.source]
            lines += [f"  left out: {name}" for name in manifest.skipped]
    typer.echo("\n".join(lines))


@app.command(cls=Command)
@with_verbose
def fetch(
    names: Annotated[list[str], Argument(help="see `nlcse-tune data list`", metavar="NAME...")],
    to: To = None,
    data: Place = None,
) -> None:
    """Download data sets (HF_ENDPOINT names a mirror of the hub), check them, and put them where studies look."""
    from nlcse_tune.cli.watched import watched
    from nlcse_tune.data.fetch import fetch as run
    from nlcse_tune.errors import ConfigError

    use(data)
    if to is not None and len(names) > 1:
        raise ConfigError(f"--to {to}: is for one data set, got {len(names)}")
    for name in _names(names):
        with watched() as progress:
            target, contents = run(name, to, typer.echo, progress)
        _print(name, target, contents)


@app.command(cls=Command)
@with_verbose
def prepare(
    name: Name,
    given: Annotated[Path, Option("--from", help="the file, archive or folder that you have")],
    seed: Annotated[int, Option(min=0, max=MAX_SEED, help="of what is drawn: classes, items, articles")] = 42,
    classes: Annotated[Path | None, Option(help="a file with the classes or speakers to take, one per line")] = None,
    skip_corrupt: Annotated[bool, Option("--skip-corrupt", help="leave out files that cannot be read")] = False,
    to: To = None,
    data: Place = None,
) -> None:
    """Make a data set of what you have: an ILSVRC or LibriSpeech folder, a dump of Wikipedia, a downloaded file."""
    from nlcse_tune.cli.watched import watched
    from nlcse_tune.data.fetch import prepare as run
    from nlcse_tune.data.lines import read_lines
    from nlcse_tune.data.prepare import Recipe
    from nlcse_tune.errors import ConfigError

    use(data)
    (name,) = _names([name])
    lines = read_lines(classes, hint="give a file to --classes") if classes else []
    listed = tuple(dict.fromkeys(line.split()[0] for line in lines if line.strip()))
    if classes and not listed:
        raise ConfigError(f"--classes {classes}: names no class; write one per line, or leave it out to draw by --seed")
    with watched() as progress:
        target, contents = run(name, given, Recipe(seed, listed or None, skip_corrupt), to, progress)
    _print(name, target, contents)


@app.command(cls=Command)
@with_verbose
def verify(
    names: Annotated[list[str] | None, Argument(help="[default: all that are here]", metavar="NAME...")] = None,
    data: Place = None,
) -> None:
    """Compare data sets with the checksums of the day they were made; exit status 1 if something has changed."""
    from nlcse_tune.data.fetch import place_of
    from nlcse_tune.data.fetch import verify as run
    from nlcse_tune.data.registry import DATA_SETS

    use(data)
    here = [one.name for one in DATA_SETS.values() if one.place and place_of(one).exists()]
    if not names and not here:
        typer.echo("no data set is here: `nlcse-tune data list` has their names")
    wrong = False
    for name in _names(names) if names else here:
        said, problems = run(name)
        typer.echo(f"{name}: {said}{'' if problems else ': as it was made'}" if said else f"{name}:")
        for problem in problems:
            typer.echo(f"  {problem}", err=True)
        wrong = wrong or bool(problems)
    if wrong:
        raise typer.Exit(1)


@app.command(cls=Command)
@with_verbose
def check(
    folder: Annotated[Path, Argument(help="in SentEval's layout, or of images or audio")] = Path("data/senteval"),
) -> None:
    """Read all of a folder and count it: evaluation sets, or a side's files; exit status 1 if something is wrong."""
    from nlcse_tune.data.contents import check_folder
    from nlcse_tune.paths import data_path

    contents = check_folder(data_path(str(folder)))
    _lines(contents)
    if contents.warnings:
        raise typer.Exit(1)


def _print(name: str, target: Path, contents: "Contents") -> None:
    typer.echo(f"{name}: {target.resolve()}" if target != Path() else f"{name}:")
    _lines(contents)


def _lines(contents: "Contents") -> None:
    for line in contents.counts:
        typer.echo(f"  {line}")
    for line in contents.warnings:
        typer.echo(f"  warning: {line}", err=True)
