"""Whether what was measured here agrees with what the paper prints: equivalence within a margin, not a star."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from nlcse_tune import stats
from nlcse_tune.errors import DataError

Outcome = Literal["agrees", "differs", "undecided"]
LEVEL = 0.05  # of each of the two one-sided tests, and of a difference


@dataclass(frozen=True)
class Agreement:
    """Our mean against a printed number. `low` and `high`: the gap's 1 - 2 LEVEL interval, which equivalence goes by.

    A number over several seeds stands with its own spread (Welch). A number of one run is taken as printed for
    equivalence: its own luck is not in it. For a difference it is one more draw: it must lie outside the range that
    one more seed of ours falls into.
    """

    gap: float
    low: float
    high: float
    margin: float
    p_equivalent: float
    different: bool

    @property
    def outcome(self) -> Outcome:
        """A small difference within the margin is agreement all the same."""
        if self.p_equivalent <= LEVEL:
            return "agrees"
        return "differs" if self.different else "undecided"


def agreement(ours: Sequence[float], printed: float, std: float | None, n: int, margin: float) -> Agreement:
    """Compares scores by seed with a printed mean (± std over n seeds; None: one run). DataError below two seeds."""
    if len(ours) < 2:
        raise DataError(f"{len(ours)} seeds; a comparison needs 2")
    mine = stats.summarise(list(ours))
    if not mine.std:
        raise DataError("the scores do not vary from seed to seed")
    if std is None:
        t = stats.paired_t(list(ours), [printed] * len(ours))
        half = (stats.mean_interval(mine).high - mine.mean) * (mine.n + 1) ** 0.5  # of one more seed
        different = abs(t.gap) > half
    else:
        t = stats.welch_t(mine, stats.Summary(printed, std, n))
        different = t.p <= LEVEL
    interval = stats.t_interval(t, 1 - 2 * LEVEL)
    equal = stats.equivalence(t, margin).p
    return Agreement(t.gap, interval.low, interval.high, margin, equal, different)
