"""`nlcse-tune evaluate`: parse, call one function, print."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError
from nlcse_tune.names import Precision, Setting

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nlcse_tune.evaluation.embed import Progress
    from nlcse_tune.evaluation.evaluate import EvaluationResult
    from nlcse_tune.evaluation.retrieval import Hit

Models = Annotated[
    list[str],
    typer.Argument(help="runs, checkpoint folders, sentence-transformers folders or hub names", metavar="MODEL..."),
]
Tasks = Annotated[
    str, typer.Option(help="sts, sts-dev, stsb-LANG, transfer, geometry, retrieval, all, or single ones: sts12,mr")
]
Data = Annotated[str, typer.Option(help="folder in SentEval's layout, or 'synthetic'")]
Pooling = Annotated[
    Literal["saved", "mean", Pooler], typer.Option(help="how token states become a vector; mean is avg")
]
Force = Annotated[bool, typer.Option("--force-pooling", help="score with another pooling than the saved one")]
HowJoined = Annotated[Setting, typer.Option(help="how a task's sub-sets are joined")]
Subsets = Annotated[bool, typer.Option("--subsets", help="every sub-set too, with Pearson")]
Numbers = Annotated[Precision | None, typer.Option(help="arithmetic [default: bf16 on a GPU, else fp32]")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 [default: the GPU if there is one]")]
Query = Annotated[list[str] | None, typer.Option(help="retrieval: a sentence to look for; any number of times")]
Corpus = Annotated[Path | None, typer.Option(help="retrieval: a UTF-8 file, one sentence per line")]
Top = Annotated[int, typer.Option(min=1, help="retrieval: results for each query")]
Figure = Annotated[Path | None, typer.Option(help="geometry: write Figure 4 for these models (.pdf, .png, .svg)")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout instead of tables")]
Out = Annotated[Path, typer.Option("--out", help="where run ids are looked up")]


def evaluate(
    models: Models,
    tasks: Tasks = "sts",
    data: Data = "data/senteval",
    pooling: Pooling = "saved",
    force_pooling: Force = False,
    setting: HowJoined = "all",
    subsets: Subsets = False,
    precision: Numbers = None,
    device: Device = None,
    query: Query = None,
    corpus: Corpus = None,
    top: Top = 3,
    figure: Figure = None,
    as_json: Json = False,
    out: Out = Path("runs"),
) -> None:
    """Score models on STS, transfer tasks, geometry or retrieval, as the published tables do."""
    pooler: Pooler | None = None if pooling == "saved" else "avg" if pooling == "mean" else pooling
    options: dict[str, Any] = {"pooler": pooler, "out": out}
    if "retrieval" in (names := [name.strip() for name in tasks.split(",")]):
        if len(names) > 1:
            raise ConfigError(f"--tasks {tasks}: retrieval stands alone; call it in a command of its own")
        if corpus is None or not query:
            raise ConfigError('--tasks retrieval needs --query "..." and --corpus FILE (one sentence per line)')
        with _watched() as progress:
            options.update(device=_device(device), force=force_pooling)
            hits = _retrieve(models, options, query, corpus, top=top, precision=precision, progress=progress)
        from nlcse_tune.cli.show_evaluation import render_hits, render_hits_json

        _print(render_hits_json(hits) if as_json else render_hits(hits))
        return
    with _watched() as progress:
        from nlcse_tune.cli.show_evaluation import render, render_json
        from nlcse_tune.evaluation.evaluate import evaluate as run

        options.update(device=_device(device), force_pooling=force_pooling, precision=precision, progress=progress)
        results = [run(model, [tasks], data, **options) for model in models]
    if figure is not None:
        _draw(results, figure)
    _print(render_json(results) if as_json else render(results, setting=setting, subsets=subsets))
    if figure is not None and not as_json:
        _print(f"figure: {figure}")


def _retrieve(
    models: list[str], loading: dict[str, Any], queries: list[str], corpus: Path, **options: Any
) -> "dict[str, dict[str, list[Hit]]]":
    from nlcse_tune.evaluation.models import load_model
    from nlcse_tune.evaluation.retrieval import load_corpus, retrieve

    sentences = load_corpus(corpus)
    return {model: retrieve(load_model(model, **loading).encoder, queries, sentences, **options) for model in models}


def _draw(results: "list[EvaluationResult]", path: Path) -> None:
    from nlcse_tune.report.geometry_figure import draw_geometry

    measured = [(result, result.geometry) for result in results if result.geometry]
    if not measured:
        raise ConfigError("--figure draws alignment and uniformity: add geometry to --tasks")
    draw_geometry({result.model: (g.uniformity, g.alignment, result.average()) for result, g in measured}, path)


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


@contextmanager
def _watched() -> "Iterator[Progress]":
    """A bar on stderr, from the slow imports to the last task; silent where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("loading", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


def _print(what: "RenderableType") -> None:
    """Text as it is; tables as wide as they need where stdout is no terminal."""
    if isinstance(what, str):
        typer.echo(what)
        return
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(what)
