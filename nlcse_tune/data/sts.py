"""The seven STS tasks, STS-B dev and its translations, read from SentEval's folder layout.

    <data>/STS/STS12-en-test/STS.{input,gs}.MSRpar.txt   ... STS16; blank gold = not annotated = not counted
    <data>/STS/STSBenchmark/sts-{train,dev,test}.csv     tab-separated, unquoted: gold in column 5, then the pair
    <data>/SICK/SICK_{train,trial,test_annotated}.txt    tab-separated with a header

Sentences are as SentEval gives them to a model: whitespace-split tokens, joined by one space.
"""

import csv
import io
import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import SYNTHETIC, StsTask
from nlcse_tune.data import synthetic
from nlcse_tune.data.lines import MissingDataError, count_warning, read_lines, spaced, tab_rows
from nlcse_tune.errors import DataError, nearest

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

SUBSETS: dict[StsTask, tuple[str, ...]] = {
    "sts12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "sts13": ("FNWN", "headlines", "OnWN"),  # without SMT, which may not be given away; SentEval leaves it out too
    "sts14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "sts15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "sts16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
PAIRS: dict[StsTask, int] = {
    "sts12": 3108, "sts13": 1500, "sts14": 3750, "sts15": 3000, "sts16": 1186, "stsb": 1379, "sickr": 4927,
}  # fmt: skip
"""Scored pairs of each official test set."""

_SICK = {"train": "SICK_train.txt", "dev": "SICK_trial.txt", "test": "SICK_test_annotated.txt"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subset:
    """P scored pairs of sentences: `left[i]`, `right[i]` and their `gold[i]` (float64, higher is more similar)."""

    name: str
    left: list[str]
    right: list[str]
    gold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.gold)


def load_task(data: str, task: StsTask) -> list[Subset]:
    """The sub-sets of a task's test split; STS-B and SICK-R have one.

    `data` is a folder in SentEval's layout, or "synthetic". MissingDataError names the file looked for; DataError a
    bad file and line. Another number of pairs than the official files hold is logged, since the data may be one's own.
    """
    if data == SYNTHETIC:
        return [_synthetic(task)]
    subsets = read_task(data, task)
    if warning := sts_count_warning(task, subsets):
        _log.warning("%s", warning)
    return subsets


def read_task(data: str, task: StsTask) -> list[Subset]:
    """As `load_task`, from a folder, without a word about the number of pairs."""
    match task:
        case "stsb":
            return [load_stsb(data, "test")]
        case "sickr":
            return [load_sick(data, "test")]
        case _:
            return [_load_semeval(name, *files) for name, files in _semeval_files(data, task).items()]


def load_dev(data: str) -> Subset:
    """STS-B dev, on which every choice of this tool is made."""
    return _synthetic("dev") if data == SYNTHETIC else load_stsb(data, "dev")


def load_stsb(data: str, split: Split) -> Subset:
    """One split of STS-B."""
    path = _stsb_file(data, split)
    rows = tab_rows(path, columns=7)
    return _subset(f"STS-B {split}", path, ((n, row[5], row[6], row[4]) for n, row in rows))


def load_sick(data: str, split: Split) -> Subset:
    """One split of SICK relatedness. Published tables use `test`; MTEB's SICK-R is all three together."""
    path = _sick_file(data, split)
    rows = tab_rows(path, columns=4, header=True)
    return _subset(f"SICK-R {split}", path, ((n, row[1], row[2], row[3]) for n, row in rows))


def load_multilingual_dev(folder: Path | str, lang: str) -> Subset:
    """STS-B dev in another language, from `stsb_multi_mt`: `stsb-LANG-dev.csv`, quoted CSV without header."""
    path = Path(folder) / f"stsb-{lang}-dev.csv"
    if not path.is_file():
        known = languages(folder)
        raise MissingDataError(
            f"{path}: not found{nearest(lang, known)}; languages there: {', '.join(known) or 'none'}; "
            "get the file from https://github.com/PhilipMay/stsb-multi-mt (folder data)"
        )
    return _subset(f"STS-B dev {lang}", path, _csv_rows(path))


def languages(folder: Path | str) -> list[str]:
    """The languages that a `stsb_multi_mt` folder holds."""
    return sorted(path.name.split("-")[1] for path in Path(folder).glob("stsb-*-dev.csv"))


def dev_files(data: str) -> list[Path]:
    """The files in the folder `data` that `load_dev` reads, for a fingerprint."""
    return [_stsb_file(data, "dev")]


def task_files(data: str, task: StsTask) -> list[Path]:
    """The files in the folder `data` that `load_task` reads, in a fixed order."""
    match task:
        case "stsb":
            return [_stsb_file(data, "test")]
        case "sickr":
            return [_sick_file(data, "test")]
        case _:
            return [path for files in _semeval_files(data, task).values() for path in files]


def sts_count_warning(task: StsTask, subsets: list[Subset]) -> str | None:
    """`count_warning` of the scored pairs of a test set."""
    return count_warning(task, (sum(map(len, subsets)),), (PAIRS[task],))


def _synthetic(split: str) -> Subset:
    rows = synthetic.sts_pairs(split)
    gold = np.array([score for _, _, score in rows], dtype=np.float64)
    return Subset(split, [spaced(left) for left, _, _ in rows], [spaced(right) for _, right, _ in rows], gold)


def _stsb_file(data: str, split: Split) -> Path:
    return Path(data) / "STS" / "STSBenchmark" / f"sts-{split}.csv"


def _sick_file(data: str, split: Split) -> Path:
    return Path(data) / "SICK" / _SICK[split]


def _semeval_files(data: str, task: StsTask) -> dict[str, tuple[Path, Path]]:
    """Pairs and gold scores of each sub-set: the official ones, all of them, or one's own where there is none."""
    folder, official = Path(data) / "STS" / f"{task.upper()}-en-test", SUBSETS[task]
    there = sorted(p.name.removeprefix("STS.input.").removesuffix(".txt") for p in folder.glob("STS.input.*.txt"))
    names = there if there and not set(there) & set(official) else official
    return {name: (folder / f"STS.input.{name}.txt", folder / f"STS.gs.{name}.txt") for name in names}


def _load_semeval(name: str, inputs: Path, gold: Path) -> Subset:
    pairs, scores = list(tab_rows(inputs, columns=2)), read_lines(gold)
    if len(pairs) != len(scores):
        raise DataError(
            f"{inputs} has {len(pairs)} lines, but {gold.name} has {len(scores)}: line i of one scores line i"
        )
    return _subset(name, gold, ((n, row[0], row[1], score) for (n, row), score in zip(pairs, scores, strict=True)))


def _csv_rows(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """(line number, left, right, gold) of a quoted CSV file of three columns."""
    reader = csv.reader(io.StringIO("\n".join(read_lines(path)), newline=""), strict=True)
    try:
        for fields in reader:
            if len(fields) != 3:
                raise DataError(f"{path}:{reader.line_num}: must have 3 columns (pair, gold), got {len(fields)}")
            yield reader.line_num, fields[0], fields[1], fields[2]
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not readable as CSV: {error}") from None


def _subset(name: str, path: Path, rows: Iterable[tuple[int, str, str, str]]) -> Subset:
    """The scored rows (line number, left, right, gold text), checked."""
    left, right, gold = [], [], []
    for number, first, second, score in rows:
        if score.strip():  # a blank score: the pair was not annotated
            gold.append(_gold(score, path, number))
            left.append(_sentence(first, path, number))
            right.append(_sentence(second, path, number))
    if len(set(gold)) < 2:
        raise DataError(
            f"{path}: {len(gold)} scored pairs, {len(set(gold))} distinct scores: a correlation needs 2 of each"
        )
    return Subset(name, left, right, np.array(gold, dtype=np.float64))


def _gold(text: str, path: Path, line: int) -> float:
    if len(text.split()) > 1:
        raise DataError(f"{path}:{line}: must hold one gold score (or none), got {text.strip()!r}")
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{path}:{line}: the gold score must be a finite number, got {text.strip()!r}")
    return value


def _sentence(text: str, path: Path, line: int) -> str:
    if not (sentence := spaced(text)):
        raise DataError(f"{path}:{line}: a scored pair has an empty sentence")
    return sentence
