"""`plan`: from a few seeds, how many more a stated gap takes, and how many hours."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.report.arms import AVERAGE, Arm
from nlcse_tune.report.comparison import check_comparable
from nlcse_tune.report.numbers import plural

GAPS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class Spread:
    """Std over seeds of both sides and of their differences (None below two shared seeds), and what it is a std of."""

    method: stats.Summary
    baseline: stats.Summary
    difference: stats.Summary | None
    source: str
    borrowed: bool  # the baseline has too few seeds, so the method's std stands in for it


@dataclass(frozen=True)
class Row:
    """One gap: seeds a side by the stds as seen, and by their upper 80% bounds; None where far too many."""

    gap: float
    unpaired: int | None
    unpaired_upper: int | None
    paired: int | None


def spread(method: Arm, baseline: Arm | None, tasks: tuple[StsTask, ...], *, any_version: bool = False) -> Spread:
    """The stds to plan with, of the test average; DataError where the method has fewer than two tested seeds."""
    a = method.scores(AVERAGE, tasks)
    b = baseline.scores(AVERAGE, tasks) if baseline else {}
    if len(a) < 2:
        raise DataError(
            f"{method.name}: a plan needs the scores of at least 2 seeds, got {len(a)}: run `nlcse-tune seeds "
            f"{method.name} --n 3`"
        )
    if baseline:
        check_comparable(method, baseline, any_version=any_version)
    shared = sorted(a.keys() & b.keys())
    difference = stats.summarise([a[s] - b[s] for s in shared]) if len(shared) >= 2 else None
    own = stats.summarise(list(a.values()))
    other = stats.summarise(list(b.values())) if len(b) >= 2 else own
    if not own.std or not other.std:
        raise DataError(
            f"{method.name}: the scores do not vary from seed to seed, so there is nothing to plan with; run more seeds"
        )
    source = f"test average over {plural(len(tasks), 'task')}"
    return Spread(own, other, difference, source, borrowed=len(b) < 2)


def plan_rows(found: Spread, gaps: Sequence[float], *, power: float, alpha: float) -> list[Row]:
    """Seeds a side for each gap."""
    a, b = found.method.std or 0.0, found.baseline.std or 0.0
    upper_a, upper_b = _upper(found.method), _upper(found.baseline)
    d = found.difference.std if found.difference else None
    return [
        Row(
            gap,
            _seeds(partial(stats.seeds_unpaired, gap, a, b, power=power, alpha=alpha)),
            _seeds(partial(stats.seeds_unpaired, gap, upper_a, upper_b, power=power, alpha=alpha)),
            _seeds(partial(stats.seeds_paired, gap, d, power=power, alpha=alpha)) if d else None,
        )
        for gap in gaps
    ]


def _upper(summary: stats.Summary) -> float:
    """The std that the true one stays below with 80% confidence (one-sided)."""
    return stats.std_interval(summary, confidence=0.6).high


def _seeds(count: Callable[[], int]) -> int | None:
    try:
        return count()
    except DataError:
        return None


def seconds_per_run(arm: Arm) -> float | None:
    """Mean worker seconds of a run (on GPUs: GPU seconds); None where no record has timings."""
    found = [run.record.timings.total * run.record.workers for run in arm.runs if run.record.timings]
    return sum(found) / len(found) if found else None


def hours(arms: Sequence[Arm], seeds: int) -> tuple[float, float] | None:
    """(worker hours for `seeds` seeds of every arm, those still to run); None where nothing has timings."""
    each = [(seconds_per_run(arm), len(arm.runs)) for arm in arms]
    known = [(s, done) for s, done in each if s is not None]
    if not known:
        return None
    typical = sum(s for s, _ in known) / len(known)  # for an arm that has no run yet
    total = sum((s if s is not None else typical) * seeds for s, _ in each)
    left = sum((s if s is not None else typical) * max(seeds - done, 0) for s, done in each)
    return total / 3600, left / 3600


def plan_words(found: Spread, *, power: float, alpha: float) -> Iterator[str]:
    """What the numbers of a plan assume."""
    a = found.method
    interval = stats.std_interval(a)
    yield (
        f"std over seeds of the {found.source}: {a.std:.2f} (n = {a.n}, 95% interval {interval.low:.2f} to "
        f"{interval.high:.2f}), baseline {found.baseline.std:.2f} (n = {found.baseline.n})"
    )
    if found.borrowed:
        yield "the baseline has fewer than 2 tested seeds: the method's std stands in for its own"
    yield (
        f"seeds a side for power {power:.0%} at level {alpha:g}, two-sided, normal scores; `cautious` uses the std "
        "that the true one stays below with 80% confidence"
    )
    yield (
        "the gap must come from what matters to you, not from the gap these seeds show. If n is fixed from this "
        "table and the test is "
        "run once at that n, its error rate stays close to the level; to look in between, use `nlcse-tune seeds "
        "--until-decided`"
    )


def unit(arms: Sequence[Arm]) -> str:
    """What `hours` counts: GPU time where all runs were on GPUs, else the workers'."""
    devices = {run.record.versions.device for arm in arms for run in arm.runs}
    return "worker time" if any(device.startswith("cpu") for device in devices) else "GPU time"
