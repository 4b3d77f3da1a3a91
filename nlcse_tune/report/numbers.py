"""How numbers are written: absent is a dash, a p-value is never 0.0000."""

from nlcse_tune import stats
from nlcse_tune.report.arms import AVERAGE, Column
from nlcse_tune.report.comparison import TestName

DASH = "-"
TASK_LABELS: dict[str, str] = {
    "sts12": "STS12",
    "sts13": "STS13",
    "sts14": "STS14",
    "sts15": "STS15",
    "sts16": "STS16",
    "stsb": "STS-B",
    "sickr": "SICK-R",
}
TEST_LABELS: dict[TestName, str] = {
    "welch": "Welch's t-test",
    "student": "Student's t-test (pooled variance)",
    "paired": "the paired t-test over shared seeds",
    "permutation": "the two-sample permutation test of means",
    "signflip": "the sign-flip test over shared seeds",
    "wilcoxon": "Wilcoxon's signed-rank test over shared seeds",
}


def column_label(column: Column | str, tasks: int) -> str:
    """`Avg.` is the seven tasks' average; of fewer tasks the label says how many."""
    if column == AVERAGE:
        return "Avg." if tasks == len(TASK_LABELS) else f"Avg. of {tasks}"
    return TASK_LABELS[column]


def p_value(p: float | None) -> str:
    """Four decimals; `< 0.0001` below, never 0.0000."""
    if p is None:
        return DASH
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def p_equals(p: float) -> str:
    """`p = 0.0354` or `p < 0.0001`, for sentences."""
    return f"p {p_value(p)}" if p < 0.0001 else f"p = {p_value(p)}"


def mean_std(summary: stats.Summary | None, *, separator: str = " ± ") -> str:
    """`76.96 ± 0.38`; one seed has no std and shows none."""
    if summary is None:
        return DASH
    return f"{summary.mean:.2f}" + (f"{separator}{summary.std:.2f}" if summary.std is not None else "")


def signed(value: float) -> str:
    """`+1.22`, `-0.31`; a value that rounds to nothing has no sign."""
    return "0.00" if abs(value) < 0.005 else f"{value:+.2f}"


def plain(value: float) -> str:
    """Two decimals, and never -0.00."""
    return f"{value:.2f}".replace("-0.00", "0.00")


def bounds(interval: stats.Interval | stats.Effect | stats.Probability | None) -> str:
    """`-0.10 to 2.31`."""
    return DASH if interval is None else f"{plain(interval.low)} to {plain(interval.high)}"


def seed_list(seeds: tuple[int, ...] | list[int]) -> str:
    """`1-5, 9`: runs of at least three become ranges."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    parts = [[f"{run[0]}-{run[-1]}"] if len(run) > 2 else [str(seed) for seed in run] for run in runs]
    return ", ".join(text for part in parts for text in part) or "none"


def plural(count: int, noun: str) -> str:
    """`1 seed`, `5 seeds`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
