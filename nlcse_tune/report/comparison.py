"""Method against baseline: every column's gap with its test, interval and effect sizes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.names import Correction, TestName
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.differences import differing, numerics_differences, test_differences
from nlcse_tune.report.numbers import AVERAGE, Column
from nlcse_tune.report.pairs import pairs_error


@dataclass(frozen=True)
class ReportOptions:
    """What a report computes. Choose the test before looking at its results."""

    test: TestName = "welch"
    correct: Correction = "none"
    alpha: float = 0.05
    pair_resamples: int = 0  # resamples of sentence pairs; 0 leaves the pairs' own error out
    any_version: bool = False
    choose: Mapping[str, str] = field(default_factory=dict)  # study -> start of the run ids of one configuration
    seeds: tuple[int, ...] | None = None  # only these, for a look of a stopping rule; None: all
    seed: int = 0  # of the random procedures

    @property
    def paired(self) -> bool:
        return self.test in ("paired", "signflip", "wilcoxon")


@dataclass(frozen=True)
class Gap:
    """One column: both arms, and what the test says. `why` tells why there is no test where there is none.

    With a paired test both arms hold the shared seeds only. `holm` is p adjusted over every test of the report.
    `interval` is the t interval that belongs to the design: Welch's, pooled, or of the paired differences.
    """

    column: Column
    method: stats.Summary
    baseline: stats.Summary
    seeds: tuple[tuple[int, ...], tuple[int, ...]]
    result: stats.TestResult | None = None
    why: str = ""
    holm: float | None = None
    interval: stats.Interval | None = None
    effect: stats.Effect | None = None
    improvement: stats.Probability | None = None
    signflip: stats.TestResult | None = None  # over the shared seeds, beside whatever test was asked for
    correlation: float | None = None
    std_difference: float | None = None  # over the shared seeds
    bootstrap: stats.Interval | None = None
    two_level: stats.TwoLevel | None = None

    @property
    def gap(self) -> float:
        return self.method.mean - self.baseline.mean

    def p(self, correct: Correction) -> float | None:
        """The p that verdicts use: adjusted if a correction was asked for."""
        return self.holm if correct == "holm" else self.result.p if self.result else None


@dataclass(frozen=True)
class Comparison:
    """All columns of a method against its baseline; a column that one of the two lacks is not in it."""

    method: Arm
    baseline: Arm
    gaps: dict[Column, Gap]

    @property
    def pair(self) -> str:
        """`visualcse-bert against simcse-bert`."""
        return f"{self.method.name} against {self.baseline.name}"


def check_comparable(method: Arm, baseline: Arm, *, any_version: bool = False) -> None:
    """DataError naming what differs where two arms rest on different data, numerics or evaluation settings."""
    if not method.runs or not baseline.runs:
        return
    a, b = method.runs[0].record, baseline.runs[0].record  # within an arm all runs share configuration and data
    differences = differing(a.data, b.data, sorted(a.data.keys() & b.data.keys()), "data ")
    differences += [] if any_version else numerics_differences(a, b)
    differences += [d for x in method.runs for y in baseline.runs for d in test_differences(x.test, y.test)]
    if differences:
        raise DataError(
            f"{method.name} and {baseline.name} cannot be compared: they differ in "
            f"{'; '.join(dict.fromkeys(differences))}; run both on the same data and settings"
        )


def compare(method: Arm, baseline: Arm, tasks: tuple[StsTask, ...], options: ReportOptions) -> Comparison:
    """Every column in which both arms have scores, each tested alone; a correction comes when all are known."""
    columns: Sequence[Column] = (*tasks, AVERAGE)
    rng = np.random.default_rng(options.seed)
    gaps: dict[Column, Gap] = {}
    for column in columns:
        a, b = method.scores(column, tasks), baseline.scores(column, tasks)
        shared = a.keys() & b.keys()
        if options.paired:
            a, b = ({seed: scores[seed] for seed in sorted(shared)} for scores in (a, b))
        if a and b:
            gaps[column] = _gap(column, a, b, options, rng)
    average = gaps.get(AVERAGE)
    if options.pair_resamples and average and average.result:
        error = pairs_error(
            (method, baseline), average.seeds, tasks, options.pair_resamples, rng, paired=options.paired
        )
        gaps[AVERAGE] = replace(average, two_level=error)
    return Comparison(method, baseline, gaps)


def _gap(
    column: Column, a: Mapping[int, float], b: Mapping[int, float], options: ReportOptions, rng: np.random.Generator
) -> Gap:
    """The gap of scores by seed and all that is told of it."""
    x, y = list(a.values()), list(b.values())
    gap = Gap(column, stats.summarise(x), stats.summarise(y), (tuple(a), tuple(b)))
    try:
        result = _test(options.test, x, y, rng)
    except DataError as error:
        return replace(gap, why=str(error))
    gap = replace(gap, result=result, improvement=stats.probability_of_improvement(x, y))
    with suppress(DataError):  # scores that do not vary: a test by rearrangement stands without interval and effect
        gap = replace(gap, interval=_t_interval(result, x, y, paired=options.paired), effect=stats.hedges_g(x, y))
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= 2:
        c, d = [a[seed] for seed in shared], [b[seed] for seed in shared]
        std = stats.summarise(np.subtract(c, d)).std
        flip, correlation = stats.sign_flip_test(c, d, rng), stats.correlation(c, d)
        gap = replace(gap, signflip=flip, correlation=correlation, std_difference=std)
    if column == AVERAGE:
        gap = replace(gap, bootstrap=stats.bootstrap_interval(x, y, rng, paired=options.paired))
    return gap


def _test(
    name: TestName, method: Sequence[float], baseline: Sequence[float], rng: np.random.Generator
) -> stats.TestResult:
    """The named test; paired ones take scores in the same order of seeds."""
    tests: dict[TestName, Callable[..., stats.TestResult]] = {
        "welch": stats.welch_t,
        "student": stats.student_t,
        "paired": stats.paired_t,
        "permutation": partial(stats.permutation_test, rng=rng),
        "signflip": partial(stats.sign_flip_test, rng=rng),
        "wilcoxon": partial(stats.wilcoxon_test, rng=rng),
    }
    if len(method) < 2 or len(baseline) < 2:
        raise DataError(f"a test needs at least 2 seeds per arm, got {len(method)} and {len(baseline)}")
    return tests[name](method, baseline)


def _t_interval(
    result: stats.TestResult, method: Sequence[float], baseline: Sequence[float], *, paired: bool
) -> stats.Interval:
    """The test's own interval, or where it has none that of the t-test of the same design."""
    t = result if result.low is not None else (stats.paired_t if paired else stats.welch_t)(method, baseline)
    assert t.low is not None  # t-tests have all three
    assert t.high is not None
    assert t.confidence is not None
    return stats.Interval(t.low, t.high, t.confidence)
