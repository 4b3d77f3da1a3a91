"""Power and seeds needed, against statsmodels and simulation."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.power import TTestIndPower, TTestPower

from nlcse_tune import stats
from nlcse_tune.errors import DataError


@pytest.mark.parametrize(("n", "d"), [(3, 2.0), (5, 1.0), (17, 1.0), (64, 0.5)])
def test_paired_power_agrees_with_statsmodels(n: int, d: float) -> None:
    assert stats.power_paired(-d, n, std_difference=1) == pytest.approx(TTestPower().power(d, n, 0.05), abs=1e-6)


def test_unpaired_power_nears_students_for_many_seeds() -> None:
    students = TTestIndPower().power(0.5, 64, 0.05)
    assert stats.power_unpaired(0.5, 64, stds=(1, 1)) == pytest.approx(students, abs=1e-3)
    assert stats.power_unpaired(0.5, 64, stds=(1, 1)) < students


@pytest.mark.parametrize(
    ("n", "m", "gap", "ratio"),
    [(2, 2, 6.3, 1.0), (3, 3, 3.1, 0.42), (5, 5, 2.0, 1.0), (5, 5, 1.5, 5.0), (4, 9, 1.5, 2.0)],
)
def test_unpaired_power_is_welchs_own(n: int, m: int, gap: float, ratio: float) -> None:
    rng = np.random.default_rng(5)
    a, b = ratio * rng.standard_normal((40_000, n)) + gap, rng.standard_normal((40_000, m))
    simulated = (scipy_stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue <= 0.05).mean()
    assert stats.power_unpaired(gap, n, stds=(ratio, 1), n_baseline=m) == pytest.approx(simulated, abs=0.008)


def test_detectable_gaps_and_seeds_needed() -> None:
    unpaired, paired = partial(stats.power_unpaired, stds=(1, 1)), partial(stats.power_paired, std_difference=1)
    sizes = (3, 5, 8, 10, 20)  # Student's, unpaired: 3.07, 2.02, 1.51, ...
    assert [stats.detectable_gap(unpaired, n) for n in sizes] == pytest.approx(
        [3.51, 2.08, 1.52, 1.33, 0.91], abs=0.005
    )
    assert [stats.detectable_gap(paired, n) for n in sizes] == pytest.approx([3.26, 1.68, 1.16, 1.00, 0.66], abs=0.005)
    assert stats.seeds_needed(unpaired, 1) == 17
    assert unpaired(1, 17) >= 0.8 > unpaired(1, 16)
    assert stats.seeds_needed(paired, 1) == math.ceil(TTestPower().solve_power(1, power=0.8, alpha=0.05))


def test_power_is_one_for_enormous_gaps_and_small_samples() -> None:
    for gap in (10, 100, 1000, 1e6):
        assert stats.power_unpaired(gap, 5, stds=(1, 1)) == pytest.approx(1, abs=1e-6)
        assert stats.seeds_needed(partial(stats.power_unpaired, stds=(1, 1)), gap) in (2, 3)


@pytest.mark.parametrize(
    ("n", "m", "gap", "stds", "margin"),
    [
        (5, 5, 0.0, (0.4, 0.4), 0.5),
        (3, 3, 0.0, (0.4, 0.9), 2.0),
        (5, 5, 0.2, (0.4, 0.9), 1.5),
        (4, 8, 0.0, (0.4, 0.2), 0.5),
    ],
)
def test_the_power_of_equivalence_is_that_of_two_one_sided_tests(
    n: int, m: int, gap: float, stds: tuple[float, float], margin: float
) -> None:
    rng = np.random.default_rng(6)
    a, b = gap + stds[0] * rng.standard_normal((40_000, n)), stds[1] * rng.standard_normal((40_000, m))
    above = scipy_stats.ttest_ind(a + margin, b, axis=1, equal_var=False, alternative="greater").pvalue
    below = scipy_stats.ttest_ind(a - margin, b, axis=1, equal_var=False, alternative="less").pvalue
    power = stats.power_equivalence(gap, n, margin=margin, stds=stds, n_baseline=m)
    assert power == pytest.approx((np.maximum(above, below) <= 0.05).mean(), abs=0.008)
    above = scipy_stats.ttest_1samp(a, -margin, axis=1, alternative="greater").pvalue
    below = scipy_stats.ttest_1samp(a, margin, axis=1, alternative="less").pvalue
    power = stats.power_equivalence(gap, n, margin=margin, stds=stds[:1])
    assert power == pytest.approx((np.maximum(above, below) <= 0.05).mean(), abs=0.008)


def test_equivalence_takes_the_more_seeds_the_larger_the_true_gap() -> None:
    def seeds(gap: float) -> int | None:
        return stats.seeds_needed(lambda _, n: stats.power_equivalence(gap, n, margin=0.5, stds=(0.4, 0.4)), gap)

    assert seeds(0.0) == 12
    assert 12 < (seeds(0.3) or 0) < 100
    assert seeds(0.5) is None


def test_plans_that_make_no_sense_give_no_number() -> None:
    unpaired = partial(stats.power_unpaired, stds=(1, 1))
    assert stats.seeds_needed(unpaired, 0) is None
    assert stats.seeds_needed(unpaired, 1e-6) is None
    with pytest.raises(DataError, match="must be above 0"):
        stats.seeds_needed(partial(stats.power_paired, std_difference=0), 1)
    with pytest.raises(DataError, match="one seed detects no gap"):
        stats.detectable_gap(unpaired, 1)
