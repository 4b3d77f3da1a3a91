"""Student's, Welch's and the paired t-test, from scores or from (mean, std, n).

The distribution functions are SciPy's (`scipy.special`); `scipy.stats` holds the same tests and is what the test
suite compares with, but takes longer to import than a report takes to make.
"""

import math

from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import CONFIDENCE, Sample, Summary, TestResult, Values, as_pairs, summarise


def student_t(method: Sample, baseline: Sample, *, confidence: float = CONFIDENCE) -> TestResult:
    """Student's t-test with pooled variance, the paper's (Table 3).

    Assumes independent seeds, normal scores and *equal variances*. Not paired. With few seeds none of the three can
    be checked; where the variances differ and n is small it rejects slightly too often.
    """
    a, b = _two_summaries(method, baseline)
    df = a.n + b.n - 2
    pooled = ((a.n - 1) * a.variance + (b.n - 1) * b.variance) / df
    error = math.sqrt(pooled * (1 / a.n + 1 / b.n))
    return _t_result("student", a.mean - b.mean, error, df, (a.n, b.n), confidence)


def welch_t(method: Sample, baseline: Sample, *, confidence: float = CONFIDENCE) -> TestResult:
    """Welch's t-test: variances may differ; degrees of freedom after Satterthwaite.

    Assumes independent seeds and normal scores. Not paired: where the arms share seeds and correlate positively it
    is conservative. The default of every report.
    """
    a, b = _two_summaries(method, baseline)
    va, vb = a.variance / a.n, b.variance / b.n
    error = math.sqrt(va + vb)
    df = (va + vb) ** 2 / (va**2 / (a.n - 1) + vb**2 / (b.n - 1)) if error else math.nan
    return _t_result("welch", a.mean - b.mean, error, df, (a.n, b.n), confidence)


def paired_t(method: Values, baseline: Values, *, confidence: float = CONFIDENCE) -> TestResult:
    """t-test of the differences between scores that share a seed, both in the same order of seeds.

    Assumes normal differences, independent from seed to seed.
    """
    d = summarise(as_pairs(method, baseline))
    return _t_result("paired", d.mean, math.sqrt(d.variance / d.n), d.n - 1, (d.n, d.n), confidence)


def _two_summaries(method: Sample, baseline: Sample) -> tuple[Summary, Summary]:
    a, b = summarise(method), summarise(baseline)
    if min(a.n, b.n) < 2:
        raise DataError(f"a t-test needs at least 2 seeds per arm, got {a.n} and {b.n}; run more seeds")
    return a, b


def _t_result(test: str, gap: float, error: float, df: float, n: tuple[int, int], confidence: float) -> TestResult:
    if error == 0:
        raise DataError(
            f"{test}: the scores do not vary from seed to seed, so a t-test has nothing to measure the gap of {gap:g} "
            "against; check that the seeds differ, or use --test permutation"
        )
    t = gap / error
    p = 2 * float(special.stdtr(df, -abs(t)))
    half = float(special.stdtrit(df, (1 + confidence) / 2)) * error
    return TestResult(test, gap, min(p, 1.0), *n, t, error, df, gap - half, gap + half, confidence)
