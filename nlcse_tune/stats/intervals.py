"""Intervals of one arm's mean and std, of the gap by bootstrap, and how large a gap is: Hedges' g, P(improvement)."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import CONFIDENCE, Floats, Sample, Values, as_pairs, as_values, summarise
from nlcse_tune.stats.tests import TestResult, t_bounds

TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
# How often the 95% percentile interval of `bootstrap_interval` holds the true gap, in simulated normal studies with n
# seeds per arm: (independent arms, paired). Measured over 10,000 studies each by `python -m benchmarks.statistics`.
BOOTSTRAP_COVERAGE: dict[int, tuple[float, float]] = {
    2: (0.661, 0.494),
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
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Effect:
    """Hedges' g with its interval."""

    g: float
    low: float
    high: float
    confidence: float = CONFIDENCE


@dataclass(frozen=True)
class Probability:
    """P(a seed of the method beats a seed of the baseline), ties counting one half, with its interval."""

    value: float
    low: float
    high: float
    confidence: float = CONFIDENCE


def mean_interval(values: Sample) -> Interval:
    """95% t interval of one arm's mean over seeds. Assumes independent seeds and normal scores."""
    sample = summarise(values)
    half = float(special.stdtrit(sample.n - 1, TAILS[1])) * math.sqrt(sample.variance / sample.n)
    return Interval(sample.mean - half, sample.mean + half)


def t_interval(t: TestResult, confidence: float) -> Interval:
    """A t-test's interval at another confidence, as at a look of a stopping rule."""
    if t.error is None or t.df is None:
        raise DataError(f"{t.test}: no t-test, so it has no t interval")
    return Interval(*t_bounds(t.gap, t.error, t.df, confidence), confidence)


def std_interval(values: Sample, *, confidence: float = CONFIDENCE) -> Interval:
    """Chi-squared interval of the std that infinitely many seeds would show. Assumes normal scores.

    From 5 seeds it runs from 0.60 to 2.87 times the sample std: a std of few seeds is a rough guess.
    """
    sample = summarise(values)
    df, tail = sample.n - 1, (1 - confidence) / 2
    spread = math.sqrt(sample.variance * df)
    low, high = (spread / math.sqrt(float(special.chdtri(df, q))) for q in (tail, 1 - tail))
    return Interval(low, high, confidence)


def bootstrap_interval(method: Values, baseline: Values, rng: Generator, *, paired: bool = False) -> Interval:
    """95% percentile bootstrap interval of the gap: resamples seeds within each arm, or seed by seed if paired.

    Assumes independent seeds, no distribution. Too narrow for few seeds: the coverage is in BOOTSTRAP_COVERAGE, and
    is well below what the interval claims at n = 5. Prefer the t interval there.
    """
    arms = [as_pairs(method, baseline)] if paired else [as_values(method), as_values(baseline)]
    if min(arm.size for arm in arms) < 2:
        raise DataError("bootstrap: resampling one seed gives the same score each time; run at least 2 seeds")
    means = [arm[rng.integers(0, arm.size, size=(BOOTSTRAP_RESAMPLES, arm.size))].mean(axis=1) for arm in arms]
    return Interval(*np.quantile(means[0] if paired else means[0] - means[1], TAILS).tolist())


def hedges_g(method: Sample, baseline: Sample) -> Effect:
    """The gap in units of the pooled std between seeds, with the exact small-sample correction.

    Not paired, whatever the test: g stays comparable between designs. The interval inverts the noncentral t and so
    assumes normal scores with equal variances. It is wide for few seeds: at n = 5 an observed g of 1.6 goes with
    about 0.2 to 2.9. Large g are common here because seeds vary little; they do not make a gap large in points.
    """
    a, b = summarise(method), summarise(baseline)
    df = a.n + b.n - 2
    pooled = math.sqrt(((a.n - 1) * a.variance + (b.n - 1) * b.variance) / df)
    if pooled == 0:
        raise DataError("Hedges' g: the scores do not vary from seed to seed, so there is no unit to measure a gap in")
    d = (a.mean - b.mean) / pooled
    scale = math.sqrt(1 / a.n + 1 / b.n)
    # Hedges' exact J(df), about 1 - 3 / (4 df - 1)
    correction = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    high, low = (correction * scale * _noncentrality(d / scale, df, tail) for tail in TAILS)
    return Effect(correction * d, low, high)


def _noncentrality(t: float, df: float, quantile: float) -> float:
    """The noncentrality under which the observed t is at `quantile`, by bisection: P(T <= t) falls as it grows."""
    span = 10 + 2 * abs(t)
    low, high = t - span, t + span
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if noncentral_t_cdf(t, df, middle) > quantile else (low, middle)
    return (low + high) / 2


def noncentral_t_cdf(t: Floats | float, df: float, noncentrality: float) -> Floats:
    """P(T <= t) of the noncentral t, with the normal limit where SciPy's series gives out."""
    t = np.asarray(t, dtype=np.float64)
    p = np.asarray(special.nctdtr(df, noncentrality, t))
    limit = special.ndtr((t * (1 - 1 / (4 * df)) - noncentrality) / np.sqrt(1 + t * t / (2 * df)))
    return np.clip(np.where(np.isfinite(p), p, limit), 0.0, 1.0)


def probability_of_improvement(method: Values, baseline: Values) -> Probability:
    """P(method's score > baseline's) for one new seed of each, from all pairs of seeds (Mann-Whitney).

    Assumes independent seeds; not paired. The interval is Newcombe's (2006, method 5), a score interval that stays
    open where the arms do not overlap: five seeds all above five others still leave room down to about 0.64, where
    a bootstrap over seeds would claim [1, 1]. Says nothing about how large an improvement is.
    """
    a, b = as_values(method), as_values(baseline)
    if min(a.size, b.size) < 2:
        raise DataError(f"probability of improvement: needs at least 2 seeds per arm, got {a.size} and {b.size}")
    value = float((np.sign(a[:, None] - b[None, :]).mean() + 1) / 2)
    low, high = (_score_bound(value, end, a.size, b.size) for end in (0.0, 1.0))
    return Probability(value, low, high)


def _score_bound(value: float, end: float, n: int, m: int) -> float:
    """The point between `value` and `end` at which `value` lies z standard errors away, by bisection."""
    z = float(special.ndtri(TAILS[1]))
    inside, outside = value, end
    mean_n = (n + m) / 2
    for _ in range(60):
        x = (inside + outside) / 2
        variance = x * (1 - x) * (1 + (mean_n - 1) * ((1 - x) / (2 - x) + x / (1 + x))) / (n * m)
        inside, outside = (x, outside) if (x - value) ** 2 <= z * z * variance else (inside, x)
    return inside if value != end else end
