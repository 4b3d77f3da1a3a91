"""Skewed scores: how one sees them, and a test that stands them better than a t-test.

A t-test on few seeds rejects too often where one arm is skewed and the other is not: the mean's error and the std then
go together. A permutation test is no help there (it takes the two distributions to be the same, and rejects more
often still). The bootstrap-t, which resamples the t statistic itself, rejects less often than Welch's, if still more
often than its level says (LOG.md, "skewed scores").
"""

from functools import lru_cache

import numpy as np
from numpy.random import Generator

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import Floats, Values, as_pairs, as_values
from nlcse_tune.stats.tests import TestResult, paired_t, welch_t

RESAMPLES = 10_000
_SAMPLES = 20_000


def skewness(values: Values) -> float | None:
    """Third central moment over the std cubed; None below three seeds, or where they do not vary."""
    array = as_values(values)
    if array.size < 3 or np.ptp(array) == 0:
        return None
    return float(_skewness(array[None, :])[0])


def _skewness(samples: Floats) -> Floats:
    centred = samples - samples.mean(axis=1, keepdims=True)
    return np.asarray((centred**3).mean(axis=1) / (centred**2).mean(axis=1) ** 1.5)


@lru_cache(maxsize=32)
def skewness_of_normal(n: int) -> float:
    """The absolute skewness that one in twenty samples of n normal scores exceeds (simulated)."""
    samples = np.random.default_rng(0).standard_normal((_SAMPLES, n))
    return float(np.quantile(np.abs(_skewness(samples)), 0.95))


def bootstrap_t(method: Values, baseline: Values, rng: Generator, *, paired: bool = False) -> TestResult:
    """Two-sided test by the studentised bootstrap, equal tails (Efron and Tibshirani 1993, 12.5), with its interval.

    Resamples seeds within each arm, or of the differences if paired; the t is Welch's or the paired one. Assumes
    independent seeds and no distribution, for many seeds; few stay few, whatever is resampled from them.
    """
    if paired:
        t, arms = paired_t(method, baseline), [as_pairs(method, baseline)]
    else:
        t, arms = welch_t(method, baseline), [as_values(method), as_values(baseline)]
    if t.error is None:
        raise DataError(f"{t.test}: has no standard error")
    drawn = [arm[rng.integers(0, arm.size, size=(RESAMPLES, arm.size))] for arm in arms]
    gaps = drawn[0].mean(axis=1) - (drawn[1].mean(axis=1) if drawn[1:] else 0.0)
    errors = np.sqrt(sum(arm.var(axis=1, ddof=1) / arm.shape[1] for arm in drawn))
    with np.errstate(divide="ignore", invalid="ignore"):
        ts = np.where(errors > 0, (gaps - t.gap) / errors, np.sign(gaps - t.gap) * np.inf)
    ts = np.nan_to_num(ts, nan=0.0, posinf=np.inf, neginf=-np.inf)  # a resample of equal scores, without error
    tail = min(int((ts >= t.statistic).sum()), int((ts <= t.statistic).sum()))
    p = min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))
    return TestResult("bootstrap-t", t.gap, p, t.n_method, t.n_baseline, t.statistic, t.error, exact=False)
