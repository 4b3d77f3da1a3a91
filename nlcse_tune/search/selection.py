"""Which configuration wins, once luck is taken into account.

The best of 54 runs with one seed each is partly the luckiest: with 0.4 points between seeds it lies about 2.2
standard deviations above its own mean. So the top few are repeated with further seeds, in rounds, and the winner is
the best *mean*.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
FIRST = 6  # configurations that get a second seed; each later round repeats half as many, at least two


@dataclass(frozen=True)
class Standing:
    """One configuration's dev scores, the search's seed first."""

    scores: tuple[float, ...]

    @property
    def mean(self) -> float:
        return sum(self.scores) / len(self.scores)

    @property
    def fresh(self) -> float:
        """The mean over the seeds that it was not picked by; NaN where there is none."""
        return sum(self.scores[1:]) / len(self.scores[1:]) if len(self.scores) > 1 else math.nan


def rounds(points: int, seeds: int) -> list[int]:
    """How many of so many configurations each further seed repeats at most: 6, then 3 for three seeds."""
    return [min(points, max(2, math.ceil(FIRST / 2 ** (i - 1)))) for i in range(1, seeds)]


def repeat(
    first: Mapping[Key, float], seeds: int, run: Callable[[Sequence[Key], int], Mapping[Key, float]]
) -> dict[Key, Standing]:
    """Repeats the leaders of `first` until some have `seeds` scores; all that were repeated, best first.

    `run(keys, i)` gives the scores of the i-th further seed (from 1); a key that it leaves out (its run failed)
    is out of the race. Order: number of seeds, then mean. Empty where every repetition failed.
    """
    standings = {key: Standing((score,)) for key, score in first.items()}
    racing = list(standings)
    for i, size in enumerate(rounds(len(first), seeds), start=1):
        racing = sorted(racing, key=lambda key: -standings[key].mean)[:size]
        scores = run(racing, i) if racing else {}
        racing = [key for key in racing if key in scores]
        for key in racing:
            standings[key] = Standing((*standings[key].scores, scores[key]))
    repeated = {key: standing for key, standing in standings.items() if len(standing.scores) > 1 or seeds == 1}
    return dict(sorted(repeated.items(), key=lambda item: (-len(item[1].scores), -item[1].mean)))
