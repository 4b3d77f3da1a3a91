"""What one STS task came to, as test records and evaluations have it."""

from typing import NamedTuple

from nlcse_tune.config import Frozen


class SubsetScore(NamedTuple):
    """One sub-set of an STS task; in a file, a list of the three."""

    spearman: float
    pearson: float
    pairs: int


class TaskScore(Frozen):
    """One STS task: Spearman and Pearson x 100, and of each sub-set by its name."""

    all: float
    mean: float
    wmean: float
    pearson: float
    pairs: int
    subsets: dict[str, SubsetScore] = {}
