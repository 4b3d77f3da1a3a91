"""Tests by rearrangement against SciPy and by hand."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from tests.stats.conftest import A, B, C


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
