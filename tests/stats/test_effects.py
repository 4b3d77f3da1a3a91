"""Effect sizes against worked values and SciPy."""

import math

import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from tests.stats.conftest import A, B, C


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
