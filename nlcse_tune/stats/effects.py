"""How large a gap is: Hedges' g and the probability of improvement, each with a 95% interval."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import CONFIDENCE, Floats, Sample, Values, as_values, summarise


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


def hedges_g(method: Sample, baseline: Sample) -> Effect:
    """The gap in units of the pooled std between seeds, with the exact small-sample correction.

    Not paired, whatever the test: g stays comparable between designs. The interval inverts the noncentral t and so
    assumes normal scores with equal variances. It is wide for few seeds: at n = 5 an observed g of 1.6 goes with
    about 0.2 to 2.9. Large g are common here because seeds vary little; they do not make a gap large in points.
    """
    a, b = summarise(method), summarise(baseline)
    df = a.n + b.n - 2
    if min(a.n, b.n) < 2:
        raise DataError(f"Hedges' g needs at least 2 seeds per arm, got {a.n} and {b.n}; run more seeds")
    pooled = math.sqrt(((a.n - 1) * a.variance + (b.n - 1) * b.variance) / df)
    if pooled == 0:
        raise DataError("Hedges' g: the scores do not vary from seed to seed, so there is no unit to measure a gap in")
    d = (a.mean - b.mean) / pooled
    scale = math.sqrt(1 / a.n + 1 / b.n)
    correction = _small_sample_correction(df)
    quantiles = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    low, high = (correction * scale * _noncentrality(d / scale, df, q) for q in quantiles)
    return Effect(correction * d, low, high)


def _small_sample_correction(df: float) -> float:
    """Hedges' exact J(df), about 1 - 3 / (4 df - 1); df is at least 2."""
    return math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)


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
    wins = np.sign(a[:, None] - b[None, :])
    value = float((wins.mean() + 1) / 2)
    low, high = (_score_bound(value, end, a.size, b.size) for end in (0.0, 1.0))
    return Probability(value, low, high)


def _score_bound(value: float, end: float, n: int, m: int) -> float:
    """The point between `value` and `end` at which `value` lies z standard errors away, by bisection."""
    z = float(special.ndtri((1 + CONFIDENCE) / 2))
    inside, outside = value, end
    mean_n = (n + m) / 2
    for _ in range(60):
        x = (inside + outside) / 2
        variance = x * (1 - x) * (1 + (mean_n - 1) * ((1 - x) / (2 - x) + x / (1 + x))) / (n * m)
        inside, outside = (x, outside) if (x - value) ** 2 <= z * z * variance else (inside, x)
    return inside if value != end else end
