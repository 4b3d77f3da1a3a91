"""What some tables take beside the STS test sets: transfer tasks and retrieval by each run's best model."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

from nlcse_tune.data.catalog import fingerprint
from nlcse_tune.data.columns import load_columns
from nlcse_tune.data.registry import how_to_get
from nlcse_tune.names import Protocol
from nlcse_tune.paths import data_path
from nlcse_tune.published import Table
from nlcse_tune.records import RunRecord, Stored
from nlcse_tune.reproduce.source import Scale, Source

Measured = Literal["transfer", "retrieval"]
NEAREST = 3  # sentences of Table D.1
SMALL_CORPUS = 2000  # sentences of a small retrieval
Progress = Callable[[str, int, int], None]


class Evaluated(Stored):
    """What one model scored, or found."""

    run_id: str
    model: str | None
    asked: str  # on what, and how
    scores: dict[str, float] = {}
    missing: dict[str, str] = {}
    hits: dict[str, tuple[str, ...]] = {}


def evaluation_seeds(table: Table, seeds: Sequence[int]) -> Sequence[int]:
    """The seeds whose models a table evaluates: of a retrieval, which has no mean, the first."""
    return {"transfer": seeds, "retrieval": seeds[:1]}.get(table.measure, ())


def kept_evaluation(source: Source, record: RunRecord, table: Table, scale: Scale) -> Evaluated | None:
    """The evaluation on disk, where it is of this very model, on what is asked now."""
    found = Evaluated.read(getattr(source.paths.run(record.run_id), table.measure))
    if found is None or found.model != record.best_model:
        return None
    # Where the data are not here, a page is made of what came from elsewhere.
    return found if source.lacking or found.asked == _asked(source, table, scale) else None


def evaluate_run(source: Source, record: RunRecord, table: Table, scale: Scale, progress: Progress) -> Evaluated:
    """Scores a run's best model, or lets it retrieve, and keeps what comes of it. Its errors are an evaluation's."""
    paths = source.paths.run(record.run_id)
    what: dict[str, Any] = {"run_id": record.run_id, "model": record.best_model, "asked": _asked(source, table, scale)}
    if table.measure == "transfer":
        result = _transfer(str(paths.best), source, scale, progress)
        made = Evaluated(**what, scores=result[0], missing=result[1])
    else:
        made = Evaluated(**what, hits=_retrieve(str(paths.best), source, table, scale, progress))
    made.write(getattr(paths, table.measure))
    return made


def _corpus(source: Source, table: Table, scale: Scale) -> tuple[list[str], list[str]]:
    """Queries, and what is searched; small, both are of the run's own text, whose words its encoder knows."""
    if scale == "full":
        from nlcse_tune.evaluation.retrieval import load_corpus

        path = data_path(table.corpus)
        return list(table.queries), load_corpus(path, f"one sentence per line{how_to_get(path)}")
    sentences = list(dict.fromkeys(load_columns(source.config.text)[0]))[:SMALL_CORPUS]
    return sentences[: len(table.queries)], sentences


def _protocol(scale: Scale) -> Protocol:
    return "scikit-learn" if scale == "small" else "senteval"  # published tables are made with the latter


def _asked(source: Source, table: Table, scale: Scale) -> str:
    if table.measure == "transfer":
        return f"{_protocol(scale)}, {fingerprint(source.config.eval.data)}"
    return fingerprint(source.config.text.data if scale == "small" else str(data_path(table.corpus)))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@cache
def _tasks(data: str) -> Any:
    from nlcse_tune.evaluation.evaluate import open_tasks

    return open_tasks(["transfer"], data)


def _transfer(model: str, source: Source, scale: Scale, progress: Progress) -> tuple[dict[str, float], dict[str, str]]:
    """Accuracy x 100 by task, and why the others are missing."""
    from nlcse_tune.evaluation.evaluate import evaluate

    how: dict[str, Any] = {"precision": "fp32", "device": _device(), "protocol": _protocol(scale)}
    result = evaluate(model, _tasks(source.config.eval.data), progress=progress, **how)
    return {task: score.accuracy for task, score in result.transfer.items()}, result.missing


def _retrieve(model: str, source: Source, table: Table, scale: Scale, progress: Progress) -> dict[str, tuple[str, ...]]:
    """The nearest sentences of each query."""
    from nlcse_tune.evaluation.models import load_model
    from nlcse_tune.evaluation.retrieval import retrieve

    queries, corpus = _corpus(source, table, scale)
    encoder = load_model(model, device=_device()).encoder
    hits = retrieve(encoder, queries, corpus, top=NEAREST, precision="fp32", progress=progress)
    return {query: tuple(hit.sentence for hit in found) for query, found in hits.items()}
