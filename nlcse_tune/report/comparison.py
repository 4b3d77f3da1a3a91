"""Method against baseline: every column's gap with its test, interval and effect sizes."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.names import Correction, TestName
from nlcse_tune.records import KeptRule
from nlcse_tune.report.arms import Arm, ScoredArm, differing, scoring_differences
from nlcse_tune.report.declared import Declared, declaration_of, declared_before, looks_taken
from nlcse_tune.report.numbers import AVERAGE, Column
from nlcse_tune.report.resampling import pairs_error

TESTS: dict[TestName, Callable[..., stats.TestResult]] = {
    "welch": stats.welch_t,
    "student": stats.student_t,
    "paired": stats.paired_t,
    "permutation": stats.permutation_test,
    "signflip": stats.sign_flip_test,
    "wilcoxon": stats.wilcoxon_test,
}
RANDOM = ("permutation", "signflip", "wilcoxon")  # these take a generator too
PAIRED = ("paired", "signflip", "wilcoxon")  # these use shared seeds only
Outcome = Literal["different", "equivalent", "undecided"]


@dataclass(frozen=True)
class ReportOptions:
    """What a report computes. Choose the test before looking at its results."""

    test: TestName | None = None  # None: the declared one; another is exploratory
    correct: Correction = "none"  # holm: the declared tests of all methods are one family, not each method's
    pair_resamples: int = 0  # resamples of sentence pairs; 0 leaves the pairs' own error out
    any_version: bool = False
    choose: Mapping[str, str] = field(default_factory=dict)  # study -> start of the run ids of one configuration
    seeds: tuple[int, ...] | None = None  # only these, for a look of a stopping rule; None: all
    seed: int = 0  # of the random procedures


@dataclass(frozen=True)
class Gap:
    """One column: both arms, and what the test says. `why` tells why there is no test where there is none.

    With a paired test both arms hold the shared seeds only. `holm` is p adjusted over the declared tests; what was not
    declared has none. `interval` and `equivalence` are the test's own, or of the t-test of the same design.
    """

    column: Column
    method: stats.Summary
    baseline: stats.Summary
    seeds: dict[str, tuple[int, ...]]  # of "method" and "baseline"
    result: stats.TestResult | None = None
    why: str = ""
    holm: float | None = None
    interval: stats.Interval | None = None
    equivalence: stats.Equivalence | None = None
    holm_equivalence: float | None = None  # its p, adjusted like `holm`
    welch: stats.TestResult | None = None  # beside a declared paired test
    effect: stats.Effect | None = None
    improvement: stats.Probability | None = None
    signflip: stats.TestResult | None = None  # over the shared seeds, beside whatever test was asked for
    correlation: float | None = None
    std_difference: float | None = None  # over the shared seeds
    bootstrap: stats.Interval | None = None
    skewed: dict[str, float] = field(default_factory=dict)  # skewness that normal scores rarely have, by whose it is
    bootstrap_t: stats.TestResult | None = None  # where scores are skewed
    two_level: stats.TwoLevel | None = None

    @property
    def gap(self) -> float:
        return self.method.mean - self.baseline.mean

    @property
    def p(self) -> float | None:
        """The p that verdicts use: adjusted where it is one of several declared tests."""
        return self.holm if self.holm is not None else self.result.p if self.result else None

    @property
    def p_equivalence(self) -> float | None:
        """The p of equivalence, adjusted likewise."""
        own = self.equivalence.p if self.equivalence else None
        return self.holm_equivalence if self.holm_equivalence is not None else own

    def outcome(self, level: float) -> Outcome:
        """What is shown at this level; a difference that is smaller than the margin is a difference all the same."""
        if self.p is not None and self.p <= level:
            return "different"
        return "equivalent" if self.p_equivalence is not None and self.p_equivalence <= level else "undecided"


@dataclass(frozen=True)
class Look:
    """The last look of a stopping rule. `result` is its test again, None where its seeds no longer have scores."""

    decision: stats.Decision
    result: stats.TestResult | None = None
    interval: stats.Interval | None = None  # repeated: at the confidence that holds over all looks

    def within(self, margin: float) -> bool:
        """Whether the repeated interval lies inside the margin: equivalence, valid at every look."""
        return self.interval is not None and max(-self.interval.low, self.interval.high) < margin


@dataclass(frozen=True)
class Superseded:
    """A declared test over a fixed number of seeds that was taken before a stopping rule was begun.

    `p`: by declared column, adjusted where there are several. `error`: how often it or the rule finds a difference
    between equal methods.
    """

    test: TestName
    n: int
    level: float
    p: dict[Column, float]
    error: float


@dataclass(frozen=True)
class Comparison:
    """All columns of a method against its baseline; a column that one of the two lacks is not in it."""

    method: ScoredArm
    baseline: ScoredArm
    gaps: dict[Column, Gap]
    test: TestName
    declared: Declared
    kept: KeptRule | None = None
    look: Look | None = None
    superseded: Superseded | None = None

    @property
    def paired(self) -> bool:
        return self.test in PAIRED

    @property
    def declared_tests(self) -> int:
        """How many of the declared tests could be taken."""
        return sum(1 for column in self.declared.columns if column in self.gaps and self.gaps[column].result)

    @property
    def exploratory(self) -> bool:
        """Whether this is another test than the declared one."""
        return self.test != self.declared.test

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
    """Two arms by what their studies declared, with the stopping rule that they were compared under."""
    rng = np.random.default_rng(options.seed)
    kept = KeptRule.read(method.paths.rule((method.runs[0].record.key, baseline.runs[0].record.key)))
    made = compare_scores(method, baseline, tasks, declaration_of(method, baseline, kept), options, rng)
    average = made.gaps.get(AVERAGE)
    if options.pair_resamples and average and average.result:
        seeds = list(average.seeds.values())
        two = pairs_error((method, baseline), seeds, tasks, options.pair_resamples, rng, paired=made.paired)
        made.gaps[AVERAGE] = replace(average, two_level=two)
    look = _look(method, baseline, tasks, kept) if kept and kept.taken else None
    superseded = _superseded(method, baseline, tasks, kept, rng) if kept else None
    return replace(made, kept=kept, look=look, superseded=superseded)


def compare_scores(
    method: ScoredArm,
    baseline: ScoredArm,
    tasks: Sequence[str],
    declared: Declared,
    options: ReportOptions,
    rng: np.random.Generator,
) -> Comparison:
    """Every column in which both arms have scores, each tested alone; a correction comes when all are known."""
    test = options.test or declared.test
    gaps: dict[Column, Gap] = {}
    for column in (*tasks, AVERAGE):
        a, b = method.scores(column, tasks), baseline.scores(column, tasks)
        if test in PAIRED:
            a, b = ({seed: scores[seed] for seed in sorted(a.keys() & b.keys())} for scores in (a, b))
        if a and b:
            gaps[column] = _gap(column, a, b, test, declared.margin, rng)
    return Comparison(method, baseline, gaps, test, declared)


def _superseded(
    method: Arm, baseline: Arm, tasks: tuple[StsTask, ...], kept: KeptRule, rng: np.random.Generator
) -> Superseded | None:
    """The fixed test before the rule, over the seeds before the rule's; None where it was not declared or taken."""
    early = sorted(seed for seed in {*method.seeds} & {*baseline.seeds} if seed < kept.seeds[0])
    if (declared := declared_before(method, baseline)) is None:
        return None
    p: dict[Column, float] = {}
    for column in declared.columns:
        scores = [arm.scores(column, tasks) for arm in (method, baseline)]
        seeds = [seed for seed in early if all(seed in own for own in scores)]
        a, b = ({seed: own[seed] for seed in seeds} for own in scores)
        if seeds and (result := _gap(column, a, b, declared.test, declared.margin, rng).result):
            p[column] = result.p
    if not p:
        return None
    path = looks_taken(method, baseline, planned=declared.looks[0], apart=kept.seeds)
    paired, level = declared.test in PAIRED, declared.level
    error = stats.looking_error(path, paired=paired, alpha=level) if len(path) > 1 else level
    adjusted = dict(zip(p, stats.holm([*p.values()]), strict=True))
    return Superseded(declared.test, len(early), level, adjusted, 1 - (1 - error) * (1 - kept.rule.alpha))


