"""SentEval's transfer tasks: logistic regression on frozen sentence embeddings.

MR, CR, SUBJ and MPQA by nested k-fold cross-validation, SST-2 with its strength chosen on its dev set, TREC and MRPC by
k folds of their training sets; folds and seeds are SentEval's. Two classifiers can be had:

- scikit-learn's, SentEval's own alternative. Along the C grid each fit starts from the one before: faster, and within
  scikit-learn's tolerance of a cold start (on 400 items that changed the C of 2 of 10 folds).
- the one of `senteval.py`, which SimCSE's evaluation.py asks for, and with it published tables.

I items, D features, K folds.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from nlcse_tune.config import Frozen
from nlcse_tune.data.transfer import Labelled, Parts
from nlcse_tune.evaluation import senteval
from nlcse_tune.evaluation.embed import Bank
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


def transfer_score(bank: Bank, parts: Parts, protocol: Protocol = "scikit-learn") -> TransferScore:
    """One task's score from the vectors in `bank`; RunError if they are zero or constant."""
    check_vary(bank.of(parts[0].columns[0][:4096]))
    by = CLASSIFIERS[protocol]
    (train, labels), *others = [(features(bank, part), part.labels) for part in parts]
    if not others:
        return nested(by, train, labels)
    *dev, (test, expected) = others
    splits = [(train, labels, *given) for given in dev] or _folds(by.folds, train, labels)
    strength, dev_accuracy = choose(by, splits, by.nested_grid if dev else by.grid)
    predicted = by.predict(strength, train, labels, dev[0] if dev else None, test)
    f1 = 100 * float(f1_score(expected, predicted)) if len(parts[0].columns) == 2 else None
    return TransferScore(accuracy=_accuracy(predicted, expected), dev_accuracy=dev_accuracy, f1=f1)


def features(bank: Bank, items: Labelled) -> Features:
    """(I, D) vectors of single sentences; (I, 2 D) |u - v| and u * v of pairs."""
    first, *second = map(bank.of, items.columns)
    return np.concatenate([np.abs(first - second[0]), first * second[0]], axis=1) if second else first


def nested(by: Classifier, inputs: Features, labels: Labels) -> TransferScore:
    """Mean accuracy over K outer folds; for each, the strength is chosen by K folds of its training part."""
    tests, devs = [], []
    for train, train_labels, test, test_labels in _folds(by.folds, inputs, labels):
        strength, dev_accuracy = choose(by, _folds(by.folds, train, train_labels), by.nested_grid)
        tests.append(_accuracy(by.predict(strength, train, train_labels, None, test), test_labels))
        devs.append(dev_accuracy)
    return TransferScore(accuracy=float(np.mean(tests)), dev_accuracy=float(np.mean(devs)))


def choose(by: Classifier, splits: Iterable[Split], grid: Sequence[float]) -> tuple[float, float]:
    """(strength, accuracy x 100) of a rising grid with the best mean accuracy over the splits."""
    return best(grid, np.mean([by.accuracies(split, grid) for split in splits], axis=0))


def best(grid: Sequence[float], scores: NDArray[np.float64]) -> tuple[float, float]:
    """(strength, accuracy): the smallest strength with the best accuracy, to SentEval's two decimals."""
    at = int(np.argmax(np.round(scores, 2)))
    return grid[at], float(scores[at])


def _accuracy(predicted: Labels, expected: Labels) -> float:
    return 100 * float((predicted == expected).mean())


def _folds(count: int, inputs: Features, labels: Labels) -> Iterator[Split]:
    for train, test in StratifiedKFold(count, shuffle=True, random_state=SEED).split(inputs, labels):
        yield inputs[train], labels[train], inputs[test], labels[test]
