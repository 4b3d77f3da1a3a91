"""Intervals of a mean, of a std and of a gap against SciPy."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from tests.stats.conftest import A, B


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
