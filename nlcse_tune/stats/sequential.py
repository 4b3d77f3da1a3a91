"""Adding seeds in rounds without raising the error rate: group-sequential bounds for t-tests.

Looking after every round and stopping at the first p < 0.05 finds a difference between equal methods in far more than
5% of studies. A `StoppingRule` fixes beforehand at which n one looks and how small p must be at each look, so that
the chance of ever rejecting a true null hypothesis stays at alpha.

The alpha is handed out over the looks by a spending function of n / max n (Lan and DeMets, 1983; the shape is
O'Brien and Fleming's). Textbook bounds come from the normal distribution and are too lenient for t statistics on few
seeds; here they are calibrated by simulating the t-test's own p-values at all looks together, from normal scores.

    M simulated studies, L looks
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import special

from nlcse_tune.errors import ConfigError
from nlcse_tune.stats.samples import Floats

ALPHA = 0.05
LEAST_BOUND = 1e-5  # a look that asks for a smaller p could stop no study; that few of the simulations show no bound
# Ratios of the arms' stds for which Welch's bounds are calibrated; the strictest bound holds.
WELCH_RATIOS = (1.0, 2.0, 3.0, 4.5, 7.0, 1e6)


@dataclass(frozen=True)
class Decision:
    """What the rule says after a look. `bound` is what p had to fall to; `next_n` is None when the rule has ended.

    `confidence` is that of the interval to report at this look (a repeated confidence interval): an ordinary 95%
    interval taken at a stop does not hold its 95%.
    """

    n: int
    p: float
    bound: float
    significant: bool
    next_n: int | None
    confidence: float

    @property
    def stop(self) -> bool:
        return self.significant or self.next_n is None


@dataclass(frozen=True)
class StoppingRule:
    """The looks (seeds per arm), the p each must fall to, the level of the whole. Write it down before the first."""

    test: Literal["welch", "paired"]
    spending: Literal["obrien-fleming"]
    alpha: float
    looks: tuple[int, ...]
    bounds: tuple[float, ...]
    skipped: tuple[int, ...] = ()  # looks that were asked for and could not have stopped

    def decide(self, n: int, p: float) -> Decision:
        """Whether to stop after n seeds per arm with this p from the rule's test.

        Valid only if every earlier look was taken with the same rule and said to go on, and no seed was dropped or
        replaced because of its score. ConfigError for an n that is not one of the rule's looks.
        """
        if n not in self.looks:
            raise ConfigError(
                f"n={n}: the stopping rule looks at {', '.join(map(str, self.looks))} seeds and at no other number; "
                "run the missing seeds first"
            )
        i = self.looks.index(n)
        significant = p <= self.bounds[i]
        following = self.looks[i + 1] if i + 1 < len(self.looks) and not significant else None
        return Decision(n, p, self.bounds[i], significant, following, 1 - self.bounds[i])


def looks(first: int, maximum: int) -> tuple[int, ...]:
    """The numbers of seeds at which to look: from `first` in steps of about a fifth of the way up to `maximum`."""
    if not 2 <= first <= maximum:
        raise ConfigError(f"--until-decided: needs 2 <= first look <= maximum, got first {first} and maximum {maximum}")
    return (*range(first, maximum, max(1, math.ceil((maximum - first) / 5))), maximum)


def stopping_rule(
    at: Sequence[int], rng: Generator, *, paired: bool = False, alpha: float = ALPHA, simulations: int = 400_000
) -> StoppingRule:
    """The rule for looks at `at` seeds per arm with Welch's or the paired test, error rate `alpha` over all of them.

    Assumes independent seeds and normal scores (paired: normal differences), equal n in both arms at each look. It
    asks for very small p early and for close to `alpha` at the end. Welch's bounds are the strictest of those for
    WELCH_RATIOS of the arms' stds. Looks that could not stop are left out, and their share of alpha passed on.
    """
    if len(at) < 1 or at[0] < 2 or any(a >= b for a, b in pairwise(at)):
        raise ConfigError(f"looks: must be rising numbers of seeds from 2 on, got {list(at)}")
    noise = 2 * math.sqrt(alpha * (1 - alpha) / simulations)  # kept back, so that simulation noise cannot cost alpha
    z = float(special.ndtri(1 - (alpha - noise) / 2))
    spent = 2 * special.ndtr(-z / np.sqrt(np.asarray(at) / at[-1]))  # of alpha, when n / max n of the seeds are in
    simulated = null_p_values(at, rng, simulations, None if paired else WELCH_RATIOS)
    bounds = np.min([_calibrate(p, np.diff(spent, prepend=0.0)) for p in simulated], axis=0)
    begin = int(np.argmax(bounds > 0))
    if paired:
        bounds[begin] = spent[begin]  # an exact test's p is uniform: the first bound needs no simulation
    kept, skipped = tuple(at[begin:]), tuple(at[:begin])
    test: Literal["welch", "paired"] = "paired" if paired else "welch"
    return StoppingRule(test, "obrien-fleming", alpha, kept, tuple(bounds[begin:].tolist()), skipped)


def _calibrate(p: Floats, spend: Floats) -> Floats:
    """For each look the largest bound at which simulated null studies, p (M, L), spend no more than their share.

    A share that is spent in vain (p-values are never that small) is passed on to the next look; so is one that is
    too small for a bound, which is then 0.
    """
    alive, bounds, due = np.ones(len(p), dtype=bool), [], 0.0
    for look, share in enumerate(spend):
        due += share * len(p)
        candidates = np.sort(p[alive, look])
        hits = int(due)
        bound = float(candidates[hits - 1]) if 0 < hits <= candidates.size else 0.0
        bound = bound if bound >= LEAST_BOUND else 0.0
        stopped = alive & (p[:, look] <= bound)
        due -= stopped.sum()
        alive &= ~stopped
        bounds.append(bound)
    return np.asarray(bounds)


def null_p_values(at: Sequence[int], rng: Generator, simulations: int, ratios: Sequence[float] | None) -> list[Floats]:
    """p-values (M, L) at each look in studies of equal methods with normal scores: Welch's for each ratio of stds.

    Stds are `ratio` (method) and 1 (baseline); no `ratios`: the paired test's, on differences of std 1. The scores
    themselves are never drawn, only each round's mean and sum of squares.
    """
    n = np.asarray(at, dtype=np.float64)
    mean_a, ss_a = _running_moments(at, rng, simulations)
    mean_b, ss_b = _running_moments(at, rng, simulations) if ratios else (0.0, 0.0)
    p = []
    for ratio in ratios or (1.0,):
        va, vb = ratio**2 * ss_a / (n - 1) / n, ss_b / (n - 1) / n
        df = (n - 1) * (va + vb) ** 2 / (va**2 + vb**2) if ratios else n - 1
        t = (ratio * mean_a - mean_b) / np.sqrt(va + vb)
        p.append(np.asarray(2 * special.stdtr(df, -np.abs(t))))
    return p


def more_scores(mean: Floats, ss: Floats, n: int, more: NDArray[np.int64], rng: Generator) -> tuple[Floats, Floats]:
    """Mean and centred sum of squares (M,) of n standard normal scores, joined by `more` (M,) of them, 0 or above."""
    new_mean = rng.standard_normal(mean.size) / np.sqrt(np.maximum(more, 1))
    new_ss = 2 * rng.standard_gamma(np.maximum(more - 1, 0) / 2)
    joined = ss + new_ss + (new_mean - mean) ** 2 * (n * more / (n + more))
    return (n * mean + more * new_mean) / (n + more), joined


def _running_moments(at: Sequence[int], rng: Generator, simulations: int) -> tuple[Floats, Floats]:
    """Mean and centred sum of squares (M, L) of the first `at` standard normal scores, joined round by round."""
    mean, ss, n = np.zeros(simulations), np.zeros(simulations), 0
    means, squares = [], []
    for total in at:
        mean, ss = more_scores(mean, ss, n, np.full(simulations, total - n), rng)
        n = total
        means.append(mean)
        squares.append(ss)
    return np.stack(means, axis=1), np.stack(squares, axis=1)
