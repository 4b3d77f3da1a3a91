"""Tests of a gap: t-tests, tests by rearrangement, and Holm's correction of several.

The t-tests take scores or (mean, std, n) and assume independent seeds and normal scores. Sign-flip and Wilcoxon (for
shared seeds) and permutation (for independent ones) assume no distribution, but they cannot go below a floor: with
few seeds there are few rearrangements. All are counted where there are at most EXACT_LIMIT; beyond, RESAMPLES random
ones, and then p = (hits + 1) / (RESAMPLES + 1), which is valid and never 0 (Phipson and Smyth, 2010).
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.random import Generator
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import CONFIDENCE, Floats, Sample, Values, as_pairs, as_values, summarise

EXACT_LIMIT = 200_000  # 2^17 sign patterns, or 10 seeds against 10
RESAMPLES = 100_000
_TOLERANCE = 1e-9  # two rearrangements with the same sum in exact arithmetic must count as equal


@dataclass(frozen=True)
class TestResult:
    """One two-sided test of a gap; `error` is its standard error and `low`, `high` bound it (the t-tests alone).

    `floor` is the smallest p that the test can reach with these n whatever the data: 0 for the t-tests.
    `exact` is False only where p was estimated from random rearrangements.
    """

    test: str
    gap: float
    p: float
    n_method: int
    n_baseline: int
    statistic: float
    error: float | None = None
    df: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    floor: float = 0.0
    exact: bool = True


def student_t(method: Sample, baseline: Sample) -> TestResult:
    """Student's t-test with pooled variance, the paper's (Table 3).

    Not paired. Assumes *equal variances* too: where they differ and n is small it rejects slightly too often. With
    few seeds none of its assumptions can be checked.
    """
    a, b = summarise(method), summarise(baseline)
    df = a.n + b.n - 2
    pooled = ((a.n - 1) * a.variance + (b.n - 1) * b.variance) / df
    return _t_test("student", a.mean - b.mean, math.sqrt(pooled * (1 / a.n + 1 / b.n)), df, (a.n, b.n))


def welch_t(method: Sample, baseline: Sample) -> TestResult:
    """Welch's t-test: variances may differ; degrees of freedom after Satterthwaite. The default of every report.

    Not paired: where the arms share seeds and correlate positively it is conservative.
    """
    a, b = summarise(method), summarise(baseline)
    va, vb = a.variance / a.n, b.variance / b.n
    df = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1)) if va + vb else math.nan
    return _t_test("welch", a.mean - b.mean, math.sqrt(va + vb), df, (a.n, b.n))


def paired_t(method: Values, baseline: Values) -> TestResult:
    """t-test of the differences between scores that share a seed, both in the same order of seeds."""
    d = summarise(as_pairs(method, baseline))
    return _t_test("paired", d.mean, math.sqrt(d.variance / d.n), d.n - 1, (d.n, d.n))


def _t_test(test: str, gap: float, error: float, df: float, n: tuple[int, int]) -> TestResult:
    if error == 0:
        paired = test == "paired"
        what = "differences over shared seeds are all the same" if paired else "scores do not vary from seed to seed"
        raise DataError(
            f"{test}: the {what}, so a t-test has no variance to measure the gap of {gap:g} against; check that the "
            f"seeds differ, or use --test {'signflip' if paired else 'permutation'}"
        )
    t = gap / error
    p = 2 * float(special.stdtr(df, -abs(t)))
    low, high = t_bounds(gap, error, df, CONFIDENCE)
    return TestResult(test, gap, min(p, 1.0), *n, t, error, df, low, high, CONFIDENCE)


def t_bounds(gap: float, error: float, df: float, confidence: float) -> tuple[float, float]:
    """The ends of a gap's t interval."""
    half = float(special.stdtrit(df, (1 + confidence) / 2)) * error
    return gap - half, gap + half


def sign_flip_seeds(alpha: float = 0.05, comparisons: int = 1) -> int:
    """Shared seeds from which a sign-flip test can reach p < alpha: 6 for one test, 9 with Holm over 8."""
    return next(n for n in range(1, 1000) if 2.0 ** (1 - n) * comparisons < alpha)


