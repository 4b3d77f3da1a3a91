"""t-tests against SciPy and against Table 3."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

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


def test_no_spread_is_refused_rather_than_called_certain() -> None:
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.welch_t([75.0] * 5, [74.0] * 5)
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.hedges_g([75.0] * 5, [74.0] * 5)
