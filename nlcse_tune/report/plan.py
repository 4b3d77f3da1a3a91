"""`plan`: from a few seeds, how many more a gap takes, and how many hours. `compare`: what published means allow."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

from nlcse_tune import stats
from nlcse_tune.config import StsTask
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.names import TestName
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.comparison import check_comparable
from nlcse_tune.report.numbers import AVERAGE, TEST_LABELS, p_equals, plural, signed, signed_range

GAPS = (0.25, 0.5, 1.0, 2.0)
SHARED = (
    4  # seeds of both arms from which on a paired test is planned: how alike arms are, three say next to nothing of
)
LITTLE = 0.002  # above the level: the simulated rates' own error
FEW = 5  # seeds below which a plan rests on normal scores alone
Test = Callable[[stats.Summary, stats.Summary], stats.TestResult]


@dataclass(frozen=True)
class Spread:
    """Scores over seeds of both arms, and their differences (None below two shared seeds)."""

    method: stats.Summary
    baseline: stats.Summary
    difference: stats.Summary | None
    tasks: int  # that the scores are an average over
    borrowed: bool  # the baseline has too few seeds, so the method's std stands in for it


def spread(method: Arm, baseline: Arm | None, tasks: tuple[StsTask, ...], *, any_version: bool = False) -> Spread:
    """The stds to plan with, of the test average; DataError where the method has fewer than two tested seeds."""
    a = method.scores(AVERAGE, tasks)
    b = baseline.scores(AVERAGE, tasks) if baseline else {}
    if len(a) < 2:
        raise DataError(
            f"{method.name}: a plan needs the scores of at least 2 seeds, got {len(a)}: run `nlcse-tune seeds "
            f"{method.name} --n 3`"
        )
    if baseline and baseline.runs:
        check_comparable(method, baseline, any_version=any_version)
    own = stats.summarise(list(a.values()))
    other = stats.summarise(list(b.values())) if len(b) >= 2 else own
    if not own.std or not other.std:
        why = "the scores do not vary from seed to seed, so there is nothing to plan with; run more seeds"
        raise DataError(f"{method.name}: {why}")
    differences = [a[seed] - b[seed] for seed in a if seed in b]
    difference = stats.summarise(differences) if len(differences) >= 2 else None
    return Spread(own, other, difference, len(tasks), borrowed=len(b) < 2)


def seeds_by_gap(spread: Spread, gaps: Sequence[float], *, power: float, alpha: float) -> dict[float, list[int | None]]:
    """Seeds per arm for each gap: by the stds as seen and by their upper 80% bounds, unpaired, then paired.

    None where far too many, or where too few shared seeds say how a paired test would fare.
    """
    unpaired, shared = _designs(spread)
    designs = [partial(stats.power_unpaired, stds=stds, alpha=alpha) for stds in unpaired]
    designs += [partial(stats.power_paired, std_difference=std, alpha=alpha) for std in shared]
    unknown = [None] * (4 - len(designs))
    return {gap: [*(stats.seeds_needed(design, gap, power=power) for design in designs), *unknown] for gap in gaps}


def seeds_for_equivalence(spread: Spread, margin: float, *, power: float, alpha: float) -> list[int | None]:
    """Seeds per arm that show equal methods to be within `margin`, in the order of `seeds_by_gap`."""
    unpaired, shared = _designs(spread)
    found = [
        stats.seeds_needed(partial(stats.power_equivalence, margin=margin, stds=stds, alpha=alpha), 0.0, power=power)
        for stds in (*unpaired, *((std,) for std in shared))
    ]
    return [*found, *([None] * (4 - len(found)))]


def _designs(spread: Spread) -> tuple[list[tuple[float, float]], tuple[float, ...]]:
    """Both arms' stds and those of the differences, as seen and cautiously; no differences of too few shared seeds."""
    shared = spread.difference
    known = shared is not None and shared.std and shared.n >= SHARED
    unpaired = zip(_stds(spread.method), _stds(spread.baseline), strict=True)
    return [*unpaired], _stds(shared) if shared is not None and known else ()


