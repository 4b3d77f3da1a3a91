"""Method against baseline: every column's gap with its test, interval and effect sizes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

import numpy as np

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.report.arms import AVERAGE, Arm, Column, Run, test_differences

TestName = Literal["welch", "student", "paired", "permutation", "signflip", "wilcoxon"]
Correction = Literal["none", "holm"]
PAIRED: tuple[TestName, ...] = ("paired", "signflip", "wilcoxon")


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
        return self.test in PAIRED


@dataclass(frozen=True)
class Gap:
    """One column: both sides, and what the test says. `why` tells why there is no test where there is none.

    With a paired test both sides hold the shared seeds only. `holm` is p adjusted over every test of the report.
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


def check_comparable(method: Arm, baseline: Arm, *, any_version: bool = False) -> None:
    """DataError naming what differs where two arms rest on different data, numerics or evaluation settings."""
    if not method.runs or not baseline.runs:
        return
    a, b = method.runs[0], baseline.runs[0]  # within an arm all runs share configuration and data
    shared = sorted(a.record.data.keys() & b.record.data.keys())
    found = [
        f"data {key}: {a.record.data[key]} against {b.record.data[key]}"
        for key in shared
        if a.record.data[key] != b.record.data[key]
    ]
    if a.record.versions.numerics != b.record.versions.numerics and not any_version:
        found.append(f"numerics: {a.record.versions.numerics} against {b.record.versions.numerics}")
    found += [d for x in method.runs for y in baseline.runs for d in test_differences(x.test, y.test)]
    if found := list(dict.fromkeys(found)):
        raise DataError(
            f"{method.name} and {baseline.name} cannot be compared: they differ in {'; '.join(found)}; "
            "run both on the same data and settings"
        )


def compare(method: Arm, baseline: Arm, tasks: tuple[StsTask, ...], options: ReportOptions) -> Comparison:
    """Every column in which both sides have scores, each tested alone; see `with_holm` for the correction."""
    columns: Sequence[Column] = (*tasks, AVERAGE)
    rng = np.random.default_rng(options.seed)
    gaps: dict[Column, Gap] = {}
    for column in columns:
        a, b = method.scores(column, tasks), baseline.scores(column, tasks)
        if a and b and (not options.paired or a.keys() & b.keys()):
            gaps[column] = _gap(column, a, b, options, rng)
    if options.pair_resamples and AVERAGE in gaps and gaps[AVERAGE].result:
        found = _two_level(method, baseline, gaps[AVERAGE], tasks, options, rng)
        gaps[AVERAGE] = replace(gaps[AVERAGE], two_level=found)
    return Comparison(method, baseline, gaps)


def _gap(
    column: Column, a: Mapping[int, float], b: Mapping[int, float], options: ReportOptions, rng: np.random.Generator
) -> Gap:
    shared = sorted(a.keys() & b.keys())
    if options.paired:
        a, b = {seed: a[seed] for seed in shared}, {seed: b[seed] for seed in shared}
    x, y = list(a.values()), list(b.values())
    on_shared = [a[seed] for seed in shared], [b[seed] for seed in shared]
    gap = Gap(column, stats.summarise(x), stats.summarise(y), (tuple(a), tuple(b)))
    try:
        result = run_test(options.test, x, y, rng)
    except DataError as error:
        return replace(gap, why=str(error))
    gap = replace(gap, result=result, improvement=stats.probability_of_improvement(x, y))
    with suppress(DataError):  # scores that do not vary: a test by rearrangement stands without interval and effect
        t = result if result.low is not None else (stats.paired_t if options.paired else stats.welch_t)(x, y)
        assert t.low is not None  # t-tests have all three
        assert t.high is not None
        assert t.confidence is not None
        gap = replace(gap, interval=stats.Interval(t.low, t.high, t.confidence), effect=stats.hedges_g(x, y))
    if len(shared) >= 2:
        differences = stats.summarise(np.subtract(*on_shared))
        gap = replace(
            gap,
            signflip=stats.sign_flip_test(*on_shared, rng),
            correlation=stats.correlation(*on_shared),
            std_difference=differences.std,
        )
    if column == AVERAGE:
        gap = replace(gap, bootstrap=stats.bootstrap_interval(x, y, rng, paired=options.paired))
    return gap


