"""Skewed scores, and the bootstrap-t."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from tests.stats.conftest import A, B, C


def test_skewness_agrees_with_scipy(rng: np.random.Generator) -> None:
    assert stats.skewness(C) == pytest.approx(scipy_stats.skew(C))
    assert stats.skewness([1.0, 2.0]) is None
    assert stats.skewness([75.0] * 5) is None
    seen = scipy_stats.skew(rng.standard_normal((20_000, 5)), axis=1)
    assert (np.abs(seen) > stats.skewness_of_normal(5)).mean() == pytest.approx(0.05, abs=0.006)


def test_the_bootstrap_t_resamples_the_statistic_of_its_test() -> None:
    for paired, own in ((False, stats.welch_t(A, B)), (True, stats.paired_t(A, B))):
        found = stats.bootstrap_t(A, B, np.random.default_rng(0), paired=paired)
        assert found == stats.bootstrap_t(A, B, np.random.default_rng(0), paired=paired)
        assert (found.statistic, found.gap) == (own.statistic, own.gap)
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 60))
    a += 0.3
    assert stats.bootstrap_t(a, b, rng).p == pytest.approx(stats.welch_t(a, b).p, rel=0.25)  # many normal scores
    assert stats.bootstrap_t(a + 5, b, rng).p == pytest.approx(2 / 10_001)


def test_it_rejects_less_often_than_welch_where_one_arm_is_skewed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlcse_tune.stats.skew.RESAMPLES", 500)
    rng, rejected = np.random.default_rng(2), {"welch": 0, "bootstrap-t": 0, "permutation": 0}
    for _ in range(1000):
        a, b = rng.lognormal(0, 1, 5) - np.exp(0.5), 0.1 * rng.standard_normal(5)
        rejected["welch"] += stats.welch_t(a, b).p <= 0.05
        rejected["bootstrap-t"] += stats.bootstrap_t(a, b, rng).p <= 0.05
        rejected["permutation"] += stats.permutation_test(a, b, rng).p <= 0.05
    assert rejected["bootstrap-t"] < 0.75 * rejected["welch"]
    assert rejected["welch"] > 110
    assert rejected["permutation"] > rejected["welch"]
