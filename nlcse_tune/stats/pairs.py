"""Two sources of noise at once: the seeds, and the sentence pairs of a test set.

A std over seeds treats the test set as given. Another 1,186 to 4,927 pairs of the same kind would move every score
too: for the method and the baseline mostly together, which is why both are recomputed on the same resampled pairs.

    S seeds (runs of an arm, or of both arms), P sentence pairs, M resamples
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.intervals import TAILS
from nlcse_tune.stats.samples import CONFIDENCE, Floats, Values
from nlcse_tune.stats.tests import paired_t, welch_t


@dataclass(frozen=True)
class TwoLevel:
    """A gap with the standard errors that seeds and pairs give it.

    `se_pairs` is what all runs of an arm share and the spread over seeds therefore cannot show. `low`, `high`: t
    interval from both errors added in squares. `bootstrap_low`, `bootstrap_high`: percentiles of resampling seeds and
    pairs together; plain, but the noise that a run has on its pairs enters it twice (measured coverage: `two_level`).
    """

    gap: float
    se_seeds: float
    se_pairs: float
    low: float
    high: float
    bootstrap_low: float
    bootstrap_high: float
    confidence: float = CONFIDENCE


def resampled_spearman(similarities: Floats, gold: Floats, resamples: int, rng: Generator) -> Floats:
    """Spearman x 100 of each run (S, P) with gold (P,) on resampled pairs: (M, S), all runs on the same draws.

    A resample is a count for each pair; midranks follow from the counts in sorted order, so nothing is sorted again
    (about 0.5 s for 10 runs, 4,927 pairs and 1,000 resamples). Assumes pairs drawn independently: pairs that share a
    source sentence make the true error larger.
    """
    groups, pairs = _tie_groups(similarities, gold), len(gold)
    weights = (np.bincount(rng.integers(0, pairs, size=pairs), minlength=pairs) for _ in range(resamples))
    return 100 * np.stack([_weighted_spearman(groups, row.astype(np.float64)) for row in weights])


def spearman(similarities: Floats, gold: Floats) -> Floats:
    """Spearman x 100 of each run (S, P) with gold (P,): (S,). Ties share the mean of their ranks."""
    return 100 * _weighted_spearman(_tie_groups(similarities, gold), np.ones(len(gold)))


def _tie_groups(similarities: Floats, gold: Floats) -> np.ndarray:
    """Rank of each value's tie group (1 + S, P), gold's row first, each row offset by P from the one before."""
    similarities = np.atleast_2d(np.asarray(similarities))
    if similarities.shape[1] != len(gold):
        raise DataError(f"similarities: {similarities.shape[1]} pairs against {len(gold)} gold scores")
    rows = [np.unique(row, return_inverse=True)[1] for row in (np.asarray(gold), *similarities)]
    if any(row.max() == 0 for row in rows):
        raise DataError("similarities: all equal in a run or in gold, so Spearman does not exist")
    return np.stack(rows) + np.arange(len(rows))[:, None] * len(gold)


def _weighted_spearman(groups: np.ndarray, weights: Floats) -> Floats:
    """Spearman of rows 1.. with row 0 of `_tie_groups`, where pair p counts weights[p] times."""
    count, pairs = groups.shape
    repeated = np.tile(weights, count)
    in_group = np.bincount(groups.ravel(), weights=repeated, minlength=groups.size).reshape(count, pairs)
    middle = np.cumsum(in_group, axis=1) - in_group / 2  # midrank - 1/2 of each tie group; its weighted mean is P / 2
    ranks = middle.ravel()[groups] - pairs / 2
    weighted = ranks * weights
    norms = np.sqrt(np.einsum("sp,sp->s", weighted, ranks))
    return np.asarray((weighted[1:] @ ranks[0]) / (norms[1:] * norms[0]))


def two_level(
    method: Values, baseline: Values, resampled: tuple[Floats, Floats], rng: Generator, *, paired: bool = False
) -> TwoLevel:
    """The gap with both errors, from each arm's scores (S,) and the same scores on `resampled` pairs (M, S).

    Both arms' resampled scores must come from one call of `resampled_spearman` (shared draws), for several tasks
    averaged. Assumes independent seeds, pairs drawn independently, and normal scores.

    In four kinds of simulated study (500 each; n = 5 and 10, 500 pairs) the 95% t interval held the gap on infinitely
    many pairs in 94 to 96% and the percentile bootstrap in 93 to 96%; a t interval over seeds alone in 39 to 84%.
    """
    a, b = resampled
    if len(a) != len(b):
        raise DataError(f"resampled scores: {len(a)} resamples against {len(b)}; draw both arms in one call")
    seeds = paired_t(method, baseline) if paired else welch_t(method, baseline)
    shared = _shared(a - b) if paired else _shared(a) + _shared(b) - 2 * _covariance(a.mean(axis=1), b.mean(axis=1))
    se_pairs = math.sqrt(max(shared, 0.0))
    assert seeds.df is not None  # t-tests have both
    assert seeds.error is not None
    error = math.hypot(seeds.error, se_pairs)
    df = seeds.df * (error / seeds.error) ** 4
    half = float(special.stdtrit(df, TAILS[1])) * error
    of_a = rng.integers(0, a.shape[1], size=a.shape)  # seeds drawn with replacement too
    of_b = of_a if paired else rng.integers(0, b.shape[1], size=b.shape)
    gaps = np.take_along_axis(a, of_a, 1).mean(axis=1) - np.take_along_axis(b, of_b, 1).mean(axis=1)
    low, high = np.quantile(gaps, TAILS)
    return TwoLevel(seeds.gap, seeds.error, se_pairs, seeds.gap - half, seeds.gap + half, float(low), float(high))


def _shared(replicates: Floats) -> float:
    """The variance over resamples (M, S) that all S runs have in common: the mean covariance of two of them."""
    runs = int(replicates.shape[1])
    total = runs**2 * _covariance(replicates.mean(axis=1), replicates.mean(axis=1))
    own = float(np.sum([_covariance(run, run) for run in replicates.T]))
    return (total - own) / (runs * (runs - 1))


def _covariance(a: Floats, b: Floats) -> float:
    products: Floats = (a - a.mean()) * (b - b.mean())
    return float(products.sum()) / (len(a) - 1)