def sign_flip_test(method: Values, baseline: Values, rng: Generator) -> TestResult:
    """Exact sign-flip test of the mean difference over shared seeds.

    Assumes only that, were there no effect, each seed's difference would be symmetric around 0; paired by position.
    Cannot give less than 2 / 2^n: with 5 seeds 0.0625, so never p < 0.05, however large the gap.
    """
    d = as_pairs(method, baseline)
    return _flip("signflip", d, d, rng)


def wilcoxon_test(method: Values, baseline: Values, rng: Generator) -> TestResult:
    """Wilcoxon's signed-rank test: the sign-flip test on the ranks of the differences, exact with ties too.

    Assumes and pairs as `sign_flip_test`; differences of exactly 0 are left out (Wilcoxon's own rule), and the floor
    follows the seeds that remain.
    """
    d = as_pairs(method, baseline)
    kept = d[d != 0]
    _, group, counts = np.unique(np.abs(kept), return_inverse=True, return_counts=True)
    midranks = (np.cumsum(counts) - (counts - 1) / 2)[group]  # ties share the mean of their ranks
    return _flip("wilcoxon", d, midranks * np.sign(kept), rng)


def _flip(test: str, d: Floats, scores: Floats, rng: Generator) -> TestResult:
    """The test on `scores`, one for each difference that counts."""
    exact = 2**scores.size <= EXACT_LIMIT
    signs = _signs(scores.size) if exact else rng.integers(0, 2, size=(RESAMPLES, scores.size)) * 2.0 - 1
    observed = float(scores.sum())
    p, floor = _p_and_floor(signs @ scores, observed, scores, min(1.0, 2.0 ** (1 - scores.size)), exact=exact)
    return TestResult(test, float(d.mean()), p, d.size, d.size, observed, floor=floor, exact=exact)


@lru_cache(maxsize=32)
def _signs(n: int) -> Floats:
    """Half of the 2^n sign patterns (2^(n-1), n): the other half are their mirror images."""
    bits = np.arange(2 ** max(n - 1, 0))[:, None] >> np.arange(n)[None, :]
    return np.asarray((bits & 1) * 2 - 1, dtype=np.float64)


def permutation_test(method: Values, baseline: Values, rng: Generator) -> TestResult:
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
    least = (2 if a.size == b.size else 1) / arrangements
    p, floor = _p_and_floor(sums, float(pooled[: a.size].sum()), pooled, least, exact=exact)
    gap = float(a.mean() - b.mean())
    return TestResult("permutation", gap, p, a.size, b.size, gap, floor=floor, exact=exact)


@lru_cache(maxsize=8)
def _groups(n: int, m: int) -> Floats:
    """Membership of the first group in every arrangement: (C(n+m, n), n+m), ones and zeros."""
    chosen = np.fromiter((i for c in combinations(range(n + m), n) for i in c), dtype=np.intp).reshape(-1, n)
    member = np.zeros((len(chosen), n + m))
    np.put_along_axis(member, chosen, 1.0, axis=1)
    return member


def _p_and_floor(sums: Floats, observed: float, values: Floats, least: float, *, exact: bool) -> tuple[float, float]:
    """(share of rearranged sums at least as far from 0 as the observed one, `least` or what drawing adds to it)."""
    slack = _TOLERANCE * max(float(np.abs(values).sum()), 1e-300)
    hits = np.abs(sums) >= abs(observed) - slack
    if exact:
        return float(hits.mean()), least
    return (int(hits.sum()) + 1) / (hits.size + 1), max(least, 1 / (hits.size + 1))


def holm(p_values: Values) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given.

    Keeps the chance of even one false finding in the family at alpha under any dependence, which matters here: the
    scores of one run on seven test sets go up and down together. The family is whatever is passed: pass every test
    that was looked at, not those that came out well.
    """
    p = as_values(p_values)
    order = np.argsort(p)
    steps = np.maximum.accumulate(p[order] * np.arange(p.size, 0, -1))
    return [float(value) for value in np.minimum(steps, 1.0)[np.argsort(order)]]
