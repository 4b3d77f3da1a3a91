"""The seven STS tasks, STS-B dev and its translations, read from SentEval's folder layout.

    <data>/STS/STS12-en-test/STS.{input,gs}.MSRpar.txt   ... STS16; blank gold = not annotated = not counted
    <data>/STS/STSBenchmark/sts-{train,dev,test}.csv     tab-separated, unquoted: gold in column 5, then the pair
    <data>/SICK/SICK_{train,trial,test_annotated}.txt    tab-separated with a header

Sentences are as SentEval gives them to a model: whitespace-split tokens, joined by one space.
"""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import SYNTHETIC, StsTask
from nlcse_tune.data import lines, synthetic
from nlcse_tune.errors import DataError, nearest
from nlcse_tune.paths import data_folder

Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
SUBSETS: dict[StsTask, tuple[str, ...]] = {
    "sts12": ("MSRpar", "MSRvid", "SMTeuroparl", "surprise.OnWN", "surprise.SMTnews"),
    "sts13": ("FNWN", "headlines", "OnWN"),  # without SMT, which may not be given away; SentEval leaves it out too
    "sts14": ("deft-forum", "deft-news", "headlines", "images", "OnWN", "tweet-news"),
    "sts15": ("answers-forums", "answers-students", "belief", "headlines", "images"),
    "sts16": ("answer-answer", "headlines", "plagiarism", "postediting", "question-question"),
}
_log = logging.getLogger(__name__)

# Of the tasks with a file per split: title, files, columns of left, right and gold, whether a header comes first.
_TABLES: dict[StsTask, tuple[str, dict[Split, str], tuple[int, int, int], bool]] = {
    "stsb": ("STS-B", {split: f"STS/STSBenchmark/sts-{split}.csv" for split in SPLITS}, (5, 6, 4), False),
    "sickr": (
        "SICK-R",
        {"train": "SICK/SICK_train.txt", "dev": "SICK/SICK_trial.txt", "test": "SICK/SICK_test_annotated.txt"},
        (1, 2, 3), True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Subset:
    """P scored pairs of sentences: `left[i]`, `right[i]` and their `gold[i]` (float64, higher is more similar)."""

    name: str
    left: list[str]
    right: list[str]
    gold: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.gold)


def load_task(data: str, task: StsTask, *, warn: bool = True) -> list[Subset]:
    """The sub-sets of a task's test split; STS-B and SICK-R have one.

    `data` is a folder in SentEval's layout, or "synthetic". MissingDataError names the file looked for; DataError a
    bad file and line. Another number of pairs than the official one is logged (`warn`): data may be one's own.
    """
    if data == SYNTHETIC:
        return [_synthetic(task)]
    if task in _TABLES:
        subsets = [load_split(data, task, "test")]
    else:
        files = task_files(data, task)
        subsets = [_load_semeval(*pair) for pair in zip(files[::2], files[1::2], strict=True)]
    if warn and (warning := lines.count_warning(task, (sum(map(len, subsets)),))):
        _log.warning("%s", warning)
    return subsets


def load_dev(data: str, language: str | None = None) -> Subset:
    """STS-B dev, in English or a translation, on which every choice of this tool is made."""
    if language:
        return load_multilingual_dev(multilingual_folder(data), language)
    return _synthetic("dev") if data == SYNTHETIC else load_split(data, "stsb", "dev")


def load_split(data: str, task: StsTask, split: Split) -> Subset:
    """One split of STS-B or SICK-R. Published tables use SICK-R's test; MTEB's SICK-R is all three together."""
    title, files, (left, right, gold), header = _TABLES[task]
    path = Path(data, files[split])
    rows = lines.tab_rows(path, columns=max(left, right, gold) + 1, header=header)
    return _subset(f"{title} {split}", path, ((n, row[left], row[right], row[gold]) for n, row in rows))


def load_multilingual_dev(folder: Path, lang: str) -> Subset:
    """STS-B dev in another language, from `stsb_multi_mt`: `stsb-LANG-dev.csv`, quoted CSV without header."""
    path = multilingual_file(folder, lang)
    rows = list(lines.csv_rows(path))
    if bad := next(((n, len(fields)) for n, fields in rows if len(fields) != 3), None):
        raise DataError(f"{path}:{bad[0]}: must have 3 columns (pair, gold), got {bad[1]}")
    return _subset(f"STS-B dev {lang}", path, ((n, left, right, gold) for n, (left, right, gold) in rows))


def multilingual_folder(data: str) -> Path:
    """`stsb_multi_mt` in an evaluation folder or, where none is there, beside it or in the data folder."""
    inside, *others = (folder / "stsb_multi_mt" for folder in (Path(data), Path(data).resolve().parent, data_folder()))
    return inside if languages(inside) else next(filter(languages, others), inside)


def multilingual_file(folder: Path, lang: str) -> Path:
    """The file of a language; MissingDataError names those that are there."""
    path = folder / f"stsb-{lang}-dev.csv"
    if not path.is_file():
        known = languages(folder)
        raise lines.MissingDataError(
            f"{path}: not found{nearest(lang, known)}; languages there: {', '.join(known) or 'none'}; "
            "run `nlcse-tune data fetch stsb_multi_mt`"
        )
    return path


def languages(folder: Path) -> list[str]:
    """The languages that a `stsb_multi_mt` folder holds."""
    return sorted(path.name.split("-")[1] for path in folder.glob("stsb-*-dev.csv"))


def task_files(data: str, task: StsTask, split: Split = "test") -> list[Path]:
    """A task's files in a fixed order: pairs and gold in turn of SemEval's official sub-sets, or of one's own alone."""
    if task in _TABLES:
        return [Path(data, _TABLES[task][1][split])]
    folder, official = Path(data, "STS", f"{task.upper()}-en-test"), SUBSETS[task]
    there = sorted(map(_subset_name, folder.glob("STS.input.*.txt")))
    names = there if there and not set(there) & set(official) else official
    return [folder / f"STS.{kind}.{name}.txt" for name in names for kind in ("input", "gs")]


def _subset_name(inputs: Path) -> str:
    return inputs.name.removeprefix("STS.input.").removesuffix(".txt")


def _synthetic(split: str) -> Subset:
    left, right, gold = zip(*synthetic.sts_pairs(split), strict=True)
    return Subset(split, list(left), list(right), np.array(gold, dtype=np.float64))


def _load_semeval(inputs: Path, gold: Path) -> Subset:
    pairs, scores = list(lines.tab_rows(inputs, columns=2)), lines.read_lines(gold)
    if len(pairs) != len(scores):
        raise DataError(
            f"{inputs} has {len(pairs)} lines, but {gold.name} has {len(scores)}: line i of one scores line i"
        )
    rows = ((n, row[0], row[1], score) for (n, row), score in zip(pairs, scores, strict=True))
    return _subset(_subset_name(inputs), gold, rows)


def _subset(name: str, path: Path, rows: Iterable[tuple[int, str, str, str]]) -> Subset:
    """The rows (line number, left, right, gold) with a score, checked; a blank one: the pair was not annotated."""
    left, right, gold = [], [], []
    for number, first, second, score in rows:
        if score.strip():
            gold.append(_gold(score, path, number))
            left.append(lines.spaced(first))
            right.append(lines.spaced(second))
            if not (left[-1] and right[-1]):
                raise DataError(f"{path}:{number}: a scored pair has an empty sentence")
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
