"""`nlcse-tune evaluate` and `nlcse-tune data`: parse, call one function, print. Mounted by `cli.py`."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nlcse_tune.errors import ConfigError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nlcse_tune.evaluation.evaluate import EvaluationResult
    from nlcse_tune.evaluation.geometry import GeometryScore

data_app = typer.Typer(name="data", help="Get and check evaluation data and training texts.", no_args_is_help=True)

Models = Annotated[
    list[str],
    typer.Argument(help="runs, checkpoint folders, sentence-transformers folders or hub names", metavar="MODEL..."),
]
Tasks = Annotated[
    str, typer.Option(help="sts, sts-dev, stsb-LANG, transfer, geometry, retrieval, all, or single ones: sts12,mr")
]
Data = Annotated[str, typer.Option(help="folder in SentEval's layout, or 'synthetic'")]
Pooling = Annotated[str, typer.Option(help="saved, cls, cls_before_pooler, avg (or mean), avg_first_last, avg_top2")]
Force = Annotated[bool, typer.Option("--force-pooling", help="score with another pooling than the saved one")]
SettingName = Annotated[str, typer.Option(help="how a task's sub-sets are joined: all, mean or wmean")]
Subsets = Annotated[bool, typer.Option("--subsets", help="every sub-set too, with Pearson")]
PrecisionName = Annotated[str | None, typer.Option(help="fp32 or bf16 [default: bf16 on a GPU, else fp32]")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the GPU if there is one]")]
Query = Annotated[list[str] | None, typer.Option(help="retrieval: a sentence to look for; any number of times")]
Corpus = Annotated[Path | None, typer.Option(help="retrieval: a UTF-8 file, one sentence a line")]
Top = Annotated[int, typer.Option(min=1, help="retrieval: results a query")]
Figure = Annotated[Path | None, typer.Option(help="geometry: write Figure 4 for these models (.pdf, .png, .svg)")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables")]
Out = Annotated[Path, typer.Option("--out", help="where run ids are looked up")]


def evaluate(
    models: Models,
    tasks: Tasks = "sts",
    data: Data = "data/senteval",
    pooling: Pooling = "saved",
    force_pooling: Force = False,
    setting: SettingName = "all",
    subsets: Subsets = False,
    precision: PrecisionName = None,
    device: Device = None,
    query: Query = None,
    corpus: Corpus = None,
    top: Top = 3,
    figure: Figure = None,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Score models on STS, transfer tasks, geometry or retrieval, as the published tables do."""
    _one_of("--setting", setting, ("all", "mean", "wmean"))
    _one_of("--precision", precision, (None, "fp32", "bf16"))
    if "retrieval" in (names := [name.strip() for name in tasks.split(",")]):
        if len(names) > 1:
            raise ConfigError(f"--tasks {tasks}: retrieval stands alone; call it in a command of its own")
        _retrieve(models, query or [], corpus, top, pooling, force_pooling, precision, device, as_json, out)
        return
    _load_quietly()
    from nlcse_tune.cli.show_evaluation import render, render_json
    from nlcse_tune.evaluation.evaluate import evaluate as run
    from nlcse_tune.evaluation.geometry import draw_geometry

    results = [
        run(
            model, [tasks], data, pooling=pooling, force_pooling=force_pooling, out=out,
            precision=precision, device=_device(device), progress=sys.stderr.isatty(),  # type: ignore[arg-type]
        )
        for model in models
    ]  # fmt: skip
    if figure is not None:
        points, averages = _points(results)
        draw_geometry(points, figure, averages)
    _print(render_json(results) if as_json else render(results, setting=setting, subsets=subsets))  # type: ignore[arg-type]
    if figure is not None and not as_json:
        _print(f"figure: {figure}")


@data_app.command("fetch")
def fetch_data(
    name: Annotated[str, typer.Argument(help="sts (SentEval's sets), wiki1m or nli (SimCSE's training texts)")],
    to: Annotated[Path | None, typer.Option(help="folder (sts) or file [default: where studies look]")] = None,
    base_url: Annotated[str | None, typer.Option(help="another address that holds SimCSE's files: a mirror")] = None,
) -> None:
    """Download SimCSE's public data, check them, and say where they are."""
    from nlcse_tune.data.fetch import BASE_URL, fetch

    with _bytes_bar() as advance:
        fetched = fetch(name, to, base_url=base_url or BASE_URL, progress=advance)
    _print(f"{name}: {fetched.path.resolve()}")
    _print_check(fetched.found, fetched.warnings)


@data_app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="folder in SentEval's layout")] = Path("data/senteval"),
) -> None:
    """Read every evaluation set in a folder and count it; exit status 1 if something is missing or odd."""
    from nlcse_tune.data.fetch import check_sts

    found, warnings = check_sts(folder)
    _print_check(found, warnings)
    if warnings:
        raise typer.Exit(1)


def _retrieve(
    models: Sequence[str], queries: list[str], corpus: Path | None, top: int, pooling: str, force: bool,
    precision: str | None, device: str | None, as_json: bool, out: Path,
) -> None:  # fmt: skip
    import json

    if corpus is None or not queries:
        raise ConfigError('--tasks retrieval needs --query "..." and --corpus FILE (one sentence a line)')
    _load_quietly()
    from nlcse_tune.cli.show_evaluation import render_retrieval
    from nlcse_tune.evaluation.models import load_model
    from nlcse_tune.evaluation.retrieval import load_corpus, retrieve

    sentences, found = load_corpus(corpus), {}
    for model in models:
        encoder = load_model(model, pooling, force=force, out=out).encoder.to(_device(device))
        found[model] = retrieve(
            encoder, queries, sentences, top=top, precision=precision, progress=sys.stderr.isatty()  # type: ignore[arg-type]
        )  # fmt: skip
    plain = {m: {q: [hit.model_dump() for hit in hits] for q, hits in by.items()} for m, by in found.items()}
    _print(json.dumps(plain, indent=1, ensure_ascii=False) if as_json else render_retrieval(found))


def _points(results: "Sequence[EvaluationResult]") -> "tuple[dict[str, GeometryScore], dict[str, float]]":
    """What Figure 4 shows: a point a model, and the STS averages that colour them."""
    scores = {result.model: result.geometry for result in results if result.geometry is not None}
    if not scores:
        raise ConfigError("--figure draws alignment and uniformity: add geometry to --tasks")
    averages = {result.model: average for result in results if (average := result.average()) is not None}
    return scores, averages


def _one_of(option: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        names = [name for name in known if name is not None]
        raise ConfigError(f"{option} {value}: must be {', '.join(names)}{nearest(str(value), names)}")


def _device(name: str | None) -> str:
    """The device to use; ConfigError where this machine does not have it."""
    import torch

    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"--device {chosen}: not usable here ({reason}); leave --device out, or give cpu") from None
    return chosen


def _load_quietly() -> None:
    """Imports what takes seconds under a spinner, and keeps transformers' loading bars off the screen."""
    from rich.console import Console

    with Console(stderr=True).status("loading"):
        from transformers.utils import logging

        import nlcse_tune.evaluation.evaluate  # noqa: F401
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def _print(what: "RenderableType") -> None:
    """Text as it is; tables as wide as they need where stdout is no terminal."""
    if isinstance(what, str):
        typer.echo(what)
        return
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(what)


def _print_check(found: Sequence[str], warnings: Sequence[str]) -> None:
    for line in found:
        typer.echo(f"  {line}")
    for line in warnings:
        typer.echo(f"  warning: {line}", err=True)


@contextmanager
def _bytes_bar() -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar of bytes on stderr; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("download", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
