"""Columns, and how their numbers are written: absent is a dash, a p-value is never 0.0000."""

from collections.abc import Collection
from itertools import groupby
from typing import Literal

from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.errors import plural as plural  # of numbers too, to whoever words a report
from nlcse_tune.names import TestName

Column = str  # a task, or AVERAGE
AVERAGE: Literal["avg"] = "avg"
DASH = "-"
WIDEST = 12  # columns of tasks that a table has at most
TASK_LABELS: dict[str, str] = {**{task: task.upper() for task in STS_TASKS}, "stsb": "STS-B", "sickr": "SICK-R"}
TEST_LABELS: dict[TestName, str] = {
    "welch": "Welch's t-test",
    "student": "Student's t-test (pooled variance)",
    "paired": "the paired t-test over shared seeds",
    "permutation": "the two-sample permutation test of means",
    "signflip": "the sign-flip test over shared seeds",
    "wilcoxon": "Wilcoxon's signed-rank test over shared seeds",
}


def column_label(column: Column, tasks: int) -> str:
    """`Avg.` is the seven tasks' average; of fewer tasks the label says how many."""
    if column == AVERAGE:
        return "Avg." if tasks == len(STS_TASKS) else f"Avg. of {tasks}"
    return TASK_LABELS.get(column, column)


def p_value(p: float | None) -> str:
    """Four decimals; `< 0.0001` below, never 0.0000."""
    if p is None:
        return DASH
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def p_equals(p: float) -> str:
    """`p = 0.0354` or `p < 0.0001`, for sentences."""
    return f"p {'' if p < 0.0001 else '= '}{p_value(p)}"


def mean_std(summary: stats.Summary, digits: int = 2) -> str:
    """`76.96 ± 0.38`; one seed has no std and shows none."""
    std = "" if summary.std is None else f" ± {summary.std:.{digits}f}"
    return f"{summary.mean:.{digits}f}{std}"


def percent(share: float) -> str:
    """`5%`, `2.5%`."""
    return f"{100 * share:g}%"


def signed(value: float, digits: int = 2) -> str:
    """`+1.22`, `-0.31`; a value that rounds to nothing has no sign."""
    return f"{0:.{digits}f}" if abs(value) < 0.5 * 10**-digits else f"{value:+.{digits}f}"


def signed_range(low: float, high: float, margin: float | None = None) -> str:
    """`-0.10 to +2.31`, for sentences; with more decimals where an end would be rounded to the margin."""
    ends = [] if margin is None else [(abs(end), margin) for end in (low, high)]
    digits = next((d for d in range(2, 6) if all(f"{end:.{d}f}" != f"{at:.{d}f}" for end, at in ends)), 2)
    return f"{signed(low, digits)} to {signed(high, digits)}"


def bounds(interval: stats.Interval | stats.Effect | stats.Probability | None) -> str:
    """`-0.10 to 2.31`, for tables; never -0.00."""
    return DASH if interval is None else f"{interval.low:z.2f} to {interval.high:z.2f}"


def seed_list(seeds: Collection[int]) -> str:
    """`1-5, 9`: runs of at least three become ranges."""
    runs = [[seed for _, seed in run] for _, run in groupby(enumerate(sorted(seeds)), lambda item: item[1] - item[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs) or "none"


def named_seeds(seeds: Collection[int]) -> str:
    """`seed 9`, `seeds 1-5`."""
    return f"seed{'' if len(seeds) == 1 else 's'} {seed_list(seeds)}"


def seeds_per_arm(n: int, n_baseline: int, *, paired: bool) -> str:
    """`5 seeds per arm`, `5 and 3 seeds`, `5 shared seeds`."""
    if paired:
        return plural(n, "shared seed")
    return f"{plural(n, 'seed')} per arm" if n == n_baseline else f"{n} and {n_baseline} seeds"


def test_over(test: TestName, seeds: str) -> str:
    """`Welch's t-test, 5 seeds per arm`, `the paired t-test over 5 shared seeds`."""
    head = TEST_LABELS[test].removesuffix("shared seeds")
    return f"{head}{seeds}" if head != TEST_LABELS[test] else f"{head}, {seeds}"
