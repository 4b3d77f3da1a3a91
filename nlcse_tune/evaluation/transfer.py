"""SentEval's transfer tasks: logistic regression on frozen sentence embeddings.

MR, CR, SUBJ and MPQA by nested k-fold cross-validation, SST-2 with its strength chosen on its dev set, TREC and MRPC by
k folds of their training sets; folds and seeds are SentEval's. Two classifiers can be had:

- the one of `senteval.py`: SentEval's default (`usepytorch`), which SimCSE's evaluation.py asks for, and with it
  published tables;
- scikit-learn's, SentEval's alternative and this tool's default, since it is several times faster. Along the C grid
  each fit starts from the one before: faster, and within scikit-learn's tolerance of a cold start (on 400 items that
  changed the C of 2 of 10 folds).

Fits of different folds run beside each other, each on one thread: they are so small that to share one's sums among
threads costs more than it gains (LOG.md, "one thread for each logistic regression").

I items, D features, K folds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from nlcse_tune.config import Frozen
from nlcse_tune.data.transfer import Labelled, Parts
from nlcse_tune.evaluation import senteval
from nlcse_tune.evaluation.embed import Bank, Progress, silent
from nlcse_tune.evaluation.sts import check_vary
from nlcse_tune.names import Protocol

SEED = 1111  # SentEval's, for every split
FOLDS = 10  # K
GRID = tuple(2.0**t for t in range(-2, 4))  # C of nested folds and of SST-2
GRID_KFOLD = tuple(2.0**t for t in range(-1, 6))  # C of TREC and MRPC

Features = NDArray[np.float32]  # (I, D)
Labels = NDArray[np.int64]  # (I,)
Split = tuple[Features, Labels, Features, Labels]  # to fit, to score
Dev = tuple[Features, Labels]
Rows = NDArray[np.int64]
Cut = Callable[[], Split]  # makes a split when its turn comes: all at once would be many times the data
Result = TypeVar("Result")


class TransferScore(Frozen):
    """Accuracy x 100 on test (or the mean over outer folds) and on what the strength was chosen by; MRPC's F1 x 100."""

    accuracy: float
    dev_accuracy: float
    f1: float | None = None


class Classifier(ABC):
    """How a protocol fits a linear classifier of one strength, and which strengths it tries, rising."""

    folds: int  # K
    nested_grid: Sequence[float]  # of nested folds and of a given dev set
    grid: Sequence[float]  # of the folds of a training set

    @abstractmethod
    def accuracies(self, split: Split, grid: Sequence[float]) -> list[float]:
        """Accuracy x 100 of a split's second half, by strength."""

    @abstractmethod
    def predict(self, strength: float, inputs: Features, labels: Labels, dev: Dev | None, test: Features) -> Labels:
        """The classes of `test` after a fit on all of `inputs`; `dev` where the task has such a set."""


class ScikitLearn(Classifier):
    """C of scikit-learn's logistic regression."""

    folds, nested_grid, grid = FOLDS, GRID, GRID_KFOLD

    def accuracies(self, split: Split, grid: Sequence[float]) -> list[float]:
        inputs, labels, dev, dev_labels = split
        model = self._model(grid[0], warm_start=True)
        fits = (model.set_params(C=strength).fit(inputs, labels) for strength in grid)
        return [100 * float(fit.score(dev, dev_labels)) for fit in fits]

    def predict(self, strength: float, inputs: Features, labels: Labels, dev: Dev | None, test: Features) -> Labels:
        return np.asarray(self._model(strength).fit(inputs, labels).predict(test))

    def _model(self, strength: float, *, warm_start: bool = False) -> LogisticRegression:
        return LogisticRegression(C=strength, max_iter=1000, random_state=SEED, warm_start=warm_start)


class SentEval(Classifier):
    """The penalty of SentEval's own classifier."""

    nested_grid = grid = senteval.PENALTIES

    def __init__(self, settings: senteval.Settings) -> None:
        self.settings, self.folds = settings, settings.folds

    def accuracies(self, split: Split, grid: Sequence[float]) -> list[float]:
        (inputs, labels), dev = split[:2], split[2:]
        fitted = senteval.fit(inputs, labels, dev, tuple(grid), self.settings)
        return [100 * float(accuracy) for accuracy in fitted.accuracy]

    def predict(self, strength: float, inputs: Features, labels: Labels, dev: Dev | None, test: Features) -> Labels:
        predicted: Labels = senteval.fit(inputs, labels, dev, (strength,), self.settings).predict(test)[0]
        return predicted


CLASSIFIERS: dict[Protocol, Classifier] = {
    "scikit-learn": ScikitLearn(), "senteval": SentEval(senteval.FULL), "senteval-fast": SentEval(senteval.FAST),
}  # fmt: skip


