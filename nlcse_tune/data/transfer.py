"""SentEval's seven transfer tasks, read from its folder layout.

    <data>/MR/rt-polarity.{pos,neg}    <data>/CR/custrev.{pos,neg}    <data>/MPQA/mpqa.{pos,neg}     latin-1
    <data>/SUBJ/subj.{objective,subjective}                                                          latin-1
    <data>/SST/binary/sentiment-{train,dev,test}   sentence, tab, 0 or 1                             UTF-8
    <data>/TREC/{train_5500,TREC_10}.label         "NUM:dist How far is it ..."                      latin-1
    <data>/MRPC/msr_paraphrase_{train,test}.txt    tab-separated with a header: 0 or 1, ids, pair    UTF-8

Items stand in SentEval's order (by word count, then label), so that a seeded split into folds is SentEval's own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import SYNTHETIC
from nlcse_tune.data import synthetic
from nlcse_tune.data.lines import read_lines, spaced, tab_rows
from nlcse_tune.errors import DataError

TransferTask = Literal["mr", "cr", "subj", "mpqa", "sst2", "trec", "mrpc"]
TRANSFER_TASKS: tuple[TransferTask, ...] = get_args(TransferTask)
TREC_CLASSES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
_EMBEDDED = 200  # items of a part of the embedded tasks
_Item = tuple[list[str], int]  # a sentence or, for MRPC, two; label


@dataclass(frozen=True)
class Labelled:
    """I items: their sentences, and for MRPC the second ones, with class labels (I,)."""

    columns: list[list[str]]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


# Of a task: train, (dev,) test, or a single one that is cross-validated. Without dev, folds of train choose C.
Parts = tuple[Labelled, ...]


def load_transfer(data: str, task: TransferTask) -> Parts:
    """A task from a folder in SentEval's layout, or "synthetic". MissingDataError or DataError as for STS."""
    if data == SYNTHETIC:
        return _synthetic(task)
    if task in _BINARY:
        # SentEval counts the few empty lines of CR and MPQA as sentences, so they are kept.
        read = ((label, read_lines(Path(data, name), encoding="latin-1")) for label, name in _BINARY[task].items())
        return (_labelled([([spaced(line)], label) for label, lines in read for line in lines]),)
    of_file, files = _SPLIT[task]
    return tuple(_labelled(of_file(Path(data, name))) for name in files)


def _synthetic(task: TransferTask) -> Parts:
    """As many parts as the task has, of `_EMBEDDED` items each."""
    count = len(_SPLIT[task][1]) if task in _SPLIT else 1
    items = synthetic.labelled(task, _EMBEDDED * count)
    return tuple(_labelled(items[_EMBEDDED * part : _EMBEDDED * (part + 1)]) for part in range(count))


def _labelled(items: list[_Item]) -> Labelled:
    if len({label for _, label in items}) < 2:
        raise DataError(f"{len(items)} items with a single class: a classifier needs two; first: {items[:1]}")
    items = sorted(items, key=lambda item: (*(len(sentence.split()) for sentence in item[0]), item[1]))
    columns = [list(column) for column in zip(*(sentences for sentences, _ in items), strict=True)]
    return Labelled(columns, np.array([label for _, label in items], dtype=np.int64))


def _table(path: Path, sentences: tuple[int, ...], label: int, *, header: bool) -> list[_Item]:
    """The items of a tab-separated file, by the columns of sentences and label."""
    items = []
    for number, row in tab_rows(path, columns=max(*sentences, label) + 1, header=header):
        if (text := row[label].strip()) not in ("0", "1"):
            raise DataError(f"{path}:{number}: the label must be 0 or 1, got {text!r}")
        items.append(([spaced(row[column]) for column in sentences], int(text)))
    return items


def _trec(path: Path) -> list[_Item]:
    items = []
    for number, line in enumerate(read_lines(path, encoding="latin-1"), start=1):
        label, _, question = line.strip().partition(" ")
        if (coarse := label.partition(":")[0]) not in TREC_CLASSES or not question.strip():
            raise DataError(f"{path}:{number}: must be CLASS:detail and a question, got {line[:80]!r}")
        items.append(([spaced(question)], TREC_CLASSES.index(coarse)))
    return items


# The file of each label where there is no split; else what reads a file, and the files of train (, dev), test.
_BINARY: dict[TransferTask, dict[int, str]] = {
    "mr": {1: "MR/rt-polarity.pos", 0: "MR/rt-polarity.neg"},
    "cr": {1: "CR/custrev.pos", 0: "CR/custrev.neg"},
    "subj": {1: "SUBJ/subj.objective", 0: "SUBJ/subj.subjective"},
    "mpqa": {1: "MPQA/mpqa.pos", 0: "MPQA/mpqa.neg"},
}
_sst = partial(_table, sentences=(0,), label=1, header=False)
_mrpc = partial(_table, sentences=(3, 4), label=0, header=True)
_SPLIT: dict[TransferTask, tuple[Callable[[Path], list[_Item]], tuple[str, ...]]] = {
    "sst2": (_sst, ("SST/binary/sentiment-train", "SST/binary/sentiment-dev", "SST/binary/sentiment-test")),
    "trec": (_trec, ("TREC/train_5500.label", "TREC/TREC_10.label")),
    "mrpc": (_mrpc, ("MRPC/msr_paraphrase_train.txt", "MRPC/msr_paraphrase_test.txt")),
}