def _stds(summary: stats.Summary) -> tuple[float, float]:
    """The std as seen, and what the true one stays below with 80% confidence."""
    return summary.std or 0.0, stats.std_interval(summary, confidence=0.6).high


def hours(arms: Sequence[Arm], seeds: int) -> tuple[float, float] | None:
    """(worker hours for `seeds` seeds of every arm, those still to run); None where nothing has timings."""
    times = [[r.record.timings.total * r.record.workers for r in arm.runs if r.record.timings] for arm in arms]
    known = [sum(seconds) / len(seconds) for seconds in times if seconds]
    if not known:
        return None
    typical = sum(known) / len(known)  # for an arm that has no run yet
    costs = [sum(seconds) / len(seconds) if seconds else typical for seconds in times]
    left = sum(cost * max(seeds - len(arm.runs), 0) for cost, arm in zip(costs, arms, strict=True))
    return sum(costs) * seeds / 3600, left / 3600


def unit(arms: Sequence[Arm]) -> str:
    """What `hours` counts: GPU time where all runs were on GPUs, else the workers'."""
    devices = {run.record.versions.device for arm in arms for run in arm.runs}
    return "worker time" if any(device.startswith("cpu") for device in devices) else "GPU time"


def plan_words(spread: Spread, gap: float, *, study: str, power: float, alpha: float) -> Iterator[str]:
    """What the numbers of a plan assume, and what reusing its seeds costs."""
    a, b, interval = spread.method, spread.baseline, stats.std_interval(spread.method)
    yield (
        f"std over seeds of the test average over {plural(spread.tasks, 'task')}: {a.std:.2f} (n = {a.n}, 95% interval "
        f"{interval.low:.2f} to {interval.high:.2f}), baseline {b.std:.2f} (n = {b.n})"
    )
    if spread.borrowed:
        yield "the baseline has fewer than 2 tested seeds: the method's std stands in for its own"
    yield (
        f"seeds per arm for power {power:.0%} at level {alpha:g}, two-sided, normal scores; `cautious` uses the std "
        f"that the true one stays below with 80% confidence; fewer than {FEW} seeds lean on normal scores alone"
    )
    if (shared := spread.difference) is not None and shared.n < SHARED:
        yield (
            f"paired: not planned from {shared.n} shared seeds, which say next to nothing of how alike the arms are; "
            f"test at least {SHARED} seeds in both"
        )
    elif shared is not None:
        bounds = stats.std_interval(shared)
        yield (
            f"paired: std of the differences at {shared.n} shared seeds {shared.std:.2g} (95% interval "
            f"{bounds.low:.2g} to {bounds.high:.2g})"
        )
    yield (
        "the last row is for equivalence: two one-sided tests that find equal methods to be within the margin; a true "
        "gap takes more"
    )
    yield "the gap and the margin must come from what matters to you, not from the gap that these seeds show"
    unpaired, differences = _designs(spread)
    pilot, designs = min(a.n, b.n), [unpaired[0], *([differences[:1]] if differences else [])]
    rates = [stats.pilot_error(pilot, gap, stds, power=power, alpha=alpha) for stds in designs]
    said = " and ".join(f"{rate:.1%} ({test})" for rate, test in zip(rates, ("Welch", "paired"), strict=False))
    costs = any(rate > alpha + LITTLE for rate in rates)
    cost = f", not in {alpha:.1%}; fresh seeds keep the level:" if costs else ", which costs nothing here;"
    yield (
        f"where n is planned from {plural(pilot, 'seed')} per arm for a gap of {gap:g} and these are then counted too, "
        f"equal methods come out as different in {said} of simulated studies{cost} "
        f"`nlcse-tune seeds {study} --until-decided --n N --max N` tests once, at N seeds after these; with a larger "
        "--max it looks in between"
    )


@dataclass(frozen=True)
class PublishedSummary:
    """`75.74,0.90,5` as typed: the numbers, and half a unit of each last digit."""

    summary: stats.Summary
    mean_slack: float
    std_slack: float


