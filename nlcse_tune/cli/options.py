"""Options that several commands share, and how their texts are read."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Argument, Option

from nlcse_tune.errors import ConfigError

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
Out = Annotated[Path, Option("--out", help="where records and checkpoints go")]
Workers = Annotated[int, Option(min=1, help="workers (processes, GPUs) of one run; the batch size stays global")]
Concurrent = Annotated[int | None, Option(min=1, help="runs at a time [default: what fits]")]
Address = Annotated[str | None, Option(help="a running Ray cluster, for instance auto or ray://host:10001")]
CpusPerWorker = Annotated[float | None, Option(min=0.1, help="CPUs of a worker [default: 1]")]
GpusPerWorker = Annotated[float | None, Option(min=0, help="GPUs of a worker [default: 1 where there are any]")]
AnyVersion = Annotated[bool, Option("--any-version", help="count runs of other numerics of this tool, too")]


def chosen_study(name: str, sets: Sequence[str] | None) -> "tuple[Study, dict[str, Any]]":
    """The study with its overrides in place, and the overrides."""
    from nlcse_tune.config import assignments
    from nlcse_tune.study import find_study

    values = assignments(sets or ())
    return find_study(name).with_overrides(values), values


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"7,8,9"` -> (7, 8, 9)."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds {text}: must be whole numbers with commas between, for instance 7,8,9") from None


def parse_time(text: str | None) -> float | None:
    """`"1h30m"` -> 5400.0 seconds."""
    if text is None:
        return None
    parts = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    if not text.strip() or parts is None:
        raise ConfigError(f"--max-time {text}: must be hours, minutes and seconds, for instance 2h, 90m or 1h30m")
    return sum(float(part) * unit for part, unit in zip(parts.groups(), (3600, 60, 1), strict=True) if part)


def parse_configurations(texts: Sequence[str] | None) -> dict[str, str]:
    """`["visualcse-bert=1a2b"]` -> `{"visualcse-bert": "1a2b"}`."""
    for text in texts or ():
        if not re.fullmatch("[^=]+=.+", text):
            raise ConfigError(f"--config {text}: must be STUDY=ID, for instance visualcse-bert=1a2b3c4d5e6f")
    return dict(text.split("=", 1) for text in texts or ())


def command_line(*words: str, sets: Sequence[str] | None = None, out: Path = Path("runs")) -> str:
    """`nlcse-tune seeds demo --set text.batch_size=32`: another command on the same study and folder, for a shell."""
    same = [part for text in sets or () for part in ("--set", text)]
    return shlex.join(["nlcse-tune", *words, *same, *(() if out == Path("runs") else ("--out", str(out)))])
