"""`compare`: the tests that a published mean, std and n allow, and how much their rounding leaves open."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

from nlcse_tune import stats
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.report.numbers import p_equals, plural, signed


@dataclass(frozen=True)
class Figures:
    """`75.74,0.90,5` as typed: the numbers, and half a unit of each last digit."""

    summary: stats.Summary
    mean_slack: float
    std_slack: float


def parse_summary(text: str) -> Figures:
    """MEAN,STD,N; ConfigError says what is wrong with which part."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 3:
        raise ConfigError(f"{text}: must be MEAN,STD,N, for instance 75.74,0.90,5")
    try:
        mean, std, n = float(parts[0]), float(parts[1]), int(parts[2])
    except ValueError:
        raise ConfigError(f"{text}: must be two numbers and a whole number, for instance 75.74,0.90,5") from None
    if n < 2:
        raise ConfigError(f"{text}: n must be at least 2, got {n}: one score has no spread to test with")
    try:
        return Figures(stats.Summary(mean, std, n), _half_unit(parts[0]), _half_unit(parts[1]))
    except DataError as error:
        raise ConfigError(f"{text}: {error}") from None


def _half_unit(number: str) -> float:
    """Half of the last digit's unit: 0.005 for 75.74."""
    return 0.5 * 10.0 ** -len(number.partition(".")[2]) if "e" not in number.lower() else 0.0


def p_range(test: Callable[..., stats.TestResult], method: Figures, baseline: Figures) -> tuple[float, float]:
    """The smallest and largest p over the corners of what the rounded numbers may have been."""
    corners = product((-1, 1), repeat=3)
    found = []
    for gap, std_a, std_b in corners:
        a, b = method.summary, baseline.summary
        mean = a.mean + gap * (method.mean_slack + baseline.mean_slack)
        stds = [
            max(s.std or 0.0, 0.0) + sign * f.std_slack for s, f, sign in ((a, method, std_a), (b, baseline, std_b))
        ]
        if min(stds) >= 0 and max(stds) > 0:
            found.append(test(stats.Summary(mean, stds[0], a.n), stats.Summary(b.mean, stds[1], b.n)).p)
    crosses = abs(method.summary.mean - baseline.summary.mean) <= method.mean_slack + baseline.mean_slack
    return min(found), 1.0 if crosses else max(found)


def compare_words(baseline: Figures, method: Figures, *, power: float = 0.8) -> Iterator[str]:
    """Lines to print: gap, both t-tests, effect size, and what the summary numbers cannot give."""
    a, b = method.summary, baseline.summary
    yield f"gap (second minus first): {signed(a.mean - b.mean)}, n = {a.n} and {b.n}"
    for name, test in (("Welch's t-test", stats.welch_t), ("Student's t-test, pooled variance", stats.student_t)):
        result = test(a, b)
        assert result.low is not None  # t-tests have all three
        assert result.high is not None
        assert result.df is not None
        low, high = p_range(test, method, baseline)
        yield (
            f"{name}: t = {result.statistic:.3f}, df = {result.df:.2f}, two-sided {p_equals(result.p)}, 95% interval "
            f"{signed(result.low)} to {signed(result.high)}; rounding of the numbers allows {p_equals(low)} to "
            f"{p_equals(high)}"
        )
    effect = stats.hedges_g(a, b)
    yield f"Hedges' g: {effect.g:.2f} (95% interval {effect.low:.2f} to {effect.high:.2f}, equal variances assumed)"
    if a.std and b.std:
        n = min(a.n, b.n)
        found = stats.detectable_unpaired(n, a.std, b.std, power=power)
        yield (
            f"with these stds taken as true, {plural(n, 'seed')} a side find a true gap of {found:.2f} in "
            f"{power:.0%} of studies"
        )
        if a.mean != b.mean:
            needed = stats.seeds_unpaired(a.mean - b.mean, a.std, b.std, power=power)
            yield (
                f"a true gap of {abs(a.mean - b.mean):.2f} is found in {power:.0%} of studies with "
                f"{plural(needed, 'seed')} a side"
            )
    yield (
        "both tests take the seeds as independent and the scores as normal, which a mean and a std cannot show; "
        "paired, sign-flip "
        "and permutation tests need each seed's score (`nlcse-tune report`)"
    )
