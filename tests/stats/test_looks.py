"""Growing an arm after a look, and n from a pilot: against studies simulated score by score."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from nlcse_tune.errors import DataError


def test_looks_at_five_and_ten_reject_more_often_than_one() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((2, 30_000, 10))
    unpaired = [scipy_stats.ttest_ind(a[:, :n], b[:, :n], axis=1, equal_var=False).pvalue for n in (5, 10)]
    paired = [scipy_stats.ttest_rel(a[:, :n], b[:, :n], axis=1).pvalue for n in (5, 10)]
    for found, p in ((False, unpaired), (True, paired)):
        rate = stats.looking_error((5, 10), paired=found)
        assert rate == pytest.approx((np.min(p, axis=0) <= 0.05).mean(), abs=0.005)
        assert 0.075 < rate < 0.09
        assert stats.looking_error((5, 10, 20), paired=found) > rate + 0.02
        assert stats.looking_error((10,), paired=found) < 0.052


@pytest.mark.parametrize("stds", [(0.4, 0.4), (0.4,)])
def test_a_pilot_that_is_reused_costs_some_of_the_level(stds: tuple[float, ...]) -> None:
    rate = stats.pilot_error(3, 0.5, stds)
    assert rate == stats.pilot_error(3, 0.5, stds)  # simulated, and still the same twice
    rng, hits, count = np.random.default_rng(4), 0, 3000
    arms = len(stds)
    table = np.array([_detectable(n, arms) for n in range(2, 401)])
    for _ in range(count):
        a, b = rng.standard_normal((2, 401)) * 0.4
        b = b if arms == 2 else np.zeros(401)
        seen = np.sqrt((a[:3].var(ddof=1) + b[:3].var(ddof=1)) / arms)
        n = max(3, 2 + int(np.sum(table > 0.5 / seen)))
        p = scipy_stats.ttest_ind(a[:n], b[:n], equal_var=False) if arms == 2 else scipy_stats.ttest_1samp(a[:n], 0)
        hits += p.pvalue <= 0.05
    assert rate == pytest.approx(hits / count, abs=0.015)
    assert rate > 0.06
    assert stats.pilot_error(20, 2.0, stds) == pytest.approx(0.05, abs=0.003)  # it needs no more seeds
    with pytest.raises(DataError, match="at least 2 seeds"):
        stats.pilot_error(1, 0.5, stds)


def _detectable(n: int, arms: int) -> float:
    t = scipy_stats.t(arms * (n - 1))
    return float((t.ppf(0.975) + t.ppf(0.8)) * (arms / n) ** 0.5)
