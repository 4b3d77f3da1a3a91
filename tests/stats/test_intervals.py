"""Intervals of a mean, of a std and of a gap against SciPy; effect sizes against worked values."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from tests.stats.conftest import A, B, C


def test_mean_and_std_intervals_agree_with_scipy() -> None:
    mean, std = stats.mean_interval(A), stats.std_interval(A)
    expected = scipy_stats.t.interval(0.95, 4, np.mean(A), scipy_stats.sem(A))
    assert (mean.low, mean.high) == pytest.approx(expected)
    chi2 = scipy_stats.chi2.ppf([0.975, 0.025], 4)
    assert (std.low, std.high) == pytest.approx(np.sqrt(4 * np.var(A, ddof=1) / chi2))


def test_bootstrap_is_scipys_percentile_interval_and_repeats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlcse_tune.stats.intervals.BOOTSTRAP_RESAMPLES", 100_000)
    ours = stats.bootstrap_interval(A, B, np.random.default_rng(3))
    theirs = scipy_stats.bootstrap(
        (A, B),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        n_resamples=100_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert ours == stats.bootstrap_interval(A, B, np.random.default_rng(3))
    paired = stats.bootstrap_interval(A, np.subtract(A, 1), np.random.default_rng(3), paired=True)
    assert (paired.low, paired.high) == pytest.approx((1, 1))


def test_hedges_g_of_a_worked_example() -> None:
    found = stats.hedges_g(stats.Summary(76.96, 0.38, 5), stats.Summary(75.74, 0.90, 5))
    d = 1.22 / math.sqrt((0.38**2 + 0.90**2) / 2)
    correction = math.gamma(4) / (math.sqrt(4) * math.gamma(3.5))  # J(8), Hedges 1981
    assert found.g == pytest.approx(d * correction)
    t = d * math.sqrt(2.5)
    for bound, tail in ((found.low, 0.975), (found.high, 0.025)):
        noncentrality = bound / correction * math.sqrt(2.5)
        assert scipy_stats.nct.cdf(t, 8, noncentrality) == pytest.approx(tail, abs=1e-6)


def test_hedges_g_turns_with_its_arms() -> None:
    there, back = stats.hedges_g(A, B), stats.hedges_g(B, A)
    assert (there.g, there.low, there.high) == pytest.approx((-back.g, -back.high, -back.low))


def test_probability_of_improvement_is_mann_whitney() -> None:
    found = stats.probability_of_improvement(A, C)
    u = scipy_stats.mannwhitneyu(A, C).statistic
    assert found.value == pytest.approx(u / 35)
    assert found.low < found.value < found.high
    assert stats.probability_of_improvement([1.0, 2.0], [1.0, 2.0]).value == 0.5


def test_five_seeds_above_five_others_do_not_prove_certainty() -> None:
    above = stats.probability_of_improvement([6, 7, 8, 9, 10], [1, 2, 3, 4, 5])
    assert above.value == above.high == 1.0
    assert above.low == pytest.approx(0.643, abs=0.001)
    below = stats.probability_of_improvement([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert (below.low, below.high) == pytest.approx((0.0, 1 - above.low))


def test_score_interval_lies_z_standard_errors_away() -> None:
    found = stats.probability_of_improvement(A, C)
    for x in (found.low, found.high):
        variance = x * (1 - x) * (1 + 5 * (1 - x) / (2 - x) + 5 * x / (1 + x)) / 35  # Newcombe 2006: N* = 6
        assert abs(x - found.value) / math.sqrt(variance) == pytest.approx(scipy_stats.norm.ppf(0.975))
