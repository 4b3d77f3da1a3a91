"""What the paper published, written once, in `studies/paper/published.yaml`: every table and figure, row by row."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from nlcse_tune.config import STS_TASKS, Frozen, StsTask
from nlcse_tune.config.fields import validate
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.files import read_yaml
from nlcse_tune.paths import shipped

Measure = Literal["sts", "dev", "transfer", "retrieval", "geometry", "settings"]


class SeedScores(Frozen):
    """A published mean ± sample std of the average score over n seeds."""

    mean: float
    std: float = Field(ge=0)
    n: int = Field(ge=2)


class Published(Frozen):
    """What a paper reports for a study, to stand beside one's own numbers."""

    source: str
    scores: dict[StsTask | Literal["avg"], float] = {}
    seeds: SeedScores | None = None


class Row(Frozen):
    """One line of a table: a study, and what the paper prints for it, which may be nothing."""

    name: str
    study: str
    scores: tuple[float, ...] = Field((), description="in the order of the table's columns")
    same_as: str | None = Field(None, description="TABLE/STUDY whose scores these are, column by column")
    std: float | None = Field(None, description="over the table's n seeds")
    p: str | None = Field(None, description="of Student's t-test against the row before, as printed")
    hits: tuple[tuple[str, ...], ...] = Field((), description="the sentences that were retrieved for each query")


class Table(Frozen):
    """One table or figure of the paper."""

    title: str
    measure: Measure = Field(description="what of a run its numbers are")
    columns: tuple[str, ...] = ()
    runs: str = Field("seed 42", description="what a printed number is of")
    n: int = Field(1, ge=1, description="how many seeds those are")
    rows: tuple[Row, ...]
    said: str = Field("", description="where nothing is printed")
    queries: tuple[str, ...] = ()
    corpus: str = Field("", description="a file, one sentence per line")

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        for row in self.rows:
            if len(row.scores) not in (0, len(self.columns)):
                raise ValueError(f"{row.name}: must have {len(self.columns)} scores, got {len(row.scores)}")
            if (row.std is None) != (self.n == 1 or not row.scores):
                raise ValueError(f"{row.name}: std exists for a mean over several seeds and only then, got {row.std}")
        return self

    def printed(self, row: Row) -> dict[str, float]:
        """The paper's numbers in a row, by column."""
        return dict(zip(self.columns, row.scores, strict=True)) if row.scores else {}


def label(name: str) -> str:
    """`Table 3`, `Table C.1`, `Figure 2`."""
    parts = re.fullmatch(r"(table|figure)([A-Z]?)(\d+)", name)
    assert parts is not None, name
    kind, letter, number = parts.groups()
    return f"{kind.capitalize()} {letter}{'.' if letter else ''}{number}"


@cache
def tables() -> dict[str, Table]:
    """Every table and figure by its name (`table3`, `tableC1`, `figure2`), in the paper's order."""
    path = shipped("studies", Path(__file__).parents[1] / "studies") / "paper" / "published.yaml"
    raw: dict[str, dict[str, Any]] = read_yaml(path)
    for name, table in raw.items():
        label(name)
        for row in table["rows"]:
            if origin := row.get("same_as"):
                row["scores"] = _scores(raw, origin, table["columns"])
    return {name: validate(Table, table, where=f"{path}: {name}") for name, table in raw.items()}


def _scores(raw: dict[str, dict[str, Any]], origin: str, columns: list[str]) -> list[float]:
    """The numbers of the row that `origin` (TABLE/STUDY) names, in these columns."""
    name, study = origin.split("/")
    [row] = [row for row in raw[name]["rows"] if row["study"] == study]
    by_column = dict(zip(raw[name]["columns"], row["scores"], strict=True))
    return [by_column[column] for column in columns]


def find_table(name: str) -> str:
    """The name of a table as `tables` has it, from `Table C.1`, `table-c1` or `tablec1`; ConfigError for another."""
    plain = {re.sub(r"\W", "", known).lower(): known for known in tables()}
    short = re.sub(r"[\W_]", "", name).lower()
    if short not in plain:
        raise ConfigError(f"{name}: no such table{nearest(short, plain)}; known: {', '.join(tables())}, all")
    return plain[short]


def published_of(study: str) -> Published | None:
    """What the paper prints of a study's test scores; None where nothing."""
    scores: dict[Any, float] = {}
    sources: dict[str, str] = {}
    seeds: SeedScores | None = None
    for name, table in tables().items():
        for row in (row for row in table.rows if row.study == study and row.scores and table.measure == "sts"):
            origin = row.same_as.split("/")[0] if row.same_as else name
            sources[origin] = f"{label(origin)} ({tables()[origin].runs})"
            if row.std is None:
                scores |= table.printed(row)
            else:
                seeds = SeedScores(mean=table.printed(row)["avg"], std=row.std, n=table.n)
    if not sources:
        return None
    order = {column: scores[column] for column in (*STS_TASKS, "avg") if column in scores}
    return Published(source=" and ".join(sources.values()), scores=order, seeds=seeds)
