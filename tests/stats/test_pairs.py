"""Seeds and sentence pairs together."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from tests.stats.conftest import A, B


def test_spearman_and_its_resampling_agree_with_scipy(rng: np.random.Generator) -> None:
    gold = rng.random(200).round(1)
    sims = (gold + rng.standard_normal((3, 200))).round(1)  # ties on both sides
    assert stats.spearman(sims, gold) == pytest.approx([100 * scipy_stats.spearmanr(s, gold).statistic for s in sims])
    found = stats.resampled_spearman(sims, gold, 20, np.random.default_rng(5))
    drawn = np.random.default_rng(5)
    for row in found:
        chosen = drawn.integers(0, 200, size=200)
        assert row == pytest.approx([100 * scipy_stats.spearmanr(s[chosen], gold[chosen]).statistic for s in sims])


def test_two_level_adds_both_errors(rng: np.random.Generator) -> None:
    seeds_only = stats.welch_t(A, B)
    still = np.tile(A, (500, 1)), np.tile(B, (500, 1))  # pairs that bring no error
    found = stats.two_level(A, B, still, rng)
    assert found.se_pairs == pytest.approx(0, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((seeds_only.low, seeds_only.high))
    moved = still[0] + rng.standard_normal((500, 1)), still[1]
    wider = stats.two_level(A, B, moved, rng)
    assert wider.se_pairs == pytest.approx(1, abs=0.1)
    assert wider.high - wider.low > found.high - found.low
    shared = stats.two_level(A, B, (still[0] + 5, still[1] + 5), rng, paired=True)  # common to both sides: no error
    assert shared.se_pairs == pytest.approx(0, abs=1e-9)


def test_constant_or_mismatched_similarities_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="Spearman does not exist"):
        stats.resampled_spearman(np.ones((1, 5)), np.arange(5.0), 10, rng)
    with pytest.raises(DataError, match="4 pairs against 5 gold"):
        stats.resampled_spearman(np.ones((1, 4)), np.arange(5.0), 10, rng)
