"""Error rates of ways to choose n that are no rule: growing an arm after a look, and planning n from a pilot.

Both are simulated, from normal scores with equal stds, always with the same numbers: the same path gives the same
rate. Correlation over seeds leaves the paired test's rate as it is and lowers that of Welch's.
"""

from functools import lru_cache

import numpy as np
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.samples import Floats
from nlcse_tune.stats.sequential import ALPHA, more_scores, null_p_values

SIMULATIONS = 100_000  # a rate of 8% has a standard error of 0.1%
_MOST = 1_000  # seeds that a plan from a pilot may ask for


@lru_cache(maxsize=64)
def looking_error(at: tuple[int, ...], *, paired: bool, alpha: float = ALPHA) -> float:
    """How often equal methods come out as different when p <= alpha is taken at the first of the looks that has it."""
    [p] = null_p_values(at, np.random.default_rng(0), SIMULATIONS, None if paired else (1.0,))
    return float((p <= alpha).any(axis=1).mean())


@lru_cache(maxsize=64)
def pilot_error(pilot: int, gap: float, stds: tuple[float, ...], *, power: float = 0.8, alpha: float = ALPHA) -> float:
    """How often equal methods come out as different when a pilot's stds set n and the pilot's seeds are part of it.

    `stds` are the true ones, of two arms (Welch) or of the differences (paired); n is what finds `gap` with chance
    `power` by the pilot's own stds. A pilot with a small std is followed by few seeds, and so keeps its weight.
    """
    if pilot < 2:
        raise DataError(f"pilot: needs at least 2 seeds, got {pilot}")
    rng = np.random.default_rng(0)
    nothing = np.zeros(SIMULATIONS)
    scores = [more_scores(nothing, nothing, 0, np.full(SIMULATIONS, pilot), rng) for _ in stds]
    seen = np.sqrt(sum(std**2 * ss for std, (_, ss) in zip(stds, scores, strict=True)) / (pilot - 1) / len(stds))
    n = np.maximum(_planned(gap / seen, len(stds), power, alpha), pilot)
    scores = [more_scores(mean, ss, pilot, n - pilot, rng) for mean, ss in scores]
    means = [std * mean for std, (mean, _) in zip(stds, scores, strict=True)]
    variances = [std**2 * ss / (n - 1) / n for std, (_, ss) in zip(stds, scores, strict=True)]
    error = sum(variances)
    df = (n - 1) * error**2 / sum(variance**2 for variance in variances)
    t = (means[0] - sum(means[1:])) / np.sqrt(error)
    return float((2 * special.stdtr(df, -np.abs(t)) <= alpha).mean())


def _planned(effect: Floats, arms: int, power: float, alpha: float) -> np.ndarray:
    """Seeds for gaps (M,) in stds: the textbook's formula for t-tests, near enough to what `seeds_needed` counts."""
    sizes = np.arange(2, _MOST + 1)
    df = arms * (sizes - 1)
    found = (special.stdtrit(df, 1 - alpha / 2) + special.stdtrit(df, power)) * np.sqrt(arms / sizes)
    return 2 + np.minimum(np.searchsorted(-found, -effect), sizes.size - 1)
