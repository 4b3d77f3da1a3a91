"""Adding seeds in rounds."""

import numpy as np
import pytest
from scipy import stats as scipy_stats

from nlcse_tune import stats
from nlcse_tune.errors import ConfigError
from nlcse_tune.stats.sequential import WELCH_RATIOS, null_p_values
from tests.stats.simulated import sequential_error


def test_looks_end_at_the_maximum() -> None:
    assert stats.looks(5, 20) == (5, 8, 11, 14, 17, 20)
    assert stats.looks(3, 4) == (3, 4)
    assert stats.looks(5, 5) == (5,)
    with pytest.raises(ConfigError, match="first look <= maximum"):
        stats.looks(6, 5)


def test_the_rule_decides_only_where_it_looks(rng: np.random.Generator) -> None:
    rule = stats.stopping_rule((5, 10), rng, paired=True, simulations=50_000)
    assert rule.bounds[0] < rule.bounds[1] < 0.05
    first = rule.decide(5, rule.bounds[0])
    assert first.significant
    assert first.stop
    assert first.next_n is None
    assert first.confidence == pytest.approx(1 - rule.bounds[0])
    on = rule.decide(5, 0.04)
    assert (on.stop, on.next_n) == (False, 10)
    assert rule.decide(10, 0.9).stop
    with pytest.raises(ConfigError, match="looks at 5, 10 seeds and at no other number"):
        rule.decide(7, 0.001)


@pytest.mark.parametrize(("first", "paired"), [(2, False), (2, True), (3, True), (5, False)])
def test_a_look_that_cannot_stop_is_not_taken(first: int, paired: bool) -> None:
    asked = stats.looks(first, 20)
    rule = stats.stopping_rule(asked, np.random.default_rng(0), paired=paired, simulations=50_000)
    assert (rule.skipped, rule.looks) == (asked[:1], asked[1:])
    assert min(rule.bounds) >= 1e-5
    if paired:  # what the look left out did not spend is spent at the first that is taken
        z = scipy_stats.norm.ppf(1 - (0.05 - 2 * (0.05 * 0.95 / 50_000) ** 0.5) / 2)
        assert rule.bounds[0] == pytest.approx(2 * scipy_stats.norm.sf(z / (asked[1] / 20) ** 0.5))
    with pytest.raises(ConfigError, match="and at no other number"):
        rule.decide(first, 1e-9)


def test_a_rule_keeps_the_level_that_is_asked_of_it() -> None:
    rule = stats.stopping_rule((5, 10), np.random.default_rng(0), paired=True, alpha=0.01, simulations=100_000)
    [p] = null_p_values((5, 10), np.random.default_rng(9), 100_000, None)
    assert rule.alpha == 0.01
    assert 0.008 <= (p <= rule.bounds).any(axis=1).mean() <= 0.011


def test_a_rule_is_the_same_twice() -> None:
    make = [stats.stopping_rule((3, 6), np.random.default_rng(1), simulations=20_000) for _ in range(2)]
    assert make[0] == make[1]


def test_welch_bounds_hold_alpha_at_every_ratio_of_stds() -> None:
    rule = stats.stopping_rule((5, 8, 11, 14, 17, 20), np.random.default_rng(1), simulations=100_000)
    ratios = (*WELCH_RATIOS, 1.5, 2.37, 5.0)
    for p in null_p_values(rule.looks, np.random.default_rng(2), 100_000, ratios):
        assert (p <= rule.bounds).any(axis=1).mean() <= 0.052  # 3 standard errors of the simulation above 0.05


def test_null_p_values_are_those_of_the_test_itself() -> None:
    rate, peeking = sequential_error(2000, (4, 6, 8), seed=11, paired=True)
    assert rate <= 0.065
    assert peeking > 0.075  # what the rule is there to prevent
