"""Simulated studies of every way to choose n that a study can declare: how often each errs, and finds what is there.

Scores are normal, std STD in both arms, correlated over seeds; the true gap is 0 or GAP, which is also the margin of
equivalence. The p are SciPy's, over whole samples; bounds, seeds and looks are those of `nlcse_tune.stats`.
"""

import math
from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from scipy import stats as scipy_stats

from nlcse_tune import stats

STD, GAP = 0.4, 0.5
MOST = 100  # seeds that a plan from a pilot may ask for
Samples = tuple[np.ndarray, np.ndarray]
Shares = tuple[float, float]  # (error, power)


def samples(count: int, n: int, rho: float, gap: float, seed: int) -> Samples:
    """(count, n) scores of the method and of the baseline."""
    shared, a, b = np.random.default_rng(seed).standard_normal((3, count, n)) * STD
    method, baseline = (math.sqrt(rho) * shared + math.sqrt(1 - rho) * own for own in (a, b))
    return method + gap, baseline


def p_different(a: np.ndarray, b: np.ndarray, *, paired: bool) -> np.ndarray:
    """Two-sided p of each study."""
    test = scipy_stats.ttest_rel if paired else partial(scipy_stats.ttest_ind, equal_var=False)
    return np.asarray(test(a, b, axis=1).pvalue)


def p_equivalent(a: np.ndarray, b: np.ndarray, *, paired: bool) -> np.ndarray:
    """The larger p of the two one-sided tests at margin GAP."""
    test = scipy_stats.ttest_rel if paired else partial(scipy_stats.ttest_ind, equal_var=False)
    above = test(a + GAP, b, axis=1, alternative="greater").pvalue
    return np.asarray(np.maximum(above, test(a - GAP, b, axis=1, alternative="less").pvalue))


def fixed(a: np.ndarray, b: np.ndarray, n: int, *, paired: bool) -> float:
    """Share of studies with p <= 5% at n seeds."""
    return float((p_different(a[:, :n], b[:, :n], paired=paired) <= 0.05).mean())


def equivalent(a: np.ndarray, b: np.ndarray, n: int, *, paired: bool) -> float:
    """Share of studies that n seeds show to be equivalent."""
    return float((p_equivalent(a[:, :n], b[:, :n], paired=paired) <= 0.05).mean())


@lru_cache(maxsize=16)
def rule_to(n: int, *, paired: bool) -> stats.StoppingRule:
    """A rule that ends at n, from about a quarter of it on."""
    first = {3: 2, 5: 3}.get(n, 5)
    return stats.stopping_rule(stats.looks(first, n), np.random.default_rng(0), paired=paired)


def by_rule(a: np.ndarray, b: np.ndarray, n: int, *, paired: bool, equal: bool = False) -> float:
    """Share of studies in which a rule that ends at n finds a difference; or by its interval shows equivalence."""
    rule, alive, found = rule_to(n, paired=paired), np.ones(len(a), dtype=bool), 0
    for look, bound in zip(rule.looks, rule.bounds, strict=True):
        x, y = a[:, :look], b[:, :look]
        p = p_different(x, y, paired=paired)
        stopped = alive & ((p <= bound) | (look == n))
        if equal:  # the repeated interval lies within the margin where both one-sided p are at most bound / 2
            found += int((stopped & (p_equivalent(x, y, paired=paired) <= bound / 2)).sum())
        else:
            found += int((stopped & (p <= bound)).sum())
        alive &= ~stopped
    return found / len(a)


@lru_cache(maxsize=2)
def _detectable(*, paired: bool) -> np.ndarray:
    """The gap that n = 2, 3, ... seeds find in 80% of studies, in stds."""
    if paired:
        power: Callable[[float, int], float] = partial(stats.power_paired, std_difference=1.0)
    else:
        power = partial(stats.power_unpaired, stds=(1.0, 1.0))
    return np.array([stats.detectable_gap(power, n) for n in range(2, MOST + 1)])


def by_pilot(a: np.ndarray, b: np.ndarray, n: int, *, paired: bool) -> float:
    """Share of studies with p <= 5% where a pilot of n seeds plans for GAP and is then a part of the study."""
    x, y = a[:, :n], b[:, :n]
    std = (x - y).std(axis=1, ddof=1) if paired else np.sqrt((x.var(axis=1, ddof=1) + y.var(axis=1, ddof=1)) / 2)
    planned = np.clip(2 + np.searchsorted(-_detectable(paired=paired), -GAP / std), n, MOST)
    found = 0
    for size in np.unique(planned):
        own = planned == size
        found += int((p_different(a[own, :size], b[own, :size], paired=paired) <= 0.05).sum())
    return found / len(a)


PATHS: dict[str, tuple[Callable[..., float], float]] = {  # and the true gap at which it errs
    "difference, fixed n": (fixed, 0.0),
    "difference, rule to n": (by_rule, 0.0),
    "difference, pilot of n, then plan": (by_pilot, 0.0),
    "equivalence, fixed n": (equivalent, GAP),
    "equivalence, rule to n": (partial(by_rule, equal=True), GAP),
}


def path_rates(count: int, path: str, n: int, rho: float, *, paired: bool, seed: int) -> Shares:
    """(error, power) of a path; the seeds of a pilot's plan are drawn up to MOST."""
    decide, null = PATHS[path]
    size = MOST if "pilot" in path else n
    error = decide(*samples(count, size, rho, null, seed), n, paired=paired)
    return error, decide(*samples(count, size, rho, GAP - null, seed + 1), n, paired=paired)
