"""A table with what was measured here in it: a value per seed and column, beside the paper's."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.config.fields import searchable
from nlcse_tune.errors import DataError
from nlcse_tune.published import Row, Table, label
from nlcse_tune.records import RunRecord, TestRecord
from nlcse_tune.reproduce.agreement import Agreement, agreement
from nlcse_tune.reproduce.evaluated import Evaluated, evaluation_seeds, kept_evaluation
from nlcse_tune.reproduce.source import Scale, Source

Cells = dict[str, dict[int, float]]  # column -> seed -> value
Kept = Mapping[int, tuple[RunRecord, TestRecord | None]]


@dataclass(frozen=True)
class Line:
    """A row of the paper with ours. `agreement` is of the last column; `why` says why there is none."""

    row: Row
    source: Source
    cells: Cells
    printed: dict[str, float]
    agreement: Agreement | None = None
    why: str = ""
    p: float | None = None  # Student's t against the row before, where the paper prints one
    hits: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def values(self, column: str) -> list[float]:
        return list(self.cells.get(column, {}).values())


@dataclass(frozen=True)
class Page:
    """One table or figure, whole."""

    name: str
    table: Table
    lines: tuple[Line, ...]
    scale: Scale
    seeds: tuple[int, ...]

    @property
    def title(self) -> str:
        return f"{label(self.name)}: {self.table.title}"

    @property
    def margin(self) -> float:
        """Points within which ours and the paper's are taken for the same: what the studies declare."""
        return max(line.source.study.confirm.margin for line in self.lines)

    @property
    def queries(self) -> list[str]:
        """Those that were asked, which at small scale are not the paper's."""
        return next((list(line.hits) for line in self.lines if line.hits), list(self.table.queries))

    @property
    def complete(self) -> bool:
        """Whether each row has every seed that it is to have; settings have none."""
        wanted = {*self.seeds, *evaluation_seeds(self.table, self.seeds)}
        if self.table.measure == "settings":
            return True
        if self.table.measure == "retrieval":
            return all(line.hits for line in self.lines)
        return all(line.cells.get(self.table.columns[-1], {}).keys() >= wanted for line in self.lines)


def make_page(name: str, table: Table, sources: Mapping[str, Source], seeds: Sequence[int], scale: Scale) -> Page:
    """The page of what is on record; nothing is run."""
    lines: list[Line] = []
    for row in table.rows:
        line = _line(row, table, sources[row.study], seeds, scale)
        if row.p and lines:
            line = _with_p(line, lines[-1], table.columns[-1])
        lines.append(line)
    return Page(name, table, tuple(lines), scale, tuple(seeds))


def _line(row: Row, table: Table, source: Source, seeds: Sequence[int], scale: Scale) -> Line:
    printed = table.printed(row)
    if table.measure == "settings":
        flat = searchable(source.config)
        cells = {column: {source.study.search_seed: float(flat[column])} for column in table.columns}
        return Line(row, source, cells, printed)
    kept = source.kept(seeds)
    evaluated = _evaluations(source, kept, table, seeds, scale)
    hits = next((one.hits for one in evaluated.values()), {})
    cells = {column: _values(column, table, kept, evaluated) for column in table.columns}
    line = Line(row, source, cells, printed, hits=dict(hits))
    if not printed:
        return line
    column, n = table.columns[-1], table.n
    try:
        margin = source.study.confirm.margin
        return replace(line, agreement=agreement(line.values(column), printed[column], row.std, n, margin))
    except DataError as error:
        return replace(line, why=str(error))


def _with_p(line: Line, before: Line, column: str) -> Line:
    """The row with the paper's own test, Student's, against the row before."""
    with suppress(DataError):
        return replace(line, p=stats.student_t(line.values(column), before.values(column)).p)
    return line


def _evaluations(source: Source, kept: Kept, table: Table, seeds: Sequence[int], scale: Scale) -> dict[int, Evaluated]:
    wanted = {seed: kept[seed][0] for seed in evaluation_seeds(table, seeds) if seed in kept}
    found = {seed: kept_evaluation(source, record, table, scale) for seed, record in wanted.items()}
    return {seed: one for seed, one in found.items() if one is not None}


def _values(column: str, table: Table, kept: Kept, evaluated: Mapping[int, Evaluated]) -> dict[int, float]:
    """A column's value by seed; a seed without it is not there."""
    if table.measure == "transfer":
        values = {seed: _accuracy(column, table, one) for seed, one in evaluated.items()}
    else:
        values = {seed: _value(column, table, *pair) for seed, pair in kept.items()}
    return {seed: value for seed, value in values.items() if value is not None}


def _accuracy(column: str, table: Table, one: Evaluated) -> float | None:
    tasks = [task for task in table.columns if task != "avg"]
    if column != "avg":
        return one.scores.get(column)
    return sum(one.scores[task] for task in tasks) / len(tasks) if one.scores.keys() >= {*tasks} else None


def _value(column: Any, table: Table, record: RunRecord, test: TestRecord | None) -> float | None:
    if table.measure == "dev":
        return record.best_dev
    if test is None:
        return None
    if table.measure == "geometry":
        return test.geometry.get(column)
    return test.average(STS_TASKS) if column == "avg" else test.score(column)
