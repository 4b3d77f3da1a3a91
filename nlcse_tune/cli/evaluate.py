"""`nlcse-tune evaluate`: parse, call one function, print."""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from typer import Argument, Option, echo

from nlcse_tune.cli import options as shared
from nlcse_tune.cli.watched import watched
from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError
from nlcse_tune.files import named, write_text
from nlcse_tune.names import Precision, Protocol, Setting
from nlcse_tune.paths import data_path
from nlcse_tune.storage import here

FIGURES = (".pdf", ".png", ".svg")

if TYPE_CHECKING:
    from rich.console import RenderableType

    from nlcse_tune.evaluation.embed import Progress
    from nlcse_tune.evaluation.evaluate import EvaluationResult


def evaluate(
    models: Annotated[
        list[str],
        Argument(help="runs, checkpoint folders, sentence-transformers folders or hub names", metavar="MODEL..."),
    ],
    tasks: Annotated[
        str,
        Option(help="sts, sts-dev, sickr-dev, stsb-LANG, transfer, geometry, retrieval, all, or single ones: sts12,mr"),
    ] = "sts",
    data: Annotated[str, Option(help="folder in SentEval's layout, or 'synthetic'")] = "data/senteval",
    pooling: Annotated[
        Literal["saved", "mean", Pooler], Option(help="how token states become a vector; mean is avg")
    ] = "saved",
    force: Annotated[
        bool, Option("--force-pooling", help="score with --pooling and nothing after it, whatever is saved")
    ] = False,
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
    csv: Annotated[Path | None, Option("--csv", help="a file to write, a row per figure", metavar="FILE")] = None,
    out: shared.Records = Path("runs"),
) -> None:
    """Score models on STS, transfer tasks, geometry or retrieval, as the published tables do."""
    names = [name.strip() for name in tasks.split(",")]
    _check_retrieval(names, query, corpus, csv)
    _check_files(names, figure, csv)
    if device is not None and not re.fullmatch(r"cpu|mps|cuda(:\d+)?", device):
        raise ConfigError(f"--device {device}: must be cpu, cuda or cuda:1")
    models = list(dict.fromkeys(map(here, models)))
    if len(models) == 1:
        from nlcse_tune.evaluation.lookup import check_exists

        check_exists(models[0], out)  # before torch is imported
    pooler: Pooler | None = None if pooling == "saved" else "avg" if pooling == "mean" else pooling
    loading: dict[str, Any] = {"pooler": pooler, "force": force, "out": out}
    if corpus and query:
        failed = _retrieve(models, query, corpus, top, loading, device, precision, as_json=as_json)
    else:
        with watched() as progress:
            from nlcse_tune.evaluation.evaluate import evaluate as run
            from nlcse_tune.evaluation.evaluate import of_each, open_tasks

            opened = open_tasks([tasks], str(data_path(data)))
            if figure is not None and "geometry" not in opened.sets:
                raise DataError(f"--figure {figure}: nothing to draw: {opened.missing['geometry']}")
            loading |= {"device": _device(device), "precision": precision, "protocol": protocol}
            by_model, failed = of_each(
                models, lambda model: run(model, opened, progress=_named(model, models, progress), **loading)
            )
        if results := [result.model_copy(update={"model": named(result.model)}) for result in by_model.values()]:
            _show(results, failed, setting, subsets=subsets, as_json=as_json, csv=csv, figure=figure)
    if failed:
        raise _all_of(failed)


