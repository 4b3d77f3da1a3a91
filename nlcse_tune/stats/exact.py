"""Tests by rearrangement: sign-flip and Wilcoxon for shared seeds, permutation for independent ones.

They assume no distribution, but they cannot go below a floor: with few seeds there are few rearrangements. All
rearrangements are counted where there are at most EXACT_LIMIT; beyond, RESAMPLES random ones, and then
p = (hits + 1) / (RESAMPLES + 1), which is valid and never 0 (Phipson and Smyth, 2010).
"""

import math
from functools import lru_cache
from itertools import combinations

import numpy as np

from nlcse_tune.stats.samples import Floats, TestResult, Values, as_pairs, as_values

EXACT_LIMIT = 200_000  # 2^17 sign patterns, or 10 seeds against 10
RESAMPLES = 100_000
_TOLERANCE = 1e-9  # two rearrangements with the same sum in exact arithmetic must count as equal


def sign_flip_floor(n: int) -> float:
    """The smallest two-sided p of a sign-flip or Wilcoxon test over n shared seeds: 2 / 2^n; 0.0625 for n = 5."""
    return min(1.0, 2.0 ** (1 - n))


def sign_flip_seeds(alpha: float = 0.05, comparisons: int = 1) -> int:
    """Shared seeds from which a sign-flip test can reach p < alpha: 6 for one test, 9 with Holm over 8."""
    return next(n for n in range(1, 1000) if sign_flip_floor(n) * comparisons < alpha)


def sign_flip_test(method: Values, baseline: Values, rng: np.random.Generator) -> TestResult:
    """Exact sign-flip test of the mean difference over shared seeds.

    Assumes only that, were there no effect, each seed's difference would be symmetric around 0; paired by position.
    Cannot give less than `sign_flip_floor(n)`: with 5 seeds never p < 0.05, however large the gap.
    """
    d = as_pairs(method, baseline)
    return _flip("signflip", d, d, rng)


def wilcoxon_test(method: Values, baseline: Values, rng: np.random.Generator) -> TestResult:
    """Wilcoxon's signed-rank test: the sign-flip test on the ranks of the differences, exact with ties too.

    Assumes and pairs as `sign_flip_test`; differences of exactly 0 are left out (Wilcoxon's own rule), and the floor
    follows the seeds that remain.
    """
    d = as_pairs(method, baseline)
    kept = d[d != 0]
    return _flip("wilcoxon", d, midranks(np.abs(kept)) * np.sign(kept), rng)


def _flip(test: str, d: Floats, scores: Floats, rng: np.random.Generator) -> TestResult:
    """The test on `scores`, one for each difference that counts."""
    exact = 2**scores.size <= EXACT_LIMIT
    signs = _signs(scores.size) if exact else rng.integers(0, 2, size=(RESAMPLES, scores.size)) * 2.0 - 1
    p, least = _p_value(signs @ scores, float(scores.sum()), scores, exact=exact)
    floor = max(sign_flip_floor(scores.size), least)
    return TestResult(test, float(d.mean()), p, d.size, d.size, float(scores.sum()), floor=floor, exact=exact)


@lru_cache(maxsize=32)
def _signs(n: int) -> Floats:
    """Half of the 2^n sign patterns (2^(n-1), n): the other half are their mirror images."""
    if n == 0:
        return np.zeros((1, 0))
    bits = np.arange(2 ** (n - 1))[:, None] >> np.arange(n)[None, :]
    return np.asarray((bits & 1) * 2 - 1, dtype=np.float64)


def permutation_test(method: Values, baseline: Values, rng: np.random.Generator) -> TestResult:
    """Two-sample permutation test of the difference of means, for seeds that are not paired.

    Assumes that, were there no effect, both arms' scores would have *the same distribution*: unlike Welch's test it
    can also reject because the variances differ. Its floor is 2 / C(2n, n) for equal n: 0.0079 at n = 5.
    """
    a, b = as_values(method), as_values(baseline)
    pooled = np.concatenate([a, b])
    pooled = pooled - pooled.mean()  # the sum of the first group then orders the rearrangements
    arrangements = math.comb(pooled.size, a.size)
    exact = arrangements <= EXACT_LIMIT
    if exact:
        sums = _groups(a.size, b.size) @ pooled
    else:
        sums = rng.permuted(np.tile(pooled, (RESAMPLES, 1)), axis=1)[:, : a.size].sum(axis=1)
    p, least = _p_value(sums, float(pooled[: a.size].sum()), pooled, exact=exact)
    floor = max((2 if a.size == b.size else 1) / arrangements, least)
    gap = float(a.mean() - b.mean())
    return TestResult("permutation", gap, p, a.size, b.size, gap, floor=floor, exact=exact)


@lru_cache(maxsize=8)
def _groups(n: int, m: int) -> Floats:
    """Membership of the first group in every arrangement: (C(n+m, n), n+m), ones and zeros."""
    chosen = np.fromiter((i for c in combinations(range(n + m), n) for i in c), dtype=np.intp).reshape(-1, n)
    member = np.zeros((len(chosen), n + m))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    return member


def _p_value(sums: Floats, observed: float, values: Floats, *, exact: bool) -> tuple[float, float]:
    """(share of rearranged sums at least as far from 0 as the observed one, the least that drawing them can give)."""
    slack = _TOLERANCE * max(float(np.abs(values).sum()), 1e-300)
    hits = np.abs(sums) >= abs(observed) - slack
    if exact:
        return float(hits.mean()), 0.0
    return (int(hits.sum()) + 1) / (hits.size + 1), 1 / (hits.size + 1)


def midranks(values: Floats) -> Floats:
    """Ranks from 1, ties sharing the mean of their ranks."""
    _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[group], dtype=np.float64)