def parse_summary(text: str) -> PublishedSummary:
    """MEAN,STD,N; ConfigError says what is wrong with which part."""
    try:
        *parts, count = map(str.strip, text.split(","))
        (mean, std), n = map(float, parts), int(count)
    except ValueError:
        rule = "must be MEAN,STD,N: two numbers and a whole number, for instance 75.74,0.90,5"
        raise ConfigError(f"{text}: {rule}") from None
    if n < 2:
        raise ConfigError(f"{text}: n must be at least 2, got {n}: one score has no spread to test with")
    # Half of the last digit's unit: 0.005 for 75.74.
    slack = (0.0 if "e" in part.lower() else 0.5 * 10.0 ** -len(part.partition(".")[2]) for part in parts)
    try:
        return PublishedSummary(stats.Summary(mean, std, n), *slack)
    except DataError as error:
        raise ConfigError(f"{text}: {error}") from None


def p_range(test: Test, method: PublishedSummary, baseline: PublishedSummary) -> tuple[float, float]:
    """The smallest and largest p over what the rounded numbers may have been; the p of the numbers as printed is in it.

    A p falls with the gap but not steadily with a std, which sets the degrees of freedom too: stds are tried in steps.
    """
    a, b, slack = method.summary, baseline.summary, method.mean_slack + baseline.mean_slack
    gap = abs(a.mean - b.mean)
    found = [
        test(stats.Summary(moved, std_a, a.n), stats.Summary(0.0, std_b, b.n)).p
        for moved in (max(gap - slack, 0.0), gap, gap + slack)
        for std_a, std_b in product(_possible_stds(method), _possible_stds(baseline))
        if std_a + std_b > 0
    ]
    return min(found), max(found)


def _possible_stds(published: PublishedSummary, steps: int = 20) -> list[float]:
    """The printed std, and steps over what it may have been before rounding, which is never below 0."""
    std, slack = published.summary.std or 0.0, published.std_slack
    low = max(std - slack, 0.0)
    return [std, *(low + (std + slack - low) * i / steps for i in range(steps + 1))]


def compare_words(baseline: PublishedSummary, method: PublishedSummary) -> Iterator[str]:
    """Lines to print: gap, both t-tests, effect size, and what the summary numbers cannot give."""
    a, b = method.summary, baseline.summary
    yield f"gap (second minus first): {signed(a.mean - b.mean)}, n = {a.n} and {b.n}"
    tests: dict[TestName, Test] = {"welch": stats.welch_t, "student": stats.student_t}
    for name, test in tests.items():
        result, (low, high) = test(a, b), p_range(test, method, baseline)
        interval = signed_range(*(bound for bound in (result.low, result.high) if bound is not None))
        yield (
            f"{TEST_LABELS[name]}: t = {result.statistic:.3f}, df = {result.df:.2f}, two-sided {p_equals(result.p)}, "
            f"95% interval {interval}; rounding of the numbers allows {p_equals(low)} to {p_equals(high)}"
        )
    effect = stats.hedges_g(a, b)
    yield f"Hedges' g: {effect.g:.2f} (95% interval {effect.low:.2f} to {effect.high:.2f}, equal variances assumed)"
    if a.std and b.std:
        power_of, gap, n = partial(stats.power_unpaired, stds=(a.std, b.std)), a.mean - b.mean, min(a.n, b.n)
        smallest, each = stats.detectable_gap(power_of, n), f"{plural(n, 'seed')} per arm"
        yield f"with these stds taken as true, {each} find a true gap of {smallest:.2f} in 80% of studies"
        if needed := stats.seeds_needed(power_of, gap):
            yield f"a true gap of {abs(gap):.2f} is found in 80% of studies with {plural(needed, 'seed')} per arm"
    yield (
        "both tests take the seeds as independent and the scores as normal, which a mean and a std cannot show; "
        "paired, sign-flip and permutation tests need each seed's score (`nlcse-tune report`)"
    )
