"""SentEval's transfer tasks: logistic regression on frozen sentence embeddings.

The protocol is SentEval's default (scikit-learn) one, folds and seeds included: MR, CR, SUBJ and MPQA by nested
k-fold cross-validation, SST-2 with C chosen on its dev set, TREC and MRPC with C chosen by k folds of their training
sets; MRPC's features are |u - v| and u * v. Along the C grid each fit starts from the one before, which is faster and
ends within scikit-learn's tolerance of a cold start (on 400 items that changed the C of 2 of 10 folds).

I items, D features, K folds.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import StratifiedKFold

from nlcse_tune.config import Frozen
from nlcse_tune.data.transfer import Labelled, TransferData
from nlcse_tune.evaluation.embed import Bank
from nlcse_tune.evaluation.sts import check_vary

SEED = 1111  # SentEval's, for every split
FOLDS = 10  # K
GRID = tuple(2.0**t for t in range(-2, 4))  # C of nested folds and of SST-2
GRID_KFOLD = tuple(2.0**t for t in range(-1, 6))  # C of TREC and MRPC

Features = NDArray[np.float32]  # (I, D)
Labels = NDArray[np.int64]  # (I,)
Folds = Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]


class TransferScore(Frozen):
    """Accuracy x 100 on test (or the mean over outer folds) and on what C was chosen by; F1 x 100 for MRPC."""

    accuracy: float
    dev_accuracy: float
    f1: float | None = None


def transfer_score(bank: Bank, data: TransferData) -> TransferScore:
    """One task's score from the vectors in `bank`; RunError if they are zero or constant."""
    check_vary(bank.of(data.train.sentences[:4096]).astype(np.float64))
    train = features(bank, data.train)
    if data.test is None:
        return nested(train, data.train.labels)
    if data.dev is not None:
        dev_accuracies = accuracies(train, data.train.labels, features(bank, data.dev), data.dev.labels, GRID)
        strength, dev_accuracy = best(GRID, dev_accuracies)
    else:
        strength, dev_accuracy = choose(train, data.train.labels, GRID_KFOLD)
    model = _model(strength).fit(train, data.train.labels)
    predicted = model.predict(features(bank, data.test))
    accuracy = 100 * float((predicted == data.test.labels).mean())
    f1 = 100 * float(f1_score(data.test.labels, predicted)) if data.test.seconds is not None else None
    return TransferScore(accuracy=accuracy, dev_accuracy=dev_accuracy, f1=f1)


def features(bank: Bank, items: Labelled) -> Features:
    """(I, D) vectors of single sentences; (I, 2 D) |u - v| and u * v of pairs."""
    first = bank.of(items.sentences)
    if items.seconds is None:
        return first
    second = bank.of(items.seconds)
    return np.concatenate([np.abs(first - second), first * second], axis=1)


def nested(inputs: Features, labels: Labels) -> TransferScore:
    """Mean accuracy over K outer folds; for each, C is chosen by K folds of its training part."""
    tests, devs = [], []
    for train, test in _folds(inputs, labels):
        strength, dev_accuracy = choose(inputs[train], labels[train], GRID)
        model = _model(strength).fit(inputs[train], labels[train])
        tests.append(100 * float(model.score(inputs[test], labels[test])))
        devs.append(dev_accuracy)
    return TransferScore(accuracy=float(np.mean(tests)), dev_accuracy=float(np.mean(devs)))


def choose(inputs: Features, labels: Labels, grid: Sequence[float]) -> tuple[float, float]:
    """(C, accuracy x 100) with the best mean accuracy over K folds."""
    scores = [
        accuracies(inputs[train], labels[train], inputs[test], labels[test], grid)
        for train, test in _folds(inputs, labels)
    ]
    return best(grid, np.mean(scores, axis=0))


def accuracies(
    inputs: Features, labels: Labels, dev: Features, dev_labels: Labels, grid: Sequence[float]
) -> NDArray[np.float64]:
    """Accuracy x 100 on dev for each C of a rising grid."""
    model, scores = _model(grid[0], warm_start=True), []
    for strength in grid:
        model.set_params(C=strength).fit(inputs, labels)
        scores.append(100 * float(model.score(dev, dev_labels)))
    return np.array(scores)


def best(grid: Sequence[float], scores: NDArray[np.float64]) -> tuple[float, float]:
    """(C, accuracy): the smallest C with the best accuracy, to SentEval's two decimals."""
    at = int(np.argmax(np.round(scores, 2)))
    return grid[at], float(scores[at])


def _model(strength: float, *, warm_start: bool = False) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000, random_state=SEED, warm_start=warm_start)


def _folds(inputs: Features, labels: Labels) -> Folds:
    splits: Folds = StratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=SEED).split(inputs, labels)
    return splits
