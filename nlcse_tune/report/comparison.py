"""Method against baseline: every column's gap with its test, interval and effect sizes.

Also the test sets' own error: every run's average again on resampled sentence pairs.
S runs, P sentence pairs, M resamples
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.names import Correction, TestName
from nlcse_tune.report.arms import Arm, Run, differing, scoring_differences
from nlcse_tune.report.numbers import AVERAGE, Column

TESTS: dict[TestName, Callable[..., stats.TestResult]] = {
    "welch": stats.welch_t,
    "student": stats.student_t,
    "paired": stats.paired_t,
    "permutation": stats.permutation_test,
    "signflip": stats.sign_flip_test,
    "wilcoxon": stats.wilcoxon_test,
}
RANDOM = ("permutation", "signflip", "wilcoxon")  # these take a generator too
Arrays = Mapping[str, NDArray[Any]]  # a run's per-pair similarities, and the gold scores


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
    `interval` is the test's own, or where it has none that of the t-test of the same design.
    """

    column: Column
    method: stats.Summary
    baseline: stats.Summary
    seeds: dict[str, tuple[int, ...]]  # of "method" and "baseline"
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
    """DataError naming what differs where two tested arms rest on different data, numerics or evaluation settings."""
    a, b = method.runs[0].record, baseline.runs[0].record  # within an arm all runs share configuration and data
    differences = differing(a.data, b.data, sorted(a.data.keys() & b.data.keys()), "data ")
    if not any_version:
        differences += differing(a.versions.model_dump(), b.versions.model_dump(), ["numerics"])
    differences += [d for x in method.runs for y in baseline.runs for d in scoring_differences(x.test, y.test)]
    if differences:
        raise DataError(
            f"{method.name} and {baseline.name} cannot be compared: they differ in "
            f"{'; '.join(dict.fromkeys(differences))}; run both on the same data and settings"
        )


def compare(method: Arm, baseline: Arm, tasks: tuple[StsTask, ...], options: ReportOptions) -> Comparison:
    """Every column in which both arms have scores, each tested alone; a correction comes when all are known."""
    rng = np.random.default_rng(options.seed)
    gaps: dict[Column, Gap] = {}
    for column in (*tasks, AVERAGE):
        a, b = method.scores(column, tasks), baseline.scores(column, tasks)
        if options.paired:
            a, b = ({seed: scores[seed] for seed in sorted(a.keys() & b.keys())} for scores in (a, b))
        if a and b:
            gaps[column] = _gap(column, a, b, options, rng)
    average = gaps.get(AVERAGE)
    if options.pair_resamples and average and average.result:
        gaps[AVERAGE] = replace(average, two_level=_pairs_error((method, baseline), average, tasks, options, rng))
    return Comparison(method, baseline, gaps)


def _gap(
    column: Column, a: Mapping[int, float], b: Mapping[int, float], options: ReportOptions, rng: np.random.Generator
) -> Gap:
    """The gap of scores by seed and all that is told of it."""
    x, y = list(a.values()), list(b.values())
    gap = Gap(column, stats.summarise(x), stats.summarise(y), {"method": tuple(a), "baseline": tuple(b)})
    if len(x) < 2 or len(y) < 2:
        return replace(gap, why=f"a test needs at least 2 seeds per arm, got {len(x)} and {len(y)}")
    try:
        result = TESTS[options.test](x, y, *([rng] if options.test in RANDOM else []))
    except DataError as error:
        return replace(gap, why=str(error))
    gap = replace(gap, result=result, improvement=stats.probability_of_improvement(x, y))
    with suppress(DataError):  # scores that do not vary: a test by rearrangement stands without interval and effect
        t = result if result.low is not None else (stats.paired_t if options.paired else stats.welch_t)(x, y)
        interval = stats.Interval(*(v for v in (t.low, t.high, t.confidence) if v is not None))  # t-tests have these
        gap = replace(gap, interval=interval, effect=stats.hedges_g(x, y))
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= 2:
        pair = [a[seed] for seed in shared], [b[seed] for seed in shared]
        flip, std = stats.sign_flip_test(*pair, rng), stats.summarise(np.subtract(*pair)).std
        gap = replace(gap, signflip=flip, correlation=stats.correlation(*pair), std_difference=std)
    if column == AVERAGE:
        gap = replace(gap, bootstrap=stats.bootstrap_interval(x, y, rng, paired=options.paired))
    return gap


def _pairs_error(
    arms: tuple[Arm, Arm], gap: Gap, tasks: tuple[StsTask, ...], options: ReportOptions, rng: np.random.Generator
) -> stats.TwoLevel | None:
    """Both errors of the average's gap; None where a run's per-pair similarities were not kept."""
    pairs = zip(arms, gap.seeds.values(), strict=True)
    kept = [(run, _similarities(arm, run)) for arm, seeds in pairs for run in arm.runs if run.seed in seeds]
    if not all(task in arrays and f"gold_{task}" in arrays for task in tasks for _, arrays in kept):
        return None
    n, again = gap.method.n, np.mean([_again(kept, task, options.pair_resamples, rng) for task in tasks], axis=0)
    scores = [score for run, _ in kept if (score := run.test.average(tasks)) is not None]
    return stats.two_level(scores[:n], scores[n:], (again[:, :n], again[:, n:]), rng, paired=options.paired)


def _similarities(arm: Arm, run: Run) -> Arrays:
    """Per-pair cosines and gold scores of one run; empty where they were not kept."""
    path = arm.paths.run(run.record.run_id).similarities
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not readable as per-pair similarities: {error}; test the run again") from None


def _again(kept: Sequence[tuple[Run, Arrays]], task: StsTask, resamples: int, rng: np.random.Generator) -> NDArray[Any]:
    """Scores (M, S) of one task on resampled pairs, in the records' setting; sub-sets are resampled each in itself.

    DataError where a run's similarities are of other pairs, or of another checkpoint than its score.
    """
    test, gold = kept[0][0].test, kept[0][1][f"gold_{task}"]
    for run, arrays in kept:
        if not np.array_equal(arrays[f"gold_{task}"], gold) or len(arrays[task]) != len(gold):
            raise DataError(f"{run.record.run_id}: {task}'s kept pairs are not those of {test.run_id}; test both again")
        score, recorded = float(stats.spearman(arrays[task], gold)[0]), run.test.scores[task].all
        if abs(score - recorded) > 0.02:  # cosines are kept as float32
            differ = f"kept similarities give {score:.2f}, its record says {recorded:.2f}"
            raise DataError(f"{run.record.run_id}: {task}'s {differ}; test the run again")
    rows, subsets = np.stack([arrays[task] for _, arrays in kept]), test.scores[task].subsets
    if test.setting == "all" or len(subsets) <= 1:
        return stats.resampled_spearman(rows, gold, resamples, rng)
    sizes = [pairs for _, _, pairs in subsets.values()]
    if sum(sizes) != len(gold):
        raise DataError(f"{test.run_id}: {task}'s sub-sets have {sum(sizes)} pairs, the kept file {len(gold)}")
    cuts = np.cumsum(sizes)[:-1]
    parts = zip(np.split(rows, cuts, axis=1), np.split(gold, cuts), strict=True)
    scores = [stats.resampled_spearman(part, own, resamples, rng) for part, own in parts]
    return np.average(scores, axis=0, weights=sizes if test.setting == "wmean" else None)
