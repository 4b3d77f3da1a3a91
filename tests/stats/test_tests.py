"""Tests of a gap against SciPy, statsmodels, Table 3 and by hand."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from tests.stats.conftest import A, B, C


@pytest.mark.parametrize(
    ("method", "baseline", "student", "welch"),
    [((76.96, 0.38), (75.74, 0.90), 0.0235, 0.0354), ((77.74, 0.25), (76.36, 0.18), 8.4e-6, 1.6e-5)],
)
def test_table_3_of_the_paper(
    method: tuple[float, float], baseline: tuple[float, float], student: float, welch: float
) -> None:
    a, b = stats.Summary(*method, 5), stats.Summary(*baseline, 5)
    assert stats.student_t(a, b).p == pytest.approx(student, rel=0.025)
    assert stats.welch_t(a, b).p == pytest.approx(welch, rel=0.025)


@pytest.mark.parametrize("other", [B, C])
def test_t_tests_agree_with_scipy(other: list[float]) -> None:
    for ours, equal in ((stats.student_t(A, other), True), (stats.welch_t(A, other), False)):
        theirs = scipy_stats.ttest_ind(A, other, equal_var=equal)
        interval = theirs.confidence_interval(0.95)
        assert (ours.statistic, ours.p, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df))
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
        assert ours.gap == pytest.approx(np.mean(A) - np.mean(other))


def test_scores_and_their_summary_give_the_same() -> None:
    assert stats.welch_t(A, B).p == stats.welch_t(stats.summarise(A), stats.summarise(B)).p


def test_paired_t_agrees_with_scipy() -> None:
    ours, theirs = stats.paired_t(A, B), scipy_stats.ttest_rel(A, B)
    interval = theirs.confidence_interval(0.95)
    assert (ours.statistic, ours.p, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))


def test_a_paired_test_refuses_what_is_not_paired(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="same seeds in both arms, got 5 and 7"):
        stats.paired_t(A, C)
    with pytest.raises(DataError, match="same seeds"):
        stats.sign_flip_test(A, C, rng)


def test_equivalence_agrees_with_statsmodels() -> None:
    unpaired = ttost_ind(np.array(A), np.array(C), -2.0, 2.0, usevar="unequal")[0]
    assert stats.equivalence(stats.welch_t(A, C), 2.0).p == pytest.approx(unpaired)
    pooled = ttost_ind(np.array(A), np.array(C), -2.0, 2.0, usevar="pooled")[0]
    assert stats.equivalence(stats.student_t(A, C), 2.0).p == pytest.approx(pooled)
    paired = ttost_paired(np.array(A), np.array(B), -2.0, 2.0)[0]
    assert stats.equivalence(stats.paired_t(A, B), 2.0).p == pytest.approx(paired)
    assert stats.equivalence(stats.paired_t(A, B), 0.1).p > 0.5  # the gap seen lies outside
    with pytest.raises(DataError, match="must be above 0 points"):
        stats.equivalence(stats.paired_t(A, B), 0.0)


def test_differences_that_are_constant_to_rounding_have_no_variance_to_test(rng: np.random.Generator) -> None:
    averages = [62.31, 63.47, 63.9, 65.2, 66.01]
    shifted = [score + 1.2 for score in averages]
    assert np.ptp(np.subtract(shifted, averages)) > 0  # what rounding leaves of a constant shift
    with pytest.raises(DataError, match="differences over shared seeds are all the same"):
        stats.paired_t(shifted, averages)
    assert stats.sign_flip_test(shifted, averages, rng).p == 0.0625
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.welch_t([75.1 + 1e-13, 75.1, 75.1], [74.0, 74.0, 74.0 - 1e-13])
    small = [76.0, 76.0 + 1e-6, 76.0 - 1e-6]  # small, and no rounding
    assert stats.paired_t(small, [75.0] * 3).p < 1e-6


def test_no_spread_is_refused_rather_than_called_certain() -> None:
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.welch_t([75.0] * 5, [74.0] * 5)
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.hedges_g([75.0] * 5, [74.0] * 5)


def test_sign_flip_counts_every_pattern(rng: np.random.Generator) -> None:
    d = np.subtract(A, B)
    means = [abs(np.dot(d, signs)) for signs in np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T]
    expected = np.mean(np.array(means) >= abs(d.sum()) - 1e-9)
    assert stats.sign_flip_test(A, B, rng).p == pytest.approx(expected)
    theirs = scipy_stats.permutation_test((A, B), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples")
    assert stats.sign_flip_test(A, B, rng).p == pytest.approx(theirs.pvalue)


def test_five_seeds_never_reach_five_percent(rng: np.random.Generator) -> None:
    found = stats.sign_flip_test(np.add(B, 100), B, rng)
    assert found.p == found.floor == 0.0625
    assert stats.wilcoxon_test(np.add(B, [1, 2, 3, 4, 5]), B, rng).p == 0.0625
    assert stats.sign_flip_seeds() == 6
    assert stats.sign_flip_seeds(comparisons=8) == 9


@pytest.mark.parametrize("n", [5, 8, 12])
def test_wilcoxon_agrees_with_scipy(n: int, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, n))
    assert stats.wilcoxon_test(a, b, rng).p == pytest.approx(scipy_stats.wilcoxon(a, b, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_is_exact(rng: np.random.Generator) -> None:
    # ranks 1.5, 1.5, 3 of the differences 1, 1, -2 (0 is left out): |sum| = 0 in every second pattern or below all
    found = stats.wilcoxon_test([1.0, 1.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0], rng)
    assert found.p == 1.0
    assert found.floor == 0.25


def test_permutation_agrees_with_scipy(rng: np.random.Generator) -> None:
    for other in (B, C):
        theirs = scipy_stats.permutation_test(
            (A, other), lambda x, y: np.mean(x) - np.mean(y), permutation_type="independent"
        )
        ours = stats.permutation_test(A, other, rng)
        centred = np.concatenate([A, other]) - np.mean([*A, *other])
        assert ours.exact
        if len(other) == len(A):
            assert ours.p == pytest.approx(theirs.pvalue)
            assert ours.floor == pytest.approx(2 / math.comb(10, 5))
        assert ours.p >= 1 / math.comb(len(centred), 5)


def test_permutation_of_unequal_arms_by_hand(rng: np.random.Generator) -> None:
    # 3 arrangements of {5} against {0, 1}: first sums 5, 0, 1 less 2 each: |3|, |-2|, |-1|; only the first is as far
    found = stats.permutation_test([5.0], [0.0, 1.0], rng)
    assert found.p == pytest.approx(1 / 3)
    assert found.floor == pytest.approx(1 / 3)


def test_rearrangements_beyond_counting_are_drawn_and_never_zero() -> None:
    a, b = np.arange(30.0) + 50, np.arange(30.0)
    first = stats.permutation_test(a, b, np.random.default_rng(1))
    assert first == stats.permutation_test(a, b, np.random.default_rng(1))
    assert not first.exact
    assert first.p == first.floor == pytest.approx(1 / 100_001)
    assert stats.sign_flip_test(a, b, np.random.default_rng(1)).p == pytest.approx(1 / 100_001)


def test_drawn_rearrangements_agree_with_counted_ones(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    counted = stats.permutation_test(A, B, rng).p, stats.sign_flip_test(A, B, rng).p
    monkeypatch.setattr("nlcse_tune.stats.tests.EXACT_LIMIT", 1)
    drawn = stats.permutation_test(A, B, rng).p, stats.sign_flip_test(A, B, rng).p
    assert drawn == pytest.approx(counted, abs=0.005)


def test_holm_agrees_with_statsmodels(rng: np.random.Generator) -> None:
    p = rng.random(8) ** 3
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
