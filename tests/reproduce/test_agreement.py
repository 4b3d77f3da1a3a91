"""Agreement with a printed number, against statsmodels and by hand."""

import numpy as np
import pytest
from statsmodels.stats.weightstats import DescrStatsW

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from nlcse_tune.reproduce.agreement import agreement

OURS = [76.9, 77.3, 77.1, 76.8, 77.4]


def test_a_number_of_one_run_is_held_against_our_mean() -> None:
    found = agreement(OURS, 77.0, None, 1, 0.5)
    p, _, _ = DescrStatsW(OURS).ttost_mean(76.5, 77.5)
    assert found.p_equivalent == pytest.approx(p)
    assert found.outcome == "agrees"
    low, high = DescrStatsW(OURS).tconfint_mean(alpha=0.1)
    assert (found.low, found.high) == pytest.approx((low - 77.0, high - 77.0))


def test_a_number_of_several_seeds_brings_its_own_spread() -> None:
    found = agreement(OURS, 76.96, 0.38, 5, 0.5)
    t = stats.welch_t(OURS, stats.Summary(76.96, 0.38, 5))
    assert found.p_equivalent == stats.equivalence(t, 0.5).p
    assert found.p_equivalent > agreement(OURS, 76.96, None, 1, 0.5).p_equivalent


def test_the_three_outcomes() -> None:
    """One more seed of ours lies within 77.1 ± 2.776 x 0.255 x sqrt(6 / 5) = 0.775."""
    half = 2.7764 * np.std(OURS, ddof=1) * (6 / 5) ** 0.5
    for shift, outcome in ((0.2, "agrees"), (half - 0.02, "undecided"), (half + 0.02, "differs")):
        assert agreement(OURS, 77.1 + shift, None, 1, 0.5).outcome == outcome
    assert agreement(OURS, 74.0, 0.3, 5, 0.5).outcome == "differs"
    assert agreement([77.0, 77.8, 76.4], 77.4, 0.9, 5, 0.5).outcome == "undecided"
    almost = agreement([77.10, 77.11, 77.09], 77.0, 0.01, 5, 0.5)
    assert almost.different
    assert almost.outcome == "agrees"  # within the margin all the same


@pytest.mark.parametrize("ours", [[], [77.0], [77.0, 77.0]])
def test_what_has_no_spread_is_not_compared(ours: list[float]) -> None:
    with pytest.raises(DataError):
        agreement(ours, 77.0, None, 1, 0.5)
