"""Error rates, coverage and power over simulated studies."""

import pytest

from nlcse_tune import stats
from tests.stats.simulated import PAPER_RATIO, coverages, power_agreement, rejection_rates


def test_every_offered_test_keeps_its_level_at_five_seeds() -> None:
    for ratio in (1.0, PAPER_RATIO):
        rates = rejection_rates(4000, 5, seed=1, ratio=ratio)
        assert max(rates.values()) <= 0.065 + (0.01 if ratio != 1.0 else 0)
        assert min(rates[name] for name in ("welch", "student", "paired")) >= 0.035


def test_intervals_cover_what_they_claim_and_the_bootstrap_what_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nlcse_tune.stats.intervals.BOOTSTRAP_RESAMPLES", 2000)  # five times as fast, nearly the same
    found = coverages(4000, 5, seed=2)
    for name in ("welch t", "student t", "paired t", "mean t", "std chi2", "Hedges' g", "P(improvement)"):
        assert 0.93 <= found[name] <= 0.97, name
    stated = stats.BOOTSTRAP_COVERAGE[5]
    assert (found["bootstrap"], found["bootstrap, paired"]) == pytest.approx(stated, abs=0.02)


def test_power_agrees_with_simulation() -> None:
    for n, gap in ((5, 2.02), (10, 1.0)):
        for formula, simulated in power_agreement(3000, n, seed=3, gap=gap).values():
            assert formula == pytest.approx(simulated, abs=0.03)
