"""Early stopping: whether a run is worth going on with, from its dev curve and those of the others.

Pure functions of curves, and curves are in the records: after a restart the rules know all that they knew, and a
stopped run's record says where it stood. Tune's own schedulers keep their rungs in memory, and say only "stop";
Optuna's pruners were tried in their place (LOG.md, "Optuna's pruners").

Curves compare at the same *share* of a run, not at the same step: a batch of 256 takes a quarter of the steps that
one of 64 does, and learning rates fall to zero over a run.
"""

import math
from collections.abc import Callable, Sequence
from itertools import accumulate, count, takewhile
from statistics import median

from nlcse_tune.names import SchedulerName
from nlcse_tune.records import RunRecord

Curve = tuple[tuple[float, float], ...]  # (share of the run done, best dev score so far), shares rising from 0 to 1

GRACE = 0.25  # no run is stopped before this share of it
FACTOR = 3  # ASHA lets the best third of a rung go on
TOO_LATE = 0.9  # nor after this one: coarse curves cross a rung late, and the rest costs little
MEDIAN_NEEDS = 4  # curves to compare with before the median says anything


def asha(own: Curve, others: Sequence[Curve], grace: float = GRACE) -> str | None:
    """Why the run with curve `own`, which has just got a new point, should stop; None to go on.

    Asynchronous successive halving (Li et al. 2020), in its stopping form. At shares `grace`, `grace * FACTOR`, ... a
    run is ranked once among all that came there; it goes on if it is in the best 1/FACTOR of them, rounded up. The
    first to arrive always goes on.
    """
    before = own[-2][0] if len(own) > 1 else 0.0
    for rung in rungs(grace):
        score = score_at(own, rung)
        if score is None or _reached(before, rung) or own[-1][0] >= TOO_LATE:  # ranked when it crosses the rung
            continue
        arrived = [s for s in (score_at(curve, rung) for curve in others) if s is not None]
        rank, among = 1 + sum(s > score for s in arrived), 1 + len(arrived)
        if rank > (best := math.ceil(among / FACTOR)):
            return f"asha at {rung:.0%} of the run: dev {score:.2f} is number {rank} of {among} there, {best} go on"
    return None


def rungs(grace: float) -> tuple[float, ...]:
    """The shares of a run at which ASHA compares."""
    return tuple(takewhile(lambda share: share < 1, (grace * FACTOR**i for i in count())))


def below_median(own: Curve, others: Sequence[Curve], grace: float = GRACE) -> str | None:
    """As `asha`, by the median rule (Golovin et al. 2017): below the median of the others at the same share, stop."""
    share, score = own[-1]
    there = [s for s in (score_at(curve, share) for curve in others) if s is not None]
    if not grace <= share < TOO_LATE or len(there) < MEDIAN_NEEDS or score >= (middle := median(there)):
        return None
    return f"median at {share:.0%} of the run: dev {score:.2f} is below {middle:.2f}, the median of {len(there)}"


Rule = Callable[[Curve, Sequence[Curve], float], str | None]
RULES: dict[SchedulerName, Rule] = {"none": lambda own, others, grace: None, "asha": asha, "median": below_median}


def curve_of(record: RunRecord) -> Curve:
    """A record's dev scores, best so far, by share of the run."""
    total = record.total_steps or record.steps
    best = accumulate((point.score for point in record.dev_curve), max)
    return tuple((point.step / total, score) for point, score in zip(record.dev_curve, best, strict=True))


def score_at(curve: Curve, share: float) -> float | None:
    """The best score so far at the first point from `share` on; None where the curve does not reach it."""
    return next((score for at, score in curve if _reached(at, share)), None)


def _reached(at: float, share: float) -> bool:
    return at >= share - 1e-9
