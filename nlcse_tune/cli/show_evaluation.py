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

if TYPE_CHECKING:
    from nlcse_tune.evaluation.evaluate import EvaluationResult
    from nlcse_tune.evaluation.retrieval import Hit

TITLES = {
    "sts12": "STS12", "sts13": "STS13", "sts14": "STS14", "sts15": "STS15", "sts16": "STS16", "stsb": "STS-B",
    "sickr": "SICK-R", "mr": "MR", "cr": "CR", "subj": "SUBJ", "mpqa": "MPQA", "sst2": "SST-2", "trec": "TREC",
    "mrpc": "MRPC",
}  # fmt: skip
ABSENT = "-"


def render(results: Sequence[EvaluationResult], *, setting: Setting = "all", subsets: bool = False) -> RenderableType:
    """A table for each kind of task that was scored, a row a model."""
    tables: list[RenderableType] = []
    if any(result.sts for result in results):
        tables += [_sts(results, setting), *(_subsets(result) for result in results if subsets and result.sts)]
    if any(result.dev for result in results):
        tables.append(_dev(results))
    if any(result.transfer for result in results):
        tables.append(_transfer(results))
    if any(result.geometry for result in results):
        tables.append(_geometry(results))
    tables += [_footer(result) for result in results]
    return Group(*tables)


def render_json(results: Sequence[EvaluationResult]) -> str:
    """The results with their averages, as an indented JSON list. An absent average is null."""
    rows = [
        result.model_dump(mode="json")
        | {"sts_average": result.average(), "transfer_average": result.transfer_average()}
        for result in results
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False)


def render_retrieval(found: Mapping[str, Mapping[str, Sequence[Hit]]]) -> RenderableType:
    """For each query a table with a column a model; `found` maps a model to its hits for each query."""
    queries = next(iter(found.values()))
    return Group(*(_hits(query, {model: hits[query] for model, hits in found.items()}) for query in queries))


def _table(
    title: str,
    results: Sequence[EvaluationResult],
    columns: Sequence[str],
    row: Callable[[EvaluationResult], list[str]],
) -> Table:
    table = Table("model", "pooling", title=title, title_justify="left")
    for column in columns:
        table.add_column(column, justify="right")
    for result in results:
        table.add_row(escape(result.model), result.pooling, *row(result))
    return table


def _sts(results: Sequence[EvaluationResult], setting: Setting) -> Table:
    def row(result: EvaluationResult) -> list[str]:
        scores = [_number(getattr(result.sts[task], setting) if task in result.sts else None) for task in STS_TASKS]
        return [*scores, _number(result.average(setting))]

    title = f'STS test sets: Spearman x 100 of cosine, "{setting}" setting'
    return _table(title, results, [*(TITLES[task] for task in STS_TASKS), "avg."], row)


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


def _dev(results: Sequence[EvaluationResult]) -> Table:
    names = list(dict.fromkeys(name for result in results for name in result.dev))

    def row(result: EvaluationResult) -> list[str]:
        return [_number(result.dev[name].all if name in result.dev else None) for name in names]

    return _table("STS-B dev: Spearman x 100 of cosine", results, names, row)


def _transfer(results: Sequence[EvaluationResult]) -> Table:
    def row(result: EvaluationResult) -> list[str]:
        cells = [_number(result.transfer[t].accuracy if t in result.transfer else None) for t in TRANSFER_TASKS]
        f1 = result.transfer["mrpc"].f1 if "mrpc" in result.transfer else None
        return [*cells, _number(f1), _number(result.transfer_average())]

    columns = [*(TITLES[task] for task in TRANSFER_TASKS), "MRPC F1", "avg."]
    return _table("Transfer tasks: accuracy x 100 of logistic regression", results, columns, row)


def _geometry(results: Sequence[EvaluationResult]) -> Table:
    def row(result: EvaluationResult) -> list[str]:
        if (g := result.geometry) is None:
            return [ABSENT] * 4
        return [f"{g.alignment:.3f}", f"{g.uniformity:.3f}", str(g.positives), str(g.sentences)]

    columns = ["alignment", "uniformity", "positive pairs", "sentences"]
    return _table("Geometry on STS-B, whole (lower is better)", results, columns, row)


def _footer(result: EvaluationResult) -> str:
    where = f"{result.device}, {result.precision}"
    lines = [
        f"{result.model}: {result.sentences} distinct sentences, {result.seconds:.1f} s on {where}; data: {result.data}"
    ]
    lines += [f"not scored: {task}: {reason}" for task, reason in result.missing.items()]
    return escape("\n".join(lines))


def _hits(query: str, hits: Mapping[str, Sequence[Hit]]) -> Table:
    table = Table("#", *map(escape, hits), title=f"query: {escape(query)}", title_justify="left", show_lines=True)
    for rank in range(max(len(found) for found in hits.values())):
        cells = [f"{f[rank].cosine:.3f}  {f[rank].sentence}" if rank < len(f) else ABSENT for f in hits.values()]
        table.add_row(str(rank + 1), *map(escape, cells))
    return table


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2f}"
