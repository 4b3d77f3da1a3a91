"""Early stopping: whether a run is worth going on with, from its dev curve and those of the others.

Pure functions of curves, and curves are in the records: after a restart the rules know all that they knew, and a
stopped run's record says where it stood. Tune's own schedulers keep their rungs in memory, and say only "stop".

Curves compare at the same *share* of a run, not at the same step: a batch of 256 takes a quarter of the steps that
one of 64 does, and learning rates fall to zero over a run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol

from nlcse_tune.names import SchedulerName
from nlcse_tune.records import RunRecord

Curve = tuple[tuple[float, float], ...]  # (share of the run done, best dev score so far), shares rising from 0 to 1

GRACE = 0.25  # no run is stopped before this share of it
FACTOR = 3  # ASHA lets the best third of a rung go on
TOO_LATE = 0.9  # nor after this one: coarse curves cross a rung late, and the rest costs little
MEDIAN_NEEDS = 4  # curves to compare with before the median says anything


class Rule(Protocol):
    """Says whether to stop."""

    def judge(self, own: Curve, others: Sequence[Curve]) -> str | None:
        """Why the run with curve `own`, which has just got a new point, should stop; None to go on."""


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving (Li et al. 2020), in its stopping form.

    At shares `grace`, `grace * factor`, ... a run is ranked once among all that came there; it goes on if it is in the
    best 1/`factor` of them, rounded up. The first to arrive always goes on.
    """

    grace: float = GRACE
    factor: int = FACTOR

    def judge(self, own: Curve, others: Sequence[Curve]) -> str | None:
        if own[-1][0] >= TOO_LATE:
            return None
        for rung in self.rungs():
            if not _crossed_now(own, rung):
                continue
            score = score_at(own, rung)
            arrived = [s for s in (score_at(curve, rung) for curve in others) if s is not None]
            assert score is not None
            rank, among = 1 + sum(s > score for s in arrived), 1 + len(arrived)
            if rank > (best := math.ceil(among / self.factor)):
                return f"asha at {rung:.0%} of the run: dev {score:.2f} is number {rank} of {among} there, {best} go on"
        return None

    def rungs(self) -> tuple[float, ...]:
        """The shares at which runs are compared."""
        found, rung = [], self.grace
        while rung < 1:
            found.append(rung)
            rung *= self.factor
        return tuple(found)


@dataclass(frozen=True)
class Median:
    """The median rule (Golovin et al. 2017): below the median of the others' scores at the same share, stop."""

    grace: float = GRACE

    def judge(self, own: Curve, others: Sequence[Curve]) -> str | None:
        share, score = own[-1]
        if not self.grace <= share < TOO_LATE:
            return None
        there = [s for s in (score_at(curve, share) for curve in others) if s is not None]
        if len(there) < MEDIAN_NEEDS or score >= (middle := median(there)):
            return None
        return f"median at {share:.0%} of the run: dev {score:.2f} is below {middle:.2f}, the median of {len(there)}"


def make_rule(scheduler: SchedulerName, grace: float = GRACE) -> Rule | None:
    """The rule of that name; None for `none`."""
    if scheduler == "none":
        return None
    return Asha(grace) if scheduler == "asha" else Median(grace)


def curve_of(record: RunRecord) -> Curve:
    """A record's dev scores, best so far, by share of the run."""
    total, best, curve = record.total_steps or record.steps, -math.inf, []
    for point in record.dev_curve:
        best = max(best, point.score)
        curve.append((point.step / total, best))
    return tuple(curve)


def score_at(curve: Curve, share: float) -> float | None:
    """The best score so far at the first point from `share` on; None where the curve does not reach it."""
    return next((score for at, score in curve if at >= share - 1e-9), None)


def _crossed_now(curve: Curve, share: float) -> bool:
    """Whether the last point is the first from `share` on."""
    return bool(curve) and curve[-1][0] >= share - 1e-9 and (len(curve) == 1 or curve[-2][0] < share - 1e-9)
