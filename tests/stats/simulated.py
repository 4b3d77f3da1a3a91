"""Simulated studies with normal scores: how often each test rejects, and each interval holds the truth."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from nlcse_tune import stats

Pair = tuple[np.ndarray, np.ndarray]
PAPER_RATIO = 0.38 / 0.90  # stds of VisualCSE and SimCSE over five seeds, Table 3


def studies(
    count: int, n: int, rng: np.random.Generator, *, ratio: float = 1.0, gap: float = 0.0, rho: float = 0.0
) -> Iterator[Pair]:
    """`count` studies of n seeds per arm: stds `ratio` (method) and 1, true gap `gap`, correlation over seeds `rho`."""
    base = rng.standard_normal((count, n))
    own = rng.standard_normal((count, n))
    method = gap + ratio * (rho * base + math.sqrt(1 - rho**2) * own)
    return zip(method, base, strict=True)


def offered(rng: np.random.Generator) -> dict[str, Callable[[Any, Any], stats.TestResult]]:
    """Every test that a report can use."""
    return {
        "welch": stats.welch_t,
        "student": stats.student_t,
        "paired": stats.paired_t,
        "permutation": lambda a, b: stats.permutation_test(a, b, rng),
        "signflip": lambda a, b: stats.sign_flip_test(a, b, rng),
        "wilcoxon": lambda a, b: stats.wilcoxon_test(a, b, rng),
    }


def rejection_rates(
    count: int,
    n: int,
    seed: int,
    *,
    ratio: float = 1.0,
    rho: float = 0.0,
    gap: float = 0.0,
    alpha: float = 0.05,
    only: tuple[str, ...] = (),
) -> dict[str, float]:
    """Share of simulated studies with p <= alpha, for each test: its error rate where `gap` is 0, else power."""
    rng = np.random.default_rng(seed)
    sample = list(studies(count, n, rng, ratio=ratio, gap=gap, rho=rho))
    tests = {name: test for name, test in offered(rng).items() if not only or name in only}
    return {name: sum(test(a, b).p <= alpha for a, b in sample) / count for name, test in tests.items()}


def coverages(count: int, n: int, seed: int, *, ratio: float = 1.0, gap: float = 1.0) -> dict[str, float]:
    """Share of simulated studies whose 95% interval holds the truth, for each offered interval."""
    rng = np.random.default_rng(seed)
    d = gap / math.sqrt((1 + ratio**2) / 2)
    wins = 0.5 * (1 + math.erf(gap / math.sqrt(1 + ratio**2) / math.sqrt(2)))
    intervals: dict[str, tuple[float, Callable[[Any, Any], Any]]] = {
        "welch t": (gap, stats.welch_t),
        "student t": (gap, stats.student_t),
        "paired t": (gap, stats.paired_t),
        "bootstrap": (gap, lambda a, b: stats.bootstrap_interval(a, b, rng)),
        "bootstrap, paired": (gap, lambda a, b: stats.bootstrap_interval(a, b, rng, paired=True)),
        "mean t": (gap, lambda a, b: stats.mean_interval(a)),
        "std chi2": (ratio, lambda a, b: stats.std_interval(a)),
        "Hedges' g": (d, stats.hedges_g),
        "P(improvement)": (wins, stats.probability_of_improvement),
    }
    sample = list(studies(count, n, rng, ratio=ratio, gap=gap))
    hits = {
        name: [i.low <= truth <= i.high for i in (f(a, b) for a, b in sample)] for name, (truth, f) in intervals.items()
    }
    return {name: sum(found) / count for name, found in hits.items()}


def power_agreement(count: int, n: int, seed: int, *, gap: float, ratio: float = 1.0) -> dict[str, tuple[float, float]]:
    """(power by formula, share of simulated studies that reject) of the unpaired (Welch) and the paired test."""
    rates = rejection_rates(count, n, seed, gap=gap, ratio=ratio, only=("welch", "paired"))
    difference = math.sqrt(1 + ratio**2)
    return {
        "welch": (stats.power_unpaired(gap, n, stds=(ratio, 1.0)), rates["welch"]),
        "paired": (stats.power_paired(gap, n, std_difference=difference), rates["paired"]),
    }


def sequential_error(
    count: int, at: tuple[int, ...], seed: int, *, paired: bool = False, ratio: float = 1.0
) -> tuple[float, float]:
    """(error rate of the rule, of stopping at the first p <= 0.05) over simulated null studies, score by score."""
    rule = stats.stopping_rule(at, np.random.default_rng(seed), paired=paired)
    run = stats.paired_t if paired else stats.welch_t
    hits = peeks = 0
    for a, b in studies(count, at[-1], np.random.default_rng(seed + 1), ratio=ratio):
        p = [run(a[:n], b[:n]).p for n in at]
        hits += any(rule.decide(n, value).significant for n, value in zip(at, p, strict=True) if n in rule.looks)
        peeks += min(p) <= 0.05
    return hits / count, peeks / count
