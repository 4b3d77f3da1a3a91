"""SentEval's transfer tasks: logistic regression on frozen sentence embeddings.

The protocol is SentEval's default (scikit-learn) one, folds and seeds included: MR, CR, SUBJ and MPQA by nested
k-fold cross-validation, SST-2 with C chosen on its dev set, TREC and MRPC with C chosen by k folds of their training
sets; MRPC's features are |u - v| and u * v. Along the C grid each fit starts from the one before, which is faster and
ends within scikit-learn's tolerance of a cold start (on 400 items that changed the C of 2 of 10 folds).

I items, D features, K folds.
"""

from collections.abc import Iterable, Iterator, Sequence

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
Split = tuple[Features, Labels, Features, Labels]  # to fit, to score


class TransferScore(Frozen):
    """Accuracy x 100 on test (or the mean over outer folds) and on what C was chosen by; F1 x 100 for MRPC."""

    accuracy: float
    dev_accuracy: float
    f1: float | None = None


def transfer_score(bank: Bank, data: TransferData) -> TransferScore:
    """One task's score from the vectors in `bank`; RunError if they are zero or constant."""
    check_vary(bank.of(data.train.columns[0][:4096]))
    train = features(bank, data.train)
    if data.test is None:
        return nested(train, data.train.labels)
    if data.dev is not None:
        given = train, data.train.labels, features(bank, data.dev), data.dev.labels
        strength, dev_accuracy = choose([given], GRID)
    else:
        strength, dev_accuracy = choose(_folds(train, data.train.labels), GRID_KFOLD)
    model = _model(strength).fit(train, data.train.labels)
    predicted = model.predict(features(bank, data.test))
    accuracy = 100 * float((predicted == data.test.labels).mean())
    f1 = 100 * float(f1_score(data.test.labels, predicted)) if len(data.test.columns) == 2 else None
    return TransferScore(accuracy=accuracy, dev_accuracy=dev_accuracy, f1=f1)


def features(bank: Bank, items: Labelled) -> Features:
    """(I, D) vectors of single sentences; (I, 2 D) |u - v| and u * v of pairs."""
    first, *second = map(bank.of, items.columns)
    return np.concatenate([np.abs(first - second[0]), first * second[0]], axis=1) if second else first


def nested(inputs: Features, labels: Labels) -> TransferScore:
    """Mean accuracy over K outer folds; for each, C is chosen by K folds of its training part."""
    tests, devs = [], []
    for train, train_labels, test, test_labels in _folds(inputs, labels):
        strength, dev_accuracy = choose(_folds(train, train_labels), GRID)
        tests.append(100 * float(_model(strength).fit(train, train_labels).score(test, test_labels)))
        devs.append(dev_accuracy)
    return TransferScore(accuracy=float(np.mean(tests)), dev_accuracy=float(np.mean(devs)))


def choose(splits: Iterable[Split], grid: Sequence[float]) -> tuple[float, float]:
    """(C, accuracy x 100) of a rising grid with the best mean accuracy over the splits."""
    scores = []
    for inputs, labels, dev, dev_labels in splits:
        model = _model(grid[0], warm_start=True)
        fits = (model.set_params(C=strength).fit(inputs, labels) for strength in grid)
        scores.append([100 * float(fit.score(dev, dev_labels)) for fit in fits])
    return best(grid, np.mean(scores, axis=0))


def best(grid: Sequence[float], scores: NDArray[np.float64]) -> tuple[float, float]:
    """(C, accuracy): the smallest C with the best accuracy, to SentEval's two decimals."""
    at = int(np.argmax(np.round(scores, 2)))
    return grid[at], float(scores[at])


def _model(strength: float, *, warm_start: bool = False) -> LogisticRegression:
    return LogisticRegression(C=strength, max_iter=1000, random_state=SEED, warm_start=warm_start)


def _folds(inputs: Features, labels: Labels) -> Iterator[Split]:
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(inputs, labels):
        yield inputs[train], labels[train], inputs[test], labels[test]
