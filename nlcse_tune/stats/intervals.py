"""Intervals of a mean, of a std, and of the gap by bootstrap. (The t-tests carry t intervals of the gap.)"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import CONFIDENCE, Sample, Values, as_pairs, as_values, summarise

# How often the 95% percentile interval of `bootstrap_interval` holds the true gap, in simulated normal studies with n
# seeds per arm: (independent arms, paired). Measured over 10,000 studies each by `python -m benchmarks.statistics`.
BOOTSTRAP_COVERAGE: dict[int, tuple[float, float]] = {
    3: (0.802, 0.751),
    4: (0.860, 0.800),
    5: (0.878, 0.834),
    6: (0.892, 0.859),
    8: (0.909, 0.886),
    10: (0.919, 0.902),
    20: (0.936, 0.929),
}
BOOTSTRAP_RESAMPLES = 10_000


@dataclass(frozen=True)
class Interval:
    """Bounds and the confidence they claim."""

    low: float
    high: float
    confidence: float


def mean_interval(values: Sample) -> Interval:
    """95% t interval of one arm's mean over seeds. Assumes independent seeds and normal scores."""
    sample = summarise(values)
    half = float(special.stdtrit(sample.n - 1, (1 + CONFIDENCE) / 2)) * math.sqrt(sample.variance / sample.n)
    return Interval(sample.mean - half, sample.mean + half, CONFIDENCE)


def std_interval(values: Sample, *, confidence: float = CONFIDENCE) -> Interval:
    """Chi-squared interval of the std that infinitely many seeds would show. Assumes normal scores.

    From 5 seeds it runs from 0.60 to 2.87 times the sample std: a std of few seeds is a rough guess.
    """
    sample = summarise(values)
    df, tail = sample.n - 1, (1 - confidence) / 2
    spread = math.sqrt(sample.variance * df)
    low, high = (spread / math.sqrt(float(special.chdtri(df, q))) for q in (tail, 1 - tail))
    return Interval(low, high, confidence)


def bootstrap_interval(method: Values, baseline: Values, rng: np.random.Generator, *, paired: bool = False) -> Interval:
    """95% percentile bootstrap interval of the gap: resamples seeds within each arm, or seed by seed if paired.

    Assumes independent seeds, no distribution. Too narrow for few seeds: the coverage is in BOOTSTRAP_COVERAGE, and
    is well below what the interval claims at n = 5. Prefer the t interval there.
    """
    if paired:
        gaps = _resampled_means(as_pairs(method, baseline), rng)
    else:
        gaps = _resampled_means(as_values(method), rng) - _resampled_means(as_values(baseline), rng)
    low, high = np.quantile(gaps, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(low), float(high), CONFIDENCE)


def _resampled_means(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if values.size < 2:
        raise DataError("bootstrap: resampling one seed gives the same score each time; run at least 2 seeds")
    drawn = rng.integers(0, values.size, size=(BOOTSTRAP_RESAMPLES, values.size))
    return np.asarray(values[drawn].mean(axis=1))
