"""Scores of several seeds, as values or as (mean, std, n)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.errors import DataError

Floats = NDArray[np.float64]
Values = Sequence[float] | NDArray[Any]
CONFIDENCE = 0.95  # of every interval that does not say otherwise
ROUNDING = 1e-9  # of the scores' own size: a smaller spread is what adding floating-point numbers leaves


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (ddof 1) and number of seeds. One seed has no std: it is None, never 0."""

    mean: float
    std: float | None
    n: int

    def __post_init__(self) -> None:
        if self.n < 1:
            raise DataError(f"n: must be at least 1, got {self.n}")
        if not math.isfinite(self.mean):
            raise DataError(f"mean: must be a finite number, got {self.mean}")
        if (self.std is None) != (self.n == 1):
            raise DataError(f"std: exists from n=2 on and only then, got std={self.std} with n={self.n}")
        if self.std is not None and not (math.isfinite(self.std) and self.std >= 0):
            raise DataError(f"std: must be a finite number of at least 0, got {self.std}")

    @property
    def sem(self) -> float | None:
        """Standard error of the mean, std / sqrt(n); None for one seed."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    @property
    def variance(self) -> float:
        """Sample variance; DataError for one seed, from which no spread can be told."""
        if self.std is None:
            raise DataError("n=1: a spread, and so a test or an interval, needs at least 2 seeds; run more seeds")
        return self.std**2


Sample = Summary | Values


def as_values(values: Values) -> Floats:
    """`values` as a float vector; DataError unless one-dimensional, not empty and finite."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"values: must be a list of at least 1 number, got shape {array.shape}")
    if (strange := array[~np.isfinite(array)]).size:
        raise DataError(f"values: must be finite numbers, got {strange[0]}; leave missing scores out")
    return array


def as_pairs(method: Values, baseline: Values) -> Floats:
    """Differences method - baseline of scores that share a seed, position by position; equal ones to the last bit."""
    a, b = as_values(method), as_values(baseline)
    if a.size != b.size:
        raise DataError(f"paired scores: need the same seeds in both arms, got {a.size} and {b.size} values")
    return _without_rounding(a - b, max(float(np.abs(a).max()), float(np.abs(b).max())))


def _without_rounding(array: Floats, size: float) -> Floats:
    """Values that differ by rounding alone, in numbers of this size, made equal: that is no spread to test with."""
    return np.full_like(array, array[0]) if np.ptp(array) <= ROUNDING * size else array


def summarise(values: Sample) -> Summary:
    """Mean, sample std (ddof 1) and n of a list of scores; a Summary is returned as it is."""
    if isinstance(values, Summary):
        return values
    array = as_values(values)
    array = _without_rounding(array, float(np.abs(array).max()))
    if np.ptp(array) == 0:  # a std of equal values is rounding noise too
        return Summary(float(array[0]), 0.0 if array.size > 1 else None, array.size)
    return Summary(float(array.mean()), float(array.std(ddof=1)), array.size)


def correlation(method: Values, baseline: Values) -> float | None:
    """Pearson correlation of both arms over shared seeds; None where an arm does not vary or n < 3.

    A paired test gains over an unpaired one only where this is clearly positive. With 5 seeds the estimate is loose:
    its 95% interval spans more than 1 unit around 0.
    """
    a, b = as_values(method), as_values(baseline)
    if as_pairs(a, b).size < 3 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])
