"""`compare`: the tests that a published mean, std and n allow, and how much their rounding leaves open."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from nlcse_tune import stats
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.names import TestName
from nlcse_tune.report.numbers import TEST_LABELS, p_equals, plural, signed, signed_range

Test = Callable[[stats.Summary, stats.Summary], stats.TestResult]


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
    """The smallest and largest p over the corners of what the rounded numbers may have been."""
    a, b, slack = method.summary, baseline.summary, method.mean_slack + baseline.mean_slack
    corners = []
    for gap, sign_a, sign_b in product((-1, 1), repeat=3):
        stds = (a.std or 0.0) + sign_a * method.std_slack, (b.std or 0.0) + sign_b * baseline.std_slack
        if min(stds) >= 0 and max(stds) > 0:
            moved = stats.Summary(a.mean + gap * slack, stds[0], a.n)
            corners.append(test(moved, stats.Summary(b.mean, stds[1], b.n)).p)
    return min(corners), 1.0 if abs(a.mean - b.mean) <= slack else max(corners)


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
