"""Evaluation results as tables for people, and as JSON and CSV for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from nlcse_tune.cli import show
from nlcse_tune.config import STS_TASKS
from nlcse_tune.data.transfer import TRANSFER_TASKS
from nlcse_tune.names import Setting
from nlcse_tune.report.numbers import TASK_LABELS

if TYPE_CHECKING:
    from nlcse_tune.evaluation.evaluate import EvaluationResult
    from nlcse_tune.evaluation.retrieval import Hit

TITLES: dict[str, str] = {
    **{str(task): label for task, label in TASK_LABELS.items()}, **{str(task): task.upper() for task in TRANSFER_TASKS},
    "sst2": "SST-2", "positives": "positive pairs",
}  # fmt: skip
ABSENT = "-"
SCHEMA = 1  # of the JSON object; raised where a field goes or changes its meaning
COLUMNS = ("model", "pooling", "kind", "task", "subset", "figure", "value", "items")  # of the CSV file
DIGITS = 4  # of both: what follows may hang on the size of a batch
Retrieved = Mapping[str, Mapping[str, Sequence["Hit"]]]  # model -> query -> hits
Columns = dict[str, Callable[["EvaluationResult"], float | None]]


def render(results: Sequence[EvaluationResult], *, setting: Setting = "all", subsets: bool = False) -> RenderableType:
    """A table for each kind of task that was scored, a row per model."""
    tables: list[RenderableType] = []
    if any(result.sts for result in results):
        title = f'STS test sets: Spearman x 100 of cosine, "{setting}" setting'
        columns = _scores("sts", STS_TASKS, setting)
        tables.append(_table(title, results, columns | {"avg.": lambda result: result.average(setting)}))
        tables += [_subsets(result) for result in results if subsets and result.sts]
    if any(result.dev for result in results):
        names = list(dict.fromkeys(name for result in results for name in result.dev))
        tables.append(_table("Dev sets: Spearman x 100 of cosine", results, _scores("dev", names, "all")))
    if any(result.transfer for result in results):
        title = f"Transfer tasks: accuracy x 100 of logistic regression ({results[0].protocol})"
        columns = _scores("transfer", TRANSFER_TASKS, "accuracy") | {"MRPC F1": _value("f1", "transfer", "mrpc")}
        tables.append(_table(title, results, columns | {"avg.": lambda result: result.average("accuracy")}))
    if any(result.geometry for result in results):
        names = ["alignment", "uniformity", "positives", "sentences"]
        columns = {TITLES.get(name, name): _value(name, "geometry") for name in names}
        tables.append(_table("Geometry on STS-B, whole (lower is better)", results, columns, digits=3))
    for result in results:
        where = f"{result.device}, {result.precision}; data: {result.data}"
        lines = [f"{result.model}: {result.sentences} distinct sentences, {result.seconds:.1f} s on {where}"]
        tables.append(escape("\n".join([*lines, *(f"not scored: {t}: {why}" for t, why in result.missing.items())])))
    return Group(*tables)


def render_json(results: Sequence[EvaluationResult], failed: Mapping[str, Exception] | None = None) -> str:
    """An indented JSON object (docs/evaluation.md): the results with their averages, and why other models have none."""
    models = []
    for one in results:
        row = one.model_dump(mode="json")
        for kind in ("sts", "dev"):
            for task, score in getattr(one, kind).items():
                row[kind][task]["subsets"] = {name: part._asdict() for name, part in score.subsets.items()}
        models.append(row | {"sts_average": one.average(), "transfer_average": one.average("accuracy")})
    whole = {"schema": SCHEMA, "models": models, "failed": {model: str(why) for model, why in (failed or {}).items()}}
    return json.dumps(_rounded(whole), indent=1, ensure_ascii=False)


def render_csv(results: Sequence[EvaluationResult]) -> str:
    """A row per figure, under the names of COLUMNS (docs/evaluation.md)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in results:
        for kind, task, subset, figure, value, items in _figures(one):
            writer.writerow([one.model, str(one.pooling), kind, task, subset, figure, _rounded(value), items])
    return text.getvalue()


def _figures(one: EvaluationResult) -> Iterator[tuple[Any, ...]]:
    """(kind, task, sub-set, figure, value, pairs or items) of all that a model scored; an absent average is absent."""
    for kind in ("sts", "dev"):
        for task, score in getattr(one, kind).items():
            for figure in ("all", "mean", "wmean", "pearson"):
                yield kind, task, "", figure, getattr(score, figure), score.pairs
            for name, part in score.subsets.items():
                yield kind, task, name, "spearman", part.spearman, part.pairs
                yield kind, task, name, "pearson", part.pearson, part.pairs
    for task, score in one.transfer.items():
        for figure, value in score.model_dump(exclude_none=True).items():
            yield "transfer", task, "", figure, value, ""
    if one.geometry:
        for figure, items in (("alignment", one.geometry.positives), ("uniformity", one.geometry.sentences)):
            yield "geometry", "stsb", "", figure, getattr(one.geometry, figure), items
    for kind, average in (("sts", one.average()), ("transfer", one.average("accuracy"))):
        if average is not None:
            yield kind, "average", "", "all" if kind == "sts" else "accuracy", average, ""


def _rounded(value: Any) -> Any:
    """`value` with every number in it to DIGITS decimals."""
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def render_hits(retrieved: Retrieved) -> RenderableType:
    """For each query a table with a column per model."""
    tables = []
    for query in next(iter(retrieved.values())):
        columns = [[f"{hit.cosine:.3f}  {hit.sentence}" for hit in hits[query]] for hits in retrieved.values()]
        title = f"query: {escape(query)}"
        table = Table("#", *map(escape, retrieved), title=title, title_justify="left", show_lines=True)
        for rank, cells in enumerate(zip_longest(*columns, fillvalue=ABSENT), start=1):
            table.add_row(str(rank), *map(escape, cells))
        tables.append(table)
    return Group(*tables)


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
    table = show.table("model", "pooling", *(f"{column}>" for column in columns), title=title)
    for result in results:
        cells = [_number(value(result), digits) for value in columns.values()]
        table.add_row(escape(result.model), escape(str(result.pooling)), *cells)
    return table


def _subsets(result: EvaluationResult) -> Table:
    title = f"{escape(result.model)}: every sub-set and setting"
    table = show.table("task", "sub-set", "pairs>", "Spearman>", "Pearson>", title=title)
    for task, score in result.sts.items():
        rows = {escape(name): (part.pairs, part.spearman, part.pearson) for name, part in score.subsets.items()}
        for name, cells in {**rows, '"all"': (score.pairs, score.all, score.pearson)}.items():
            table.add_row(TITLES[task], name, *map(_number, cells))
        table.add_row(TITLES[task], '"mean", "wmean"', "", f"{score.mean:.2f}, {score.wmean:.2f}", "", end_section=True)
    return table


def _number(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else str(value) if isinstance(value, int) else f"{value:.{digits}f}"