def run_test(
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
        raise DataError(f"no test: needs at least 2 seeds on each side, got {len(method)} and {len(baseline)}")
    return tests[name](method, baseline)


def with_holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons with every test's p adjusted over all tests of all of them together."""
    p = [gap.result.p for c in comparisons for gap in c.gaps.values() if gap.result]
    adjusted = iter(stats.holm(p) if p else [])
    return [
        replace(c, gaps={k: replace(gap, holm=next(adjusted)) if gap.result else gap for k, gap in c.gaps.items()})
        for c in comparisons
    ]


def _two_level(
    method: Arm, baseline: Arm, gap: Gap, tasks: tuple[StsTask, ...], options: ReportOptions, rng: np.random.Generator
) -> stats.TwoLevel | None:
    """Both errors of the average's gap; None where a run's per-pair similarities were not kept."""
    runs = [
        [(arm, run) for run in arm.runs if run.seed in seeds]
        for arm, seeds in zip((method, baseline), gap.seeds, strict=True)
    ]
    arrays = [(run, arm.similarities(run)) for side in runs for arm, run in side]
    if not all(task in found and f"gold_{task}" in found for _, found in arrays for task in tasks):
        return None
    replicates = np.mean([_task_replicates(arrays, task, options.pair_resamples, rng) for task in tasks], axis=0)
    a, b = (arm.scores(AVERAGE, tasks) for arm in (method, baseline))
    n = len(runs[0])
    return stats.two_level(
        [a[seed] for seed in gap.seeds[0]],
        [b[seed] for seed in gap.seeds[1]],
        replicates[:, :n],
        replicates[:, n:],
        rng,
        paired=options.paired,
    )


def _task_replicates(
    arrays: Sequence[tuple[Run, Mapping[str, np.ndarray]]], task: StsTask, resamples: int, rng: np.random.Generator
) -> np.ndarray:
    """Scores (R, V) of one task on resampled pairs, in the records' setting; sub-sets are resampled each in itself."""
    first, gold = arrays[0][0].test, arrays[0][1][f"gold_{task}"]
    for run, found in arrays:
        if not np.array_equal(found[f"gold_{task}"], gold) or len(found[task]) != len(gold):
            raise DataError(
                f"{run.record.run_id}: {task}'s kept pairs are not those of {first.run_id}; test both again"
            )
    rows = np.stack([found[task] for _, found in arrays])
    _same_scores(arrays, rows, gold, task)
    subsets = first.scores[task].subsets
    if first.setting == "all" or len(subsets) <= 1:
        return stats.resampled_spearman(rows, gold, resamples, rng)
    sizes = [pairs for _, _, pairs in subsets.values()]
    if sum(sizes) != len(gold):
        raise DataError(f"{first.run_id}: {task}'s sub-sets have {sum(sizes)} pairs, the kept file {len(gold)}")
    cuts = np.cumsum(sizes)[:-1]
    parts = [
        stats.resampled_spearman(row, own, resamples, rng)
        for row, own in zip(np.split(rows, cuts, axis=1), np.split(gold, cuts), strict=True)
    ]
    return np.average(parts, axis=0, weights=sizes if first.setting == "wmean" else None)


def _same_scores(
    arrays: Sequence[tuple[Run, Mapping[str, np.ndarray]]], rows: np.ndarray, gold: np.ndarray, task: StsTask
) -> None:
    """DataError where the kept similarities do not give the recorded score: they are another checkpoint's."""
    for (run, _), score in zip(arrays, stats.spearman(rows, gold), strict=True):
        if abs(score - run.test.scores[task].all) > 0.02:  # cosines are kept as float32
            raise DataError(
                f"{run.record.run_id}: {task}'s kept similarities give {score:.2f}, its record says "
                f"{run.test.scores[task].all:.2f}; test the run again"
            )
