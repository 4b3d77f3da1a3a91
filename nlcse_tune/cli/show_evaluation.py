"""Evaluation results as tables for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from nlcse_tune.config import STS_TASKS
from nlcse_tune.data.transfer import TRANSFER_TASKS
from nlcse_tune.names import Setting
from nlcse_tune.report.numbers import TASK_LABELS

if TYPE_CHECKING:
    from nlcse_tune.evaluation.evaluate import EvaluationResult
    from nlcse_tune.evaluation.retrieval import Hit

TITLES: dict[str, str] = {
    **TASK_LABELS, "mr": "MR", "cr": "CR", "subj": "SUBJ", "mpqa": "MPQA", "sst2": "SST-2", "trec": "TREC",
    "mrpc": "MRPC",
}  # fmt: skip
ABSENT = "-"
Retrieved = Mapping[str, Mapping[str, Sequence["Hit"]]]  # model -> query -> hits
Columns = dict[str, Callable[["EvaluationResult"], float | None]]
GEOMETRY = {
    "alignment": "alignment",
    "uniformity": "uniformity",
    "positives": "positive pairs",
    "sentences": "sentences",
}


def render(results: Sequence[EvaluationResult], *, setting: Setting = "all", subsets: bool = False) -> RenderableType:
    """A table for each kind of task that was scored, a row per model."""
    tables: list[RenderableType] = []
    if any(result.sts for result in results):
        title = f'STS test sets: Spearman x 100 of cosine, "{setting}" setting'
        columns = _scores("sts", STS_TASKS, setting)
        tables.append(_table(title, results, columns | {"avg.": lambda result: result.average(setting)}))
        tables += [_subsets(result) for result in results if subsets and result.sts]
    if any(result.dev for result in results):
        names = dict.fromkeys(name for result in results for name in result.dev)
        tables.append(_table("STS-B dev: Spearman x 100 of cosine", results, _scores("dev", tuple(names), "all")))
    if any(result.transfer for result in results):
        title, columns = (
            "Transfer tasks: accuracy x 100 of logistic regression",
            _scores("transfer", TRANSFER_TASKS, "accuracy"),
        )
        columns["MRPC F1"] = _value("f1", "transfer", "mrpc")
        tables.append(_table(title, results, columns | {"avg.": lambda result: result.transfer_average()}))
    if any(result.geometry for result in results):
        columns = {title: _value(name, "geometry") for name, title in GEOMETRY.items()}
        tables.append(_table("Geometry on STS-B, whole (lower is better)", results, columns, digits=3))
    return Group(*tables, *map(_footer, results))


def render_json(results: Sequence[EvaluationResult]) -> str:
    """The results with their averages, as an indented JSON list. An absent average is null."""
    rows = [
        result.model_dump(mode="json")
        | {"sts_average": result.average(), "transfer_average": result.transfer_average()}
        for result in results
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def render_hits(retrieved: Retrieved) -> RenderableType:
    """For each query a table with a column per model."""
    queries = next(iter(retrieved.values()))
    return Group(*(_hits(query, {model: hits[query] for model, hits in retrieved.items()}) for query in queries))


def render_hits_json(retrieved: Retrieved) -> str:
    """The hits by model and query, as indented JSON."""
    return json.dumps(retrieved, indent=1, ensure_ascii=False, default=lambda hit: hit.model_dump())


def _scores(kind: str, tasks: Sequence[str], value: str) -> Columns:
    """A column per task: `value` of the task's score in the result's field `kind`."""
    return {TITLES.get(task, task): _value(value, kind, task) for task in tasks}


def _value(name: str, field: str, task: str | None = None) -> Callable[[EvaluationResult], float | None]:
    """What reads `name` from a result's `field`, or from its entry of a task; None where that is not there."""

    def read(result: EvaluationResult) -> float | None:
        part = getattr(result, field)
        return getattr(part.get(task) if task else part, name, None)

    return read


def _table(title: str, results: Sequence[EvaluationResult], columns: Columns, digits: int = 2) -> Table:
    table = Table("model", "pooling", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for result in results:
        cells = [_number(value(result), digits) for value in columns.values()]
        table.add_row(escape(result.model), result.pooling, *cells)
    return table


def _subsets(result: EvaluationResult) -> Table:
    table = Table("task", "sub-set", title=f"{escape(result.model)}: every sub-set and setting", title_justify="left")
    for column in ("pairs", "Spearman", "Pearson"):
        table.add_column(column, justify="right")
    for task, score in result.sts.items():
        for name, (spearman, pearson, pairs) in score.subsets.items():
            table.add_row(TITLES[task], escape(name), str(pairs), _number(spearman), _number(pearson))
        table.add_row(TITLES[task], '"all"', str(score.pairs), _number(score.all), _number(score.pearson))
        table.add_row(TITLES[task], '"mean", "wmean"', "", f"{score.mean:.2f}, {score.wmean:.2f}", "", end_section=True)
    return table


def _footer(result: EvaluationResult) -> str:
    where = f"{result.device}, {result.precision}; data: {result.data}"
    lines = [f"{result.model}: {result.sentences} distinct sentences, {result.seconds:.1f} s on {where}"]
    lines += [f"not scored: {task}: {reason}" for task, reason in result.missing.items()]
    return escape("\n".join(lines))


def _hits(query: str, hits: Mapping[str, Sequence[Hit]]) -> Table:
    table = Table("#", *map(escape, hits), title=f"query: {escape(query)}", title_justify="left", show_lines=True)
    for rank in range(max(map(len, hits.values()))):
        cells = [
            f"{own[rank].cosine:.3f}  {own[rank].sentence}" if rank < len(own) else ABSENT for own in hits.values()
        ]
        table.add_row(str(rank + 1), *map(escape, cells))
    return table


def _number(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else str(value) if isinstance(value, int) else f"{value:.{digits}f}"
