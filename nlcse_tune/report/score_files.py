"""Scores of runs that were trained elsewhere, from a CSV file.

Either a line for each score, under the header `method,seed,task,score`, or one for each method and seed with a column
for each task, `method,seed,TASK,TASK,...`. A file without the column `method` holds one, called as the file is. Columns
come in any order, separated by commas, semicolons or tabs; an empty cell is a score that there is not.
"""

import csv
import io
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from nlcse_tune.errors import DataError
from nlcse_tune.names import MAX_SEED
from nlcse_tune.report.arms import ScoredArm
from nlcse_tune.report.numbers import plural

BYTES = 50_000_000
LARGEST = 1e9  # score either way: what is computed of larger ones overflows sooner or later
MOST = 200  # methods, and tasks: each pair of them is tested
NAME = 100  # characters
OWN = ("method", "seed", "task", "score")  # columns of the long form
_EXCELS = re.compile(r'\A\s*"?sep=."?[;,\t]*\r?\n', re.IGNORECASE)  # a first line that names the separator
AVERAGES = ("avg", "avg.", "average", "mean")
FORM = "the header must be method,seed,task,score, or method,seed and a column for each task"


class Layout(NamedTuple):
    """Where a row has what, by position."""

    width: int
    method: int | None
    seed: int
    task: int | None  # of the long form
    scores: dict[int, str]  # the tasks of the wide form; of the long one its one column of scores


def read_scores(path: Path, spelled: dict[str, str] | None = None) -> tuple[ScoredArm, ...]:
    """An arm for each method of the file, in its order. DataError, with the line, for what is wrong in it.

    A task is spelled as it was first; `spelled` has the spellings of other files, and gets those of this one.
    """
    spelled = {} if spelled is None else spelled
    rows = _rows(path)
    number, header = next(rows, (1, []))
    layout = _layout(f"{path}:{number}", header)
    found: dict[str, dict[int, dict[str, float]]] = {}
    lines: dict[tuple[str, int, str], int] = {}
    for number, fields in rows:
        place = f"{path}:{number}"
        if len(fields) != layout.width:
            raise DataError(f"{place}: must have {plural(layout.width, 'field')} like the header, got {len(fields)}")
        method = path.stem if layout.method is None else _name(place, "method", fields[layout.method])
        seed = _seed(place, fields[layout.seed])
        own = found.setdefault(method, {}).setdefault(seed, {})
        for column, task in layout.scores.items():
            task = task if layout.task is None else _task(place, fields[layout.task])
            task = spelled.setdefault(task.lower(), task)
            if (first := lines.setdefault((method, seed, task), number)) != number:
                raise DataError(f"{place}: {method}, seed {seed} has a score on {task} already, in line {first}")
            if fields[column]:
                own[task] = _score(place, fields[column])
    _check(path, found, {task for _, _, task in lines})
    return tuple(ScoredArm(method, dict(sorted(by_seed.items()))) for method, by_seed in found.items())


def read_pair(baseline: Path, method: Path) -> tuple[ScoredArm, ScoredArm]:
    """The one method of each file; where both go by one name, they are told apart by the files'."""
    arms, spelled = [], dict[str, str]()
    for path in (baseline, method):
        own = read_scores(path, spelled)
        if len(own) > 1:
            held = f"holds {len(own)} methods ({', '.join(arm.name for arm in own[:5])})"
            raise DataError(f"{path}: {held}, and one is compared with one; `nlcse-tune report --from {path}`")
        arms.append(own[0])
    if arms[0].name == arms[1].name:
        arms = [replace(arm, name=path.stem) for arm, path in zip(arms, (baseline, method), strict=True)]
    if arms[0].name == arms[1].name:
        raise DataError(f"{baseline} and {method}: both hold scores of {arms[0].name}; name the methods apart")
    return arms[0], arms[1]


def _check(path: Path, found: dict[str, dict[int, dict[str, float]]], tasks: set[str]) -> None:
    if not any(own for by_seed in found.values() for own in by_seed.values()):
        raise DataError(f"{path}: holds no scores; {FORM}")
    for count, noun in ((len(found), "method"), (len(tasks), "task")):
        if count > MOST:
            raise DataError(f"{path}: {plural(count, noun)}, and at most {MOST} are compared; leave some out")


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, stripped fields) of each row that is not blank."""
    text = _text(path)
    text = _EXCELS.sub(lambda found: "\n" * found[0].count("\n"), text)
    header = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")
    separator = next((mark for mark in ",;\t" if "seed" in map(_key, header.split(mark))), ",")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for fields in reader:
            if any(stripped := [field.strip() for field in fields]):
                yield reader.line_num, stripped
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as CSV ({error})") from None


def _text(path: Path) -> str:
    try:
        if (size := path.stat().st_size) > BYTES:
            raise DataError(f"{path}: {size:,} bytes, and at most {BYTES:,} are read")
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}); save it as UTF-8 CSV, or use `iconv`"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def _key(name: str) -> str:
    """A column's name as it is looked up."""
    return name.strip().strip('"').lower()


def _layout(place: str, header: list[str]) -> Layout:
    names = [_key(name) for name in header]
    if "seed" not in names:
        raise DataError(f"{place}: no column is called seed; {FORM}, got {','.join(header)[:80] or 'nothing'}")
    if again := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"{place}: the column {again!r} stands there twice")
    at = {name: i for i, name in enumerate(names)}
    others = {i: header[i] for name, i in at.items() if name not in OWN[:2]}
    if "task" in at:
        if stray := [name for name in names if name not in OWN]:
            raise DataError(f"{place}: beside a column for the task there is no place for {stray[0]!r}; {FORM}")
        if "score" not in at:
            raise DataError(f"{place}: a column is called task, and none score; {FORM}")
        others = {at["score"]: "score"}
    if not others:
        raise DataError(f"{place}: no column holds scores; {FORM}")
    tasks = {i: _task(place, name) for i, name in others.items()}
    return Layout(len(header), at.get("method"), at["seed"], at.get("task"), tasks)


def _name(place: str, what: str, text: str) -> str:
    if not text or len(text) > NAME or not text.isprintable():
        raise DataError(f"{place}: {what}: must be a name of 1 to {NAME} characters, got {text[:NAME]!r}")
    return text


def _task(place: str, text: str) -> str:
    if text.lower() in AVERAGES:
        raise DataError(f"{place}: {text}: averages are computed here, over all tasks; leave them out")
    return _name(place, "task", text)


def _seed(place: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= MAX_SEED):
        raise DataError(f"{place}: seed: must be a whole number from 0 to {MAX_SEED}, got {text[:40]!r}")
    return int(text)


def _score(place: str, text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score) or "_" in text:
        how = "write it like 76.96, and leave the cell empty where there is none"
        raise DataError(f"{place}: score: must be a finite number, got {text[:40]!r}; {how}")
    if abs(score) > LARGEST:
        raise DataError(f"{place}: score: must be at most {LARGEST:,.0f} either way, got {text[:40]!r}")
    return score
