"""Lines and rows of text files: sentences, tab-separated values as SentEval reads them, quoted CSV."""

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from nlcse_tune.data.bounds import LINE
from nlcse_tune.errors import DataError

FETCH = "run `nlcse-tune data fetch senteval`"
OFFICIAL: dict[str, tuple[int, ...]] = {
    "sts12": (3108,), "sts13": (1500,), "sts14": (3750,), "sts15": (3000,), "sts16": (1186,), "stsb": (1379,),
    "sickr": (4927,), "mr": (10662,), "cr": (3775,), "subj": (10000,), "mpqa": (10606,), "sst2": (67349, 872, 1821),
    "trec": (5452, 500), "mrpc": (4076, 1725),
}  # fmt: skip
"""Scored pairs of each official STS test set; items of each official transfer set: all, or train (, dev), test."""


class MissingDataError(DataError):
    """A file that is not there, as against one that is there and wrong."""


def read_lines(path: Path, *, encoding: Literal["utf-8", "latin-1"] = "utf-8", hint: str = FETCH) -> list[str]:
    """A file's lines, ended by LF or CRLF; MissingDataError with `hint`, DataError with a line not in `encoding`."""
    try:
        content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except FileNotFoundError:
        raise MissingDataError(f"{path}: not found: {hint}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: not {encoding.upper()} (byte 0x{content[error.start]:02x}); convert the file, "
            f"for instance with `iconv -f latin1 -t utf-8`, or {hint}"
        ) from None
    lines = [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")] if text else []
    if len(longest := max(lines, key=len, default="")) > LINE:
        raise DataError(
            f"{path}:{lines.index(longest) + 1}: {len(longest):,} characters, and at most {LINE:,} are read of a line; "
            "end each sentence with LF or CRLF"
        )
    return lines


def tab_rows(path: Path, *, columns: int, header: bool = False) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a tab-separated file without quoting; further columns are let through."""
    for number, line in list(enumerate(read_lines(path), start=1))[header:]:
        fields = line.split("\t")
        if len(fields) < columns:
            raise DataError(
                f"{path}:{number}: must have {columns} tab-separated columns, got {len(fields)}: {line[:80]!r}"
            )
        yield number, fields


def csv_rows(path: Path, *, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """(line number, fields) of a quoted CSV file; without `strict`, stray quotes are let through."""
    csv.field_size_limit(LINE)
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, strict=strict)
        try:
            for fields in reader:
                yield reader.line_num, fields
        except (UnicodeDecodeError, csv.Error) as error:
            number = reader.line_num + isinstance(error, UnicodeDecodeError)  # of a line that it did not get to see
            raise DataError(f"{path}:{number}: not readable as UTF-8 CSV ({error})") from None


def spaced(text: str) -> str:
    """As SentEval gives sentences to a model: split on whitespace, joined by one space."""
    return " ".join(text.split())


def count_warning(task: str, counts: tuple[int, ...]) -> str | None:
    """What to tell a reader when a task holds other numbers of items than the official ones."""
    official = OFFICIAL.get(task, counts)
    if counts == official:
        return None
    here, there = (" + ".join(map(str, numbers)) for numbers in (counts, official))
    return f"{task}: {here} items, but officially there are {there}: its score cannot be compared with published ones"
