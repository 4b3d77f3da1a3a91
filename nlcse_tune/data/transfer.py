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
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.data.sts import read_lines
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
    files = transfer_files(data, task)
    match task:
        case "mr" | "cr" | "subj" | "mpqa":
            return TransferData(task, _labelled([*_plain(files[0], 1), *_plain(files[1], 0)]))
        case "sst2":
            train, dev, test = (_labelled(_sst(path)) for path in files)
            return TransferData(task, train, dev, test)
        case "trec":
            train, test = (_labelled(_trec(path)) for path in files)
            return TransferData(task, train, test=test)
        case "mrpc":
            train, test = (_labelled(_mrpc(path), pairs=True) for path in files)
            return TransferData(task, train, test=test)


def transfer_files(data: str, task: TransferTask) -> list[Path]:
    """The files that `load_transfer` reads, in a fixed order."""
    return [Path(data) / name for name in _FILES[task]]


def transfer_count_warning(loaded: TransferData) -> str | None:
    """What to tell a reader when a task holds another number of items than the official one."""
    counts = tuple(map(len, loaded.parts))
    if counts == ITEMS[loaded.task]:
        return None
    return f"{loaded.task}: {counts} items, but the official sets have {ITEMS[loaded.task]}: not comparable"


def _labelled(items: list[_Item], *, pairs: bool = False) -> Labelled:
    if len({label for *_, label in items}) < 2:
        raise DataError(f"{len(items)} items with a single class: a classifier needs two; first: {items[:1]}")
    items = sorted(items, key=lambda item: (len(item[0].split()), len(item[1].split()), item[2]))
    labels = np.array([label for *_, label in items], dtype=np.int64)
    return Labelled([first for first, *_ in items], [second for _, second, _ in items] if pairs else None, labels)


def _plain(path: Path, label: int) -> list[_Item]:
    """One sentence a line; SentEval counts the few empty lines of CR and MPQA as sentences, so they are kept."""
    return [(_tokens(line), "", label) for line in read_lines(path, encoding="latin-1")]


def _sst(path: Path) -> list[_Item]:
    return _fields(path, 2, lambda fields: (_tokens(fields[0]), "", _binary(fields[1])))


def _mrpc(path: Path) -> list[_Item]:
    return _fields(path, 5, lambda f: (_tokens(f[3]), _tokens(f[4]), _binary(f[0])), header=True)


def _trec(path: Path) -> list[_Item]:
    items = []
    for number, line in enumerate(read_lines(path, encoding="latin-1"), start=1):
        label, _, question = line.strip().partition(" ")
        if (coarse := label.partition(":")[0]) not in TREC_CLASSES or not question.strip():
            raise DataError(f"{path}:{number}: must be CLASS:detail and a question, got {line[:80]!r}")
        items.append((_tokens(question), "", TREC_CLASSES.index(coarse)))
    return items


def _fields(path: Path, columns: int, read: Callable[[list[str]], _Item], *, header: bool = False) -> list[_Item]:
    items = []
    for number, line in enumerate(read_lines(path), start=1):
        if header and number == 1:
            continue
        fields = line.split("\t")
        if len(fields) != columns:
            raise DataError(
                f"{path}:{number}: must have {columns} tab-separated columns, got {len(fields)}: {line[:80]!r}"
            )
        try:
            items.append(read(fields))
        except ValueError as error:
            raise DataError(f"{path}:{number}: {error}") from None
    return items


def _binary(text: str) -> int:
    if text.strip() not in ("0", "1"):
        raise ValueError(f"the label must be 0 or 1, got {text.strip()!r}")
    return int(text)


def _tokens(text: str) -> str:
    return " ".join(text.split())
