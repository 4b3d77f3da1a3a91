"""Options that several commands share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from nlcse_tune.study import Study

StudyName = Annotated[
    str, typer.Argument(help="a study: a name (see `nlcse-tune studies`) or a YAML file", metavar="STUDY")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", help="field=value, any number of times: text.learning_rate=2e-5", metavar="FIELD=VALUE"),
]
Out = Annotated[Path, typer.Option("--out", help="where records and checkpoints go")]
Workers = Annotated[int, typer.Option(min=1, help="workers (processes, GPUs) of one run; the batch size stays global")]
Concurrent = Annotated[int | None, typer.Option(min=1, help="runs side by side [default: what fits]")]
Address = Annotated[str | None, typer.Option(help="a running Ray cluster, for instance auto or ray://host:10001")]
CpusPerWorker = Annotated[float | None, typer.Option(min=0.1, help="CPUs of a worker [default: 1]")]
GpusPerWorker = Annotated[float | None, typer.Option(min=0, help="GPUs of a worker [default: 1 where there are any]")]


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """`["text.learning_rate=2e-5"]` as a mapping."""
    from nlcse_tune.config import parse_assignment

    return dict(parse_assignment(text) for text in texts)


def chosen_study(name: str, sets: Sequence[str] | None) -> "tuple[Study, dict[str, Any]]":
    """The study with its overrides in place, and the overrides."""
    from nlcse_tune.study import find_study

    values = assignments(sets or ())
    return find_study(name).with_overrides(values), values
