"""Training text as it is read: one sentence per line, or a CSV of pairs or triplets."""

import csv
from functools import cached_property
from itertools import islice
from pathlib import Path

from nlcse_tune.config import SYNTHETIC, Objective, TextConfig
from nlcse_tune.data import synthetic
from nlcse_tune.data.altered import altered, settings_of
from nlcse_tune.data.catalog import fingerprint
from nlcse_tune.data.lines import csv_rows, read_lines, spaced
from nlcse_tune.data.registry import how_to_get
from nlcse_tune.errors import DataError

Columns = tuple[list[str], ...]
READING = "1"  # raised when the same file gives other sentences: what was made of them is kept between runs
CSV_COLUMNS = ("sent0", "sent1", "hard_neg")
SEPARATORS = {".csv": {",": "commas", ";": "semicolons", "\t": "tabs"}, ".tsv": {"\t": "tabs"}}
FETCHABLE = " (or `nlcse-tune data fetch wiki1m`, or nli)"
LOOKED_AT = 1000  # rows, to see whether a file holds columns
# Of 70,000 sentences of Wikipedia 63% hold a comma (LOG.md); of a table's rows nearly all have two fields.
SHARE = 0.9


class TextSource:
    """A run's training text by its content: read only where what is made of it is not in the cache yet."""

    def __init__(self, config: TextConfig, content: str | None = None) -> None:
        """`content` is the fingerprint of `config.data`."""
        self.config = config
        self.content = fingerprint(config.data) if content is None else content

    @property
    def key(self) -> str:
        """What the columns hang on, as text."""
        changed = "".join(f", {name} {value}" for name, value in settings_of(self.config).items())
        return f"reading {READING}, {self.config.objective}, {self.content}{changed}"

    @cached_property
    def columns(self) -> Columns:
        """As `load_columns`. DataError where the file was changed meanwhile: the run is named by its content."""
        columns = load_columns(self.config)
        if fingerprint(self.config.data) != self.content:
            raise DataError(f"{self.config.data}: changed while it was read; give the same command again")
        return columns


def load_columns(config: TextConfig) -> Columns:
    """The distinct columns of the text: one of sentences, or two or three (with hard negatives) of equal length.

    Made smaller or noisy where the configuration says so.
    """
    if config.data != SYNTHETIC:
        columns = read_columns(Path(config.data), config.objective)
    elif config.objective == "unsupervised":
        columns = (synthetic.sentences(),)
    else:
        columns = tuple(list(column) for column in zip(*synthetic.triplets(), strict=True))
    columns = altered(columns, config)
    check_rows(config, len(columns[0]))
    return columns


def read_columns(path: Path, objective: Objective) -> Columns:
    """The columns in a file, however few their rows. DataError for what is wrong with it, with its line."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; set text.data to one{how_to_get(path) or FETCHABLE}")
    return _read_sentences(path) if objective == "unsupervised" else _read_csv(path)


def check_rows(config: TextConfig, rows: int) -> None:
    """DataError unless so many rows, or those of them that are kept, fill a batch."""
    rows = min(rows, config.limit or rows)
    if rows < config.batch_size:
        raise DataError(f"{config.data}: {rows} rows do not fill one batch; text.batch_size is {config.batch_size}")


def _read_sentences(path: Path) -> Columns:
    lines = [line for line in read_lines(path, hint="set text.data to another one") if not line.isspace() and line]
    if path.suffix.lower() == ".csv" and lines and spaced(lines[0]).split(",")[:2] == list(CSV_COLUMNS[:2]):
        raise DataError(
            f"{path}: a file of pairs or triplets; set text.objective=supervised, or give one sentence per line"
        )
    if table := _as_table(path, lines):
        raise DataError(
            f"{path}: looks like a table ({table}), and without supervision each line is trained as one sentence; "
            "write its sentences alone, one per line, to a .txt file (if they are, rename it to .txt)"
        )
    return ([spaced(line) for line in lines],)


def _as_table(path: Path, lines: list[str]) -> str | None:
    """Why a file that is called .csv or .tsv is taken for columns, None where its lines may be sentences.

    Sentences hold commas too, but not nearly all of them. A single column in quotes is a table: its quotes would be
    trained as text.
    """
    for separator, name in SEPARATORS.get(path.suffix.lower(), {}).items():
        csv.field_size_limit(2**31 - 1)  # a stray quote may swallow many lines, all in memory already
        rows = list(islice(csv.reader(lines, delimiter=separator), LOOKED_AT))
        several = sum(len(row) > 1 for row in rows)
        if rows and several >= SHARE * len(rows):
            return f"{several} of the first {len(rows)} rows have columns, separated by {name}"
        quoted = sum(line.startswith('"') and line.endswith('"') for line in lines[:LOOKED_AT])
        if quoted and several <= (1 - SHARE) * len(rows):
            return f"one column, {quoted} of whose cells are in quotes"
    return None


def _read_csv(path: Path) -> Columns:
    rows = csv_rows(path, strict=False)
    _, header = next(rows, (0, []))
    if tuple(header) not in (CSV_COLUMNS, CSV_COLUMNS[:2]):
        got = ",".join(header)[:80]
        raise DataError(f"{path}:1: must have the header sent0,sent1 or sent0,sent1,hard_neg, got {got}")
    filled = []
    for number, row in rows:
        if len(row) != len(header) or not all(cell.strip() for cell in row):
            raise DataError(f"{path}:{number}: must have {len(header)} filled columns, got {str(row)[:200]}")
        filled.append(row)
    if not filled:
        raise DataError(f"{path}: holds a header and no rows")
    return tuple(list(column) for column in zip(*filled, strict=True))
