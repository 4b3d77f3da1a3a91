"""Alignment and uniformity (§5.2, Figure 4) of sentence embeddings on STS-B.

Wang & Isola (2020), with their alpha = 2 and t = 2, on embeddings of length 1. As SimCSE's authors do, positives are
the pairs with a gold score above 4 (not of 4: 1,491 of STS-B's, not 2,008), and STS-B is taken whole, train, dev and
test (SimCSE#52).

N distinct sentences, P positive pairs, D width.
"""

from collections.abc import Sequence

import numpy as np

from nlcse_tune.config import SYNTHETIC, Frozen
from nlcse_tune.data.sts import SPLITS, Subset, load_dev, load_split, load_task
from nlcse_tune.errors import DataError
from nlcse_tune.evaluation.embed import Bank, Embedder, Vectors, embed
from nlcse_tune.evaluation.sts import check_vary, sentences_of
from nlcse_tune.names import Precision

POSITIVE = 4.0  # a pair with a gold score above this counts as positive
_ROWS = 1024  # of the N x N distances at a time


class GeometryScore(Frozen):
    """Lower is better, for both."""

    alignment: float
    uniformity: float
    positives: int
    sentences: int


def load_geometry(data: str) -> list[Subset]:
    """STS-B, whole; of synthetic data dev and "test", which are all there is."""
    if data == SYNTHETIC:
        return [load_dev(data), *load_task(data, "stsb")]
    return [load_split(data, "stsb", split) for split in SPLITS]


def geometry_of(bank: Bank, subsets: Sequence[Subset]) -> GeometryScore:
    """DataError without a positive pair; RunError for zero or constant vectors, whose alignment were a perfect 0."""
    left = [sentence for subset in subsets for sentence in subset.left]
    right = [sentence for subset in subsets for sentence in subset.right]
    positive = np.concatenate([subset.gold for subset in subsets]) > POSITIVE
    if not positive.any():
        raise DataError(f"no pair with a gold score above {POSITIVE}, so there is no alignment to measure")
    rows = np.unique(bank.rows([*left, *right]))
    vectors = bank.vectors[rows]
    check_vary(vectors)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    pairs = [units[np.searchsorted(rows, bank.rows(sentences)[positive])] for sentences in (left, right)]
    return GeometryScore(
        alignment=alignment(*pairs), uniformity=uniformity(units), positives=int(positive.sum()), sentences=len(rows)
    )


def score_geometry(model: Embedder, data: str, precision: Precision | None = None) -> GeometryScore:
    """Embeds STS-B and measures it."""
    subsets = load_geometry(data)
    return geometry_of(embed(model, sentences_of({"stsb": subsets}), precision), subsets)


def alignment(left: Vectors, right: Vectors) -> float:
    """Mean squared distance of P positive pairs of unit vectors, (P, D) each: 0 to 4."""
    difference = left.astype(np.float64) - right
    return float(np.einsum("pd,pd->p", difference, difference).mean())


def uniformity(units: Vectors) -> float:
    """log of the mean of exp(-2 |x - y|^2) over all pairs of N unit vectors (N, D): -8 to 0.

    The paper's formula has no logarithm; its Figure 4, like Wang & Isola and SimCSE, does.
    """
    count, total = len(units), 0.0
    if count < 2:
        raise DataError(f"uniformity needs at least 2 distinct sentences, got {count}")
    for start in range(0, count, _ROWS):
        # (rows, N - start): each pair once, and twice its own
        products = units[start : start + _ROWS] @ units[start:].T
        kernel = np.exp(4 * (products.astype(np.float64) - 1))  # |x - y|^2 = 2 - 2 x.y
        total += float(np.triu(kernel, k=1).sum())
    return float(np.log(total / (count * (count - 1) / 2)))
