"""Equivalence: whether a gap is shown to be smaller than a margin, whichever arm is ahead.

Two one-sided t-tests (Schuirmann, 1987), for any of the t-tests. A p above 0.05 says that no difference was found; a
small p here says that there is none as large as the margin. The margin is in points, and must be chosen for what it
means, before the scores are seen.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from nlcse_tune.errors import DataError
from nlcse_tune.stats.power import power_parts
from nlcse_tune.stats.samples import Floats
from nlcse_tune.stats.tests import TestResult

_NODES = 512  # equally likely values of a chi-squared variable; 2,048 give the same power to 1e-3


@dataclass(frozen=True)
class Equivalence:
    """`p` is the larger of two one-sided p; p <= alpha where the 1 - 2 alpha interval lies within the margin."""

    margin: float
    p: float


def equivalence(t: TestResult, margin: float) -> Equivalence:
    """Whether the gap of a t-test lies less than `margin` away from 0. Assumes what the t-test assumes."""
    if t.error is None or t.df is None:
        raise DataError(f"{t.test}: no t-test, and equivalence is shown by two of them")
    if not margin > 0:
        raise DataError(f"margin: must be above 0 points, got {margin:g}")
    return Equivalence(margin, float(special.stdtr(t.df, (abs(t.gap) - margin) / t.error)))


def power_equivalence(
    gap: float, n: int, *, margin: float, stds: tuple[float, ...], alpha: float = 0.05, n_baseline: int | None = None
) -> float:
    """Chance that n seeds per arm show a true `gap` to be within `margin`: Welch's tests, or paired ones for one std.

    `stds` are the two arms', or that of the differences alone. Independent seeds, normal scores.
    """
    parts = power_parts(n, n if n_baseline is None else n_baseline, stds, 1 - alpha)
    if parts is None:
        return 0.0
    spread = np.sqrt(_chi_squared(parts.nu) / parts.nu)
    needed = parts.critical[:, None] * spread  # standard errors by which the gap must stay inside the margin
    upper, lower = (margin - gap) / parts.error - needed, (margin + gap) / parts.error - needed
    shown = np.maximum(0.0, special.ndtr(upper) - special.ndtr(-lower))
    return float(shown.mean(axis=1) @ parts.weight)


@lru_cache(maxsize=256)
def _chi_squared(df: int) -> Floats:
    """Equally likely values of a chi-squared variable."""
    return np.asarray(special.chdtri(df, 1 - (np.arange(_NODES) + 0.5) / _NODES), dtype=np.float64)
