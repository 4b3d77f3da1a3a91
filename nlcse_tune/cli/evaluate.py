"""`nlcse-tune evaluate`: parse, call one function, print."""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option, echo

from nlcse_tune.cli import options as shared
from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.files import named
from nlcse_tune.names import Precision, Protocol, Setting
from nlcse_tune.storage import here

FIGURES = (".pdf", ".png", ".svg")

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nlcse_tune.evaluation.embed import Progress


def evaluate(
    models: Annotated[
        list[str],
        Argument(help="runs, checkpoint folders, sentence-transformers folders or hub names", metavar="MODEL..."),
    ],
    tasks: Annotated[
        str, Option(help="sts, sts-dev, stsb-LANG, transfer, geometry, retrieval, all, or single ones: sts12,mr")
    ] = "sts",
    data: Annotated[str, Option(help="folder in SentEval's layout, or 'synthetic'")] = "data/senteval",
    pooling: Annotated[
        Literal["saved", "mean", Pooler], Option(help="how token states become a vector; mean is avg")
    ] = "saved",
    force: Annotated[bool, Option("--force-pooling", help="score with another pooling than the saved one")] = False,
    setting: Annotated[Setting, Option(help="how a task's sub-sets are joined")] = "all",
    subsets: Annotated[bool, Option("--subsets", help="every sub-set too, with Pearson")] = False,
    protocol: Annotated[
        Protocol, Option(help="transfer: the classifier; senteval, slower, is what published tables have")
    ] = "scikit-learn",
    precision: Annotated[Precision | None, Option(help="arithmetic [default: bf16 on a GPU, else fp32]")] = None,
    device: Annotated[str | None, Option(help="cpu, cuda, cuda:1 [default: the GPU if there is one]")] = None,
    query: Annotated[list[str] | None, Option(help="retrieval: a sentence to look for; any number of times")] = None,
    corpus: Annotated[Path | None, Option(help="retrieval: a UTF-8 file, one sentence per line")] = None,
    top: Annotated[int, Option(min=1, help="retrieval: results for each query")] = 3,
    figure: Annotated[Path | None, Option(help="geometry: write Figure 4 for these models (.pdf, .png, .svg)")] = None,
    as_json: Annotated[bool, Option("--json", help="JSON on stdout instead of tables")] = False,
    out: shared.Records = Path("runs"),
) -> None:
    """Score models on STS, transfer tasks, geometry or retrieval, as the published tables do."""
    retrieval = "retrieval" in (names := [name.strip() for name in tasks.split(",")])
    if retrieval and len(names) > 1:
        raise ConfigError(f"--tasks {tasks}: retrieval stands alone; call it in a command of its own")
    if retrieval and (corpus is None or not query):
        raise ConfigError('--tasks retrieval needs --query "..." and --corpus FILE (one sentence per line)')
    _check_figure(figure, names)
    if device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise ConfigError(f"--device {device}: must be cpu, cuda or cuda:1")
    from nlcse_tune.evaluation.lookup import check_exists

    models = [here(model) for model in models]
    for model in models:
        check_exists(model, out)
    with _watched() as progress:
        from nlcse_tune.cli import show_evaluation as show
        from nlcse_tune.evaluation.evaluate import evaluate as run
        from nlcse_tune.evaluation.models import load_model
        from nlcse_tune.evaluation.retrieval import Hit, load_corpus, retrieve

        pooler: Pooler | None = None if pooling == "saved" else "avg" if pooling == "mean" else pooling
        loading: dict[str, Any] = {"pooler": pooler, "force": force, "out": out, "device": _device(device)}
        options: dict[str, Any] = {"precision": precision, "progress": progress}
        if corpus and query and retrieval:
            sentences = load_corpus(corpus)
            options["top"] = top
            hits = {named(m): retrieve(load_model(m, **loading).encoder, query, sentences, **options) for m in models}
        else:
            results = [run(model, [tasks], data, protocol=protocol, **loading, **options) for model in models]
            results = [result.model_copy(update={"model": named(result.model)}) for result in results]
    if retrieval:
        as_text = json.dumps(hits, indent=1, ensure_ascii=False, default=Hit.model_dump)
        _print(as_text if as_json else show.render_hits(hits))
        return
    _print(show.render_json(results) if as_json else show.render(results, setting=setting, subsets=subsets))
    if figure is not None:
        from nlcse_tune.report.figures import draw_geometry

        points = {r.model: (g.uniformity, g.alignment, r.average()) for r in results if (g := r.geometry)}
        if not points:
            raise DataError(f"--figure {figure}: nothing to draw: {results[0].missing.get('geometry')}")
        draw_geometry(points, figure)
        if not as_json:
            _print(f"figure: {figure}")


def _check_figure(figure: Path | None, tasks: Sequence[str]) -> None:
    """ConfigError where a figure could not be drawn after all is scored."""
    if figure is not None and not {"geometry", "all"} & set(tasks):
        raise ConfigError("--figure draws alignment and uniformity: add geometry to --tasks")
    if figure is not None and figure.suffix not in FIGURES:
        raise ConfigError(f"--figure {figure}: must end in .pdf, .png or .svg")


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
        echo(what)
        return
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(what)
