"""How many seeds find a gap, and which gap so many seeds can find: the noncentral t.

All of it assumes independent seeds, normal scores and *known* standard deviations. A std taken from 3 or 5 seeds is a
rough guess (`std_interval`), so the number of seeds is one too: plan with the upper end as well.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.intervals import noncentral_t_cdf
from nlcse_tune.stats.samples import Floats

MAX_SEEDS = 1_000_000
_NODES = 48  # of the quadrature; 32 and 96 give the same power to 1e-4
PowerOf = Callable[[float, int], float]  # (true gap, seeds per arm) -> the chance of finding it


def power_unpaired(
    gap: float, n: int, *, stds: tuple[float, float], alpha: float = 0.05, n_baseline: int | None = None
) -> float:
    """Chance that Welch's test over n seeds per arm (unpaired) finds a true `gap` at level alpha, two-sided.

    `stds` are the method's and the baseline's. Exact under normal scores, equal stds or not. The usual formula, a
    noncentral t at the true degrees of freedom, promises too much for few seeds (0.86 where 0.54 is true, at n = 2):
    Welch's test must estimate those degrees. The share of the method in the sample variances is Beta-distributed;
    given it, the statistic is a noncentral t.
    """
    return _power(gap, power_parts(n, n if n_baseline is None else n_baseline, stds, 1 - alpha / 2))


@dataclass(frozen=True)
class PowerParts:
    """What decides a t-test of given design before its data: Q points of quadrature over how uneven the arms' sample
    variances are (one where there is nothing uneven), the critical value there, and what all of them share."""

    critical: Floats  # (Q,) in units of the pooled estimate of `error`
    weight: Floats  # (Q,)
    nu: int  # degrees of freedom of that estimate
    error: float  # the true standard error of the gap


def power_parts(n: int, m: int, stds: tuple[float, ...], quantile: float) -> PowerParts | None:
    """The parts for Welch's test (two stds) or the paired one (that of the differences); None below two seeds."""
    if min(n, m) < 2:
        return None
    if len(stds) == 1:
        critical = np.asarray([special.stdtrit(n - 1, quantile)], dtype=np.float64)
        return PowerParts(critical, np.ones(1), n - 1, _positive(stds[0]) / math.sqrt(n))
    va, vb = _positive(stds[0]) ** 2 / n, _positive(stds[1]) ** 2 / m
    share, weight = _beta_nodes(n - 1, m - 1)
    nu = n + m - 2
    sa, sb = va * share * nu / (n - 1), vb * (1 - share) * nu / (m - 1)  # sampled variances, up to a common factor
    df = (sa + sb) ** 2 / (sa**2 / (n - 1) + sb**2 / (m - 1))
    critical = np.asarray(special.stdtrit(df, quantile), dtype=np.float64) * np.sqrt((sa + sb) / (va + vb))
    return PowerParts(critical, weight, nu, math.sqrt(va + vb))


def _power(gap: float, parts: PowerParts | None) -> float:
    if parts is None:
        return 0.0
    return min(1.0, float(_beyond(parts.critical, parts.nu, gap / parts.error) @ parts.weight))


@lru_cache(maxsize=256)
def _beta_nodes(a: int, b: int) -> tuple[Floats, Floats]:
    """Points and weights of Gauss's quadrature over a Beta(a / 2, b / 2) variable."""
    x, weight = special.roots_jacobi(_NODES, b / 2 - 1, a / 2 - 1)
    return np.asarray((x + 1) / 2), np.asarray(weight / weight.sum())


def power_paired(gap: float, n: int, *, std_difference: float, alpha: float = 0.05) -> float:
    """Chance that a paired t-test over n shared seeds finds a true `gap`. Exact under normal differences."""
    return _power(gap, power_parts(n, n, (std_difference,), 1 - alpha / 2))


def _beyond(critical: Floats, df: float, noncentrality: float) -> Floats:
    """P(|T| > critical) of the noncentral t."""
    upper = 1 - noncentral_t_cdf(critical, df, abs(noncentrality))
    return np.minimum(1.0, upper + noncentral_t_cdf(-critical, df, abs(noncentrality)))


def _positive(std: float) -> float:
    if not std > 0:
        raise DataError(f"std: must be above 0, got {std}: scores that do not vary need no planning")
    return std


def seeds_needed(power_of: PowerOf, gap: float, *, power: float = 0.8) -> int | None:
    """Seeds per arm that find a true `gap` with chance `power`; None where MAX_SEEDS do not, as for a gap of 0."""
    high = 2
    while power_of(gap, high) < power:
        high *= 2
        if high > MAX_SEEDS:
            return None
    between = range(high // 2 + 1, high)  # the former `high` was too low
    return high // 2 + 1 + bisect_left(between, True, key=lambda n: power_of(gap, n) >= power)


def detectable_gap(power_of: PowerOf, n: int, *, power: float = 0.8) -> float:
    """The smallest true gap that n seeds per arm find with chance `power`."""
    if n < 2:
        raise DataError(f"n={n}: one seed detects no gap at any size; run at least 2 seeds")
    low, high = 0.0, 1.0
    while power_of(high, n) < power:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(middle, n) >= power else (middle, high)
    return high
