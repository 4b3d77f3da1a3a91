"""SentEval's seven transfer tasks, read from its folder layout.

    <data>/MR/rt-polarity.{pos,neg}    <data>/CR/custrev.{pos,neg}    <data>/MPQA/mpqa.{pos,neg}     latin-1
    <data>/SUBJ/subj.{objective,subjective}                                                          latin-1
    <data>/SST/binary/sentiment-{train,dev,test}   sentence, tab, 0 or 1                             UTF-8
    <data>/TREC/{train_5500,TREC_10}.label         "NUM:dist How far is it ..."                      latin-1
    <data>/MRPC/msr_paraphrase_{train,test}.txt    tab-separated with a header: 0 or 1, ids, pair    UTF-8

Items stand in SentEval's order (by word count, then label), so that a seeded split into folds is SentEval's own.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.data.lines import count_warning, read_lines, spaced, tab_rows
from nlcse_tune.errors import DataError

TransferTask = Literal["mr", "cr", "subj", "mpqa", "sst2", "trec", "mrpc"]
TRANSFER_TASKS: tuple[TransferTask, ...] = get_args(TransferTask)
TREC_CLASSES = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
ITEMS: dict[TransferTask, tuple[int, ...]] = {
    "mr": (10662,), "cr": (3775,), "subj": (10000,), "mpqa": (10606,),
    "sst2": (67349, 872, 1821), "trec": (5452, 500), "mrpc": (4076, 1725),
}  # fmt: skip
"""Items of each official file set: all, or train (, dev), test."""

# The files of each task: (label 1, label 0) where there is no split, else train (, dev), test.
_FILES: dict[TransferTask, tuple[str, ...]] = {
    "mr": ("MR/rt-polarity.pos", "MR/rt-polarity.neg"),
    "cr": ("CR/custrev.pos", "CR/custrev.neg"),
    "subj": ("SUBJ/subj.objective", "SUBJ/subj.subjective"),
    "mpqa": ("MPQA/mpqa.pos", "MPQA/mpqa.neg"),
    "sst2": ("SST/binary/sentiment-train", "SST/binary/sentiment-dev", "SST/binary/sentiment-test"),
    "trec": ("TREC/train_5500.label", "TREC/TREC_10.label"),
    "mrpc": ("MRPC/msr_paraphrase_train.txt", "MRPC/msr_paraphrase_test.txt"),
}
_Item = tuple[str, str, int]  # sentence, second sentence or "", label


@dataclass(frozen=True)
class Labelled:
    """I items: a sentence each, and for MRPC a second one, with class labels (I,)."""

    sentences: list[str]
    seconds: list[str] | None
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def columns(self) -> list[list[str]]:
        """Its lists of sentences."""
        return [self.sentences] if self.seconds is None else [self.sentences, self.seconds]


@dataclass(frozen=True)
class TransferData:
    """One task. Without `test` it is cross-validated; without `dev` the L2 strength is chosen by folds of `train`."""

    task: TransferTask
    train: Labelled
    dev: Labelled | None = None
    test: Labelled | None = None

    @property
    def parts(self) -> list[Labelled]:
        """The splits that are there."""
        return [part for part in (self.train, self.dev, self.test) if part is not None]


def load_transfer(data: str, task: TransferTask) -> TransferData:
    """A task from a folder in SentEval's layout. MissingDataError or DataError as for STS."""
    files = [Path(data) / name for name in _FILES[task]]
    if task not in _SPLIT:
        return TransferData(task, _labelled([*_plain(files[0], 1), *_plain(files[1], 0)]))
    train, *rest = (_labelled(_SPLIT[task](path), pairs=task == "mrpc") for path in files)
    return TransferData(task, train, dev=rest[0] if len(rest) == 2 else None, test=rest[-1])


def transfer_count_warning(loaded: TransferData) -> str | None:
    """`count_warning` of the items of each split."""
    return count_warning(loaded.task, tuple(map(len, loaded.parts)), ITEMS[loaded.task])


def _labelled(items: list[_Item], *, pairs: bool = False) -> Labelled:
    if len({label for *_, label in items}) < 2:
        raise DataError(f"{len(items)} items with a single class: a classifier needs two; first: {items[:1]}")
    items = sorted(items, key=lambda item: (len(item[0].split()), len(item[1].split()), item[2]))
    labels = np.array([label for *_, label in items], dtype=np.int64)
    return Labelled([first for first, *_ in items], [second for _, second, _ in items] if pairs else None, labels)


def _plain(path: Path, label: int) -> list[_Item]:
    """One sentence per line; SentEval counts the few empty lines of CR and MPQA as sentences, so they are kept."""
    return [(spaced(line), "", label) for line in read_lines(path, encoding="latin-1")]


def _sst(path: Path) -> list[_Item]:
    return [(spaced(row[0]), "", _binary(row[1], path, number)) for number, row in tab_rows(path, columns=2)]


def _mrpc(path: Path) -> list[_Item]:
    rows = tab_rows(path, columns=5, header=True)
    return [(spaced(row[3]), spaced(row[4]), _binary(row[0], path, number)) for number, row in rows]


def _trec(path: Path) -> list[_Item]:
    items = []
    for number, line in enumerate(read_lines(path, encoding="latin-1"), start=1):
        label, _, question = line.strip().partition(" ")
        if (coarse := label.partition(":")[0]) not in TREC_CLASSES or not question.strip():
            raise DataError(f"{path}:{number}: must be CLASS:detail and a question, got {line[:80]!r}")
        items.append((spaced(question), "", TREC_CLASSES.index(coarse)))
    return items


def _binary(text: str, path: Path, line: int) -> int:
    if text.strip() not in ("0", "1"):
        raise DataError(f"{path}:{line}: the label must be 0 or 1, got {text.strip()!r}")
    return int(text)


_SPLIT = {"sst2": _sst, "trec": _trec, "mrpc": _mrpc}  # what reads the files of a task with a split
