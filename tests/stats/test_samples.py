"""Scores of several seeds, as values and as summaries."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from tests.stats.conftest import A, B


def test_summary_is_the_sample_mean_and_std() -> None:
    found = stats.summarise(A)
    assert found.n == 5
    assert found.mean == pytest.approx(np.mean(A))
    assert found.std == pytest.approx(np.std(A, ddof=1))
    assert found.sem == pytest.approx(scipy_stats.sem(A))


def test_one_seed_has_no_std_and_no_test(rng: np.random.Generator) -> None:
    one = stats.summarise([76.25])
    assert one.std is None
    assert one.sem is None
    for call in (
        lambda: stats.welch_t([76.25], A),
        lambda: stats.student_t(A, [76.25]),
        lambda: stats.paired_t([76.25], [75.0]),
        lambda: stats.hedges_g([76.25], A),
        lambda: stats.mean_interval([76.25]),
        lambda: stats.bootstrap_interval([76.25], A, rng),
        lambda: stats.probability_of_improvement([76.25], A),
    ):
        with pytest.raises(DataError, match=r"at least 2 seeds"):
            call()


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_values_must_be_finite_numbers(bad: list[float]) -> None:
    with pytest.raises(DataError, match="values: must be"):
        stats.summarise(bad)


def test_equal_values_have_a_std_of_exactly_zero() -> None:
    assert stats.summarise([0.1 + 0.2] * 7).std == 0.0


@pytest.mark.parametrize(("std", "n"), [(None, 5), (0.5, 1), (-0.1, 5), (math.nan, 5), (0.5, 0)])
def test_impossible_summaries_are_refused(std: float | None, n: int) -> None:
    with pytest.raises(DataError):
        stats.Summary(75.0, std, n)


def test_correlation_over_shared_seeds() -> None:
    assert stats.correlation(A, B) == pytest.approx(scipy_stats.pearsonr(A, B).statistic)
    assert stats.correlation([1.0, 2.0], [2.0, 1.0]) is None
    assert stats.correlation([1.0, 1.0, 1.0], [2.0, 1.0, 3.0]) is None