def _retrieve(
    models: Sequence[str],
    queries: Sequence[str],
    corpus: Path,
    top: int,
    loading: Mapping[str, Any],
    device: str | None,
    precision: Precision | None,
    *,
    as_json: bool,
) -> "dict[str, NlcseError]":
    """Prints what each model finds; returns why the others found nothing."""
    with watched() as progress:
        from nlcse_tune.cli import show_evaluation as show
        from nlcse_tune.evaluation.evaluate import of_each
        from nlcse_tune.evaluation.models import load_model
        from nlcse_tune.evaluation.retrieval import Hit, load_corpus, retrieve

        sentences, where = load_corpus(corpus), _device(device)

        def found(model: str) -> dict[str, list[Hit]]:
            told = _named(model, models, progress)
            told("loading the model", 0, 1)
            encoder = load_model(model, **loading, device=where).encoder
            return retrieve(encoder, queries, sentences, top=top, precision=precision, progress=told)

        hits, failed = of_each(models, found)
    if hits:
        hits = {named(model): found for model, found in hits.items()}
        as_text = json.dumps(hits, indent=1, ensure_ascii=False, default=Hit.model_dump)
        _print(as_text if as_json else show.render_hits(hits))
    return failed


def _show(
    results: "Sequence[EvaluationResult]",
    failed: "Mapping[str, NlcseError]",
    setting: Setting,
    *,
    subsets: bool,
    as_json: bool,
    csv: Path | None,
    figure: Path | None,
) -> None:
    """Prints the results, and writes the files that were asked for."""
    from nlcse_tune.cli import show_evaluation as show

    text = show.render_json(results, failed) if as_json else show.render(results, setting=setting, subsets=subsets)
    _print(text)
    if csv is not None:
        write_text(csv, show.render_csv(results))
    if figure is not None:
        from nlcse_tune.report.figures import draw_geometry

        draw_geometry({r.model: (g.uniformity, g.alignment, r.average()) for r in results if (g := r.geometry)}, figure)
    for what, path in (("csv", csv), ("figure", figure)):
        if path is not None and not as_json:
            _print(f"{what}: {path}")


def _check_retrieval(names: Sequence[str], query: list[str] | None, corpus: Path | None, csv: Path | None) -> None:
    """ConfigError where a retrieval lacks something, or another task has something of it."""
    retrieval = "retrieval" in names
    if retrieval and len(names) > 1:
        raise ConfigError(f"--tasks {','.join(names)}: retrieval stands alone; call it in a command of its own")
    if retrieval and (corpus is None or not query):
        raise ConfigError('--tasks retrieval needs --query "..." and --corpus FILE (one sentence per line)')
    if retrieval and csv is not None:
        raise ConfigError("--csv has scores, and a retrieval has none; use --json")
    if not retrieval and (corpus or query):
        raise ConfigError("--query and --corpus are for retrieval: give --tasks retrieval")


def _check_files(names: Sequence[str], figure: Path | None, csv: Path | None) -> None:
    """ConfigError where a file could not be written after all is scored."""
    if figure is not None and not {"geometry", "all"} & set(names):
        raise ConfigError("--figure draws alignment and uniformity: add geometry to --tasks")
    if figure is not None and figure.suffix not in FIGURES:
        raise ConfigError(f"--figure {figure}: must end in .pdf, .png or .svg")
    for option, path in (("--csv", csv), ("--figure", figure)):
        if path is not None and path.is_dir():
            raise ConfigError(f"{option} {path}: is a folder; give a file")
        if path is not None and not os.access(next(p for p in path.absolute().parents if p.exists()), os.W_OK):
            raise ConfigError(f"{option} {path}: cannot be written there; give another file")


def _named(model: str, models: Sequence[str], progress: "Progress") -> "Progress":
    """The progress of one of several models, each step by the model's name."""
    if len(models) == 1:
        return progress
    return lambda what, done, total: progress(f"{model}: {what}", done, total)


def _all_of(failed: "Mapping[str, NlcseError]") -> NlcseError:
    """One error for all models that failed, each by its name."""
    if len(failed) == 1:
        [(model, only)] = failed.items()
        if model in str(only):
            return only
    return RunError("\n".join(str(why) if model in str(why) else f"{model}: {why}" for model, why in failed.items()))


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


def _print(what: "RenderableType") -> None:
    """Text as it is; tables as wide as they need where stdout is no terminal."""
    if isinstance(what, str):
        echo(what)
        return
    from rich.console import Console

    Console(highlight=False, width=None if sys.stdout.isatty() else 160).print(what)