def transfer_score(
    bank: Bank, parts: Parts, protocol: Protocol = "scikit-learn", progress: Progress = silent
) -> TransferScore:
    """One task's score from the vectors in `bank`; RunError if they are zero or constant."""
    check_vary(bank.of(parts[0].columns[0][:4096]))
    by = CLASSIFIERS[protocol]
    (train, labels), *others = [(features(bank, part), part.labels) for part in parts]
    if not others:
        return nested(by, train, labels, progress)
    *dev, (test, expected) = others
    cuts: list[Cut] = [partial(_whole, train, labels, *given) for given in dev]
    cuts = cuts or [partial(_cut, train, labels, *fold) for fold in _folds(by.folds, labels)]
    [(strength, dev_accuracy)] = choose(by, [cuts], by.nested_grid if dev else by.grid, progress)
    predicted = by.predict(strength, train, labels, dev[0] if dev else None, test)
    f1 = 100 * float(f1_score(expected, predicted)) if len(parts[0].columns) == 2 else None
    return TransferScore(accuracy=_accuracy(predicted, expected), dev_accuracy=dev_accuracy, f1=f1)


def features(bank: Bank, items: Labelled) -> Features:
    """(I, D) vectors of single sentences; (I, 2 D) |u - v| and u * v of pairs."""
    first, *second = map(bank.of, items.columns)
    return np.concatenate([np.abs(first - second[0]), first * second[0]], axis=1) if second else first


def nested(by: Classifier, inputs: Features, labels: Labels, progress: Progress = silent) -> TransferScore:
    """Mean accuracy over K outer folds; for each, the strength is chosen by K folds of its training part."""

    def accuracy(strength: float, train: Rows, test: Rows) -> float:
        predicted = by.predict(strength, inputs[train], labels[train], None, inputs[test])
        return _accuracy(predicted, labels[test])

    outer = _folds(by.folds, labels)
    inner = [[(train[a], train[b]) for a, b in _folds(by.folds, labels[train])] for train, _ in outer]
    cuts = [[partial(_cut, inputs, labels, *fold) for fold in folds] for folds in inner]
    chosen = choose(by, cuts, by.nested_grid, progress)
    fits = [partial(accuracy, strength, *fold) for (strength, _), fold in zip(chosen, outer, strict=True)]
    tests = beside(fits, "logistic regression, outer folds", progress)
    return TransferScore(accuracy=float(np.mean(tests)), dev_accuracy=float(np.mean([dev for _, dev in chosen])))


def choose(
    by: Classifier, groups: Sequence[Sequence[Cut]], grid: Sequence[float], progress: Progress
) -> list[tuple[float, float]]:
    """For each group of as many splits (strength, accuracy x 100): of a rising grid, the best mean over the splits."""
    fits = [partial(lambda cut: by.accuracies(cut(), grid), cut) for group in groups for cut in group]
    scores = np.array(beside(fits, "logistic regression, inner folds", progress)).reshape(len(groups), -1, len(grid))
    return [best(grid, own) for own in scores.mean(axis=1)]


def beside(fits: Sequence[Callable[[], Result]], what: str, progress: Progress) -> list[Result]:
    """What each fit gives, in order: as many at a time as torch has threads, each on one thread."""
    workers = torch.get_num_threads()
    with threadpool_limits(1), ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            futures = [pool.submit(fit) for fit in fits]
            for done, _ in enumerate(as_completed(futures), start=1):
                progress(what, done, len(fits))
            return [future.result() for future in futures]
        finally:
            pool.shutdown(cancel_futures=True)  # an error, or Ctrl-C, does not wait for the others
            torch.set_num_threads(workers)


def best(grid: Sequence[float], scores: NDArray[np.float64]) -> tuple[float, float]:
    """(strength, accuracy): the smallest strength with the best accuracy, to SentEval's two decimals."""
    at = int(np.argmax(np.round(scores, 2)))
    return grid[at], float(scores[at])


def _accuracy(predicted: Labels, expected: Labels) -> float:
    return 100 * float((predicted == expected).mean())


def _folds(count: int, labels: Labels) -> list[tuple[Rows, Rows]]:
    """Rows to fit and rows to score, for each fold."""
    return list(StratifiedKFold(count, shuffle=True, random_state=SEED).split(labels, labels))


def _whole(*split: NDArray[Any]) -> Split:
    return cast(Split, split)


def _cut(inputs: Features, labels: Labels, fit: Rows, score: Rows) -> Split:
    return inputs[fit], labels[fit], inputs[score], labels[score]