def _look(method: Arm, baseline: Arm, tasks: tuple[StsTask, ...], kept: KeptRule) -> Look:
    """The rule's last look, its test taken again over the same seeds for the gap and its interval."""
    decision = kept.taken[-1]
    a, b = (arm.scores(AVERAGE, tasks) for arm in (method, baseline))
    seeds = kept.seeds[: decision.n]
    if not a.keys() & b.keys() >= {*seeds}:
        return Look(decision)
    with suppress(DataError):
        result = TESTS[kept.rule.test]([a[seed] for seed in seeds], [b[seed] for seed in seeds])
        interval = stats.t_interval(result, decision.confidence) if 0 < decision.confidence < 1 else None
        return Look(decision, result, interval)
    return Look(decision)


def _gap(
    column: Column,
    a: Mapping[int, float],
    b: Mapping[int, float],
    test: TestName,
    margin: float,
    rng: np.random.Generator,
) -> Gap:
    """The gap of scores by seed and all that is told of it."""
    paired = test in PAIRED
    x, y = list(a.values()), list(b.values())
    gap = Gap(column, stats.summarise(x), stats.summarise(y), {"method": tuple(a), "baseline": tuple(b)})
    if len(x) < 2 or len(y) < 2:
        return replace(gap, why=f"a test needs at least 2 seeds per arm, got {len(x)} and {len(y)}")
    try:
        result = TESTS[test](x, y, *([rng] if test in RANDOM else []))
    except DataError as error:
        return replace(gap, why=str(error))
    gap = replace(gap, result=result, improvement=stats.probability_of_improvement(x, y))
    with suppress(DataError):  # scores that do not vary: a test by rearrangement stands without interval and effect
        t = result if result.low is not None else (stats.paired_t if paired else stats.welch_t)(x, y)
        interval = stats.Interval(*(v for v in (t.low, t.high, t.confidence) if v is not None))  # t-tests have these
        gap = replace(gap, interval=interval, equivalence=stats.equivalence(t, margin), effect=stats.hedges_g(x, y))
        gap = replace(gap, welch=stats.welch_t(x, y) if test == "paired" else None)
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= 2:
        pair = [a[seed] for seed in shared], [b[seed] for seed in shared]
        flip, std = stats.sign_flip_test(*pair, rng), stats.summarise(np.subtract(*pair)).std
        gap = replace(gap, signflip=flip, correlation=stats.correlation(*pair), std_difference=std)
    if column == AVERAGE:
        gap = replace(gap, bootstrap=stats.bootstrap_interval(x, y, rng, paired=paired))
        samples = {"differences": np.subtract(x, y)} if paired else {"method": np.array(x), "baseline": np.array(y)}
        if skewed := _skewed(samples):
            with suppress(DataError):
                gap = replace(gap, skewed=skewed, bootstrap_t=stats.bootstrap_t(x, y, rng, paired=paired))
    return gap


def _skewed(samples: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """The skewness of those samples that are skewed as one in twenty normal ones is."""
    found = {name: stats.skewness(values) for name, values in samples.items()}
    return {n: s for n, s in found.items() if s is not None and abs(s) > stats.skewness_of_normal(samples[n].size)}
