"""Options that several commands share, and how their texts are read."""

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from nlcse_tune.errors import ConfigError, all_of
from nlcse_tune.files import named
from nlcse_tune.storage import folder_of, here

if TYPE_CHECKING:
    from nlcse_tune.study import Study


def studies_that_begin(incomplete: str) -> list[str]:
    """Names of studies, for a shell that completes."""
    from nlcse_tune.study import names

    return [name for name in names("studies") if name.startswith(incomplete)]


StudyName = Annotated[
    str,
    Argument(
        help="a study: a name (see `nlcse-tune studies`) or a YAML file",
        metavar="STUDY",
        autocompletion=studies_that_begin,
    ),
]
Sets = Annotated[
    list[str] | None,
    Option("--set", help="field=value, any number of times: text.learning_rate=2e-5", metavar="FIELD=VALUE"),
]
Out = Annotated[
    Path,
    Option("--out", help="where records and checkpoints go: a folder, or s3://bucket/path", parser=folder_of,
           metavar="FOLDER|ADDRESS"),
]  # fmt: skip
Records = Annotated[
    Path,
    Option("--out", help="where the records are: a folder, or s3://bucket/path", parser=folder_of,
           metavar="FOLDER|ADDRESS"),
]  # fmt: skip
Workers = Annotated[int, Option(min=1, help="workers (processes, GPUs) of one run; the batch size stays global")]
Concurrent = Annotated[int | None, Option(min=1, help="runs at a time [default: what fits]")]
Address = Annotated[str | None, Option(help="a running Ray cluster to join: auto, or HOST:PORT of its head")]
Track = Annotated[
    list[str] | None,
    Option(
        "--track",
        help="where curves are kept too, any number of times: tensorboard, mlflow, wandb, none [default: tensorboard]",
    ),
]
Submit = Annotated[bool, Option("--submit", help="hand the command to the cluster of --address as a job, and return")]
CpusPerWorker = Annotated[float | None, Option(min=0.1, help="CPUs of a worker [default: 1]")]
GpusPerWorker = Annotated[float | None, Option(min=0, help="GPUs of a worker [default: 1 where there are any]")]
AnyVersion = Annotated[bool, Option("--any-version", help="count runs of other numerics of this tool, too")]


def chosen_study(name: str, sets: Sequence[str] | None) -> "tuple[Study, dict[str, Any]]":
    """The study with its overrides in place, and the overrides; every problem of both in one error."""
    from nlcse_tune.config.fields import assign
    from nlcse_tune.study import find_study

    values: dict[str, Any] = {}
    read = [partial(assign, values, text) for text in sets or ()]
    return all_of([*read, lambda: find_study(here(name)).with_overrides(values)])[-1], values


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"7,8,9"` -> (7, 8, 9)."""
    from nlcse_tune.study import distinct_seeds

    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds {text}: must be whole numbers with commas between, for instance 7,8,9") from None
    try:
        return distinct_seeds(seeds)
    except ValueError as error:
        raise ConfigError(f"--seeds: {error}") from None


def parse_time(text: str | None) -> float | None:
    """`"1h30m"` -> 5400.0 seconds."""
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    seconds = zip(parts.groups() if parts else (), (3600, 60, 1), strict=False)
    if not (total := sum(float(part) * unit for part, unit in seconds if part)):
        raise ConfigError(f"--max-time {text}: must be hours, minutes and seconds, for instance 2h, 90m or 1h30m")
    return total


def parse_configurations(texts: Sequence[str] | None) -> dict[str, str]:
    """`["visualcse-bert=1a2b"]` -> `{"visualcse-bert": "1a2b"}`."""
    for text in texts or ():
        if not re.fullmatch("[^=]+=.+", text):
            raise ConfigError(f"--config {text}: must be STUDY=ID, for instance visualcse-bert=1a2b3c4d5e6f")
    return dict(text.split("=", 1) for text in texts or ())


def refuse(where: str, given: Mapping[str, object]) -> None:
    """ConfigError for what was given though it means nothing there."""
    if stray := [name for name, value in given.items() if value]:
        raise ConfigError(f"{', '.join(stray)}: nothing to do {where}; leave {'it' if len(stray) == 1 else 'them'} out")


def command_line(*words: str, sets: Sequence[str] | None = None, out: Path = Path("runs")) -> str:
    """`nlcse-tune seeds demo --set text.batch_size=32`: another command on the same study and folder, for a shell."""
    same = [part for text in sets or () for part in ("--set", text)]
    return shlex.join(["nlcse-tune", *words, *same, *(() if out == Path("runs") else ("--out", named(str(out))))])
