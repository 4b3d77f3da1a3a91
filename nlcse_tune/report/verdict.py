"""The verdict on one comparison: what was found, how sure it is, and what would change it."""

from collections.abc import Iterator
from functools import partial

import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.records import KeptRule
from nlcse_tune.report.build import Report
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.numbers import AVERAGE, p_equals, per_arm

POWER = 0.8  # the usual convention; `words.resolution` says 80%


def rule_of(comparison: Comparison) -> KeptRule | None:
    """The stopping rule of a comparison that has a test; None where it has none."""
    keys = comparison.method.runs[0].record.key, comparison.baseline.runs[0].record.key
    gap = comparison.gaps.get(AVERAGE)
    return KeptRule.read(comparison.method.paths.rule(keys)) if gap and gap.result else None


def pair(comparison: Comparison) -> str:
    """`visualcse-bert against simcse-bert`."""
    return f"{comparison.method.name} against {comparison.baseline.name}"


def verdict(comparison: Comparison, kept: KeptRule | None, report: Report) -> Iterator[str]:
    """What was found, how sure it is, and what would change it; under a stopping rule what the rule says of it."""
    gap, options = comparison.gaps.get(AVERAGE), report.options
    if gap is None or gap.result is None:
        why = gap.why if gap else "no seed has the average in both arms"
        yield words.not_tested(pair(comparison), gap.gap if gap else None, why)
        return
    kind = "paired" if options.paired else "pooled" if options.test == "student" else "Welch"
    interval = words.t_interval(kind, (gap.interval.low, gap.interval.high) if gap.interval else None)
    p = p_equals(gap.result.p)
    if gap.holm is not None and options.correct == "holm":
        p = words.p_after_holm(gap.holm, gap.result.p, report.family)
    yield words.result(pair(comparison), gap.gap, interval, p, options.test, _seeds(gap, options))
    if kept is None:
        yield from (level(comparison.method.name, gap, options), *resolution(gap, report))
    else:
        yield from (words.stopping(kept.rule, kept.scored, kept.taken), words.STOPPING_IS_VALID)


def _seeds(gap: Gap, options: ReportOptions) -> str:
    return per_arm(gap.method.n, gap.baseline.n, paired=options.paired)


def level(method: str, gap: Gap, options: ReportOptions) -> str:
    """What p says at the report's level, n taken as fixed."""
    p, interval = gap.p(options.correct), gap.interval
    if p is not None and p <= options.alpha:
        return words.shown(method, options.alpha, gap.gap)
    return words.not_shown(
        method, options.alpha, zero_in_interval=interval is not None and interval.low <= 0 <= interval.high
    )


def resolution(gap: Gap, report: Report) -> Iterator[str]:
    """Which gap so many seeds can find, and how many the observed one would take."""
    options, a, b = report.options, gap.method, gap.baseline
    tests = report.family if options.correct == "holm" else 1
    alpha = options.alpha / tests
    if options.paired and gap.std_difference:
        needed = at_hand = partial(stats.power_paired, std_difference=gap.std_difference, alpha=alpha)
        test, each = "a paired t-test", "shared seeds"
    elif a.std and b.std:
        needed = partial(stats.power_unpaired, stds=(a.std, b.std), alpha=alpha)
        at_hand = partial(needed, n_baseline=b.n)
        test, each = "Welch's t-test", "seeds per arm"
    else:
        return
    at = f"{options.alpha:g}" + (f" / {tests} (Holm's strictest step)" if options.correct == "holm" else "")
    count = stats.seeds_needed(needed, gap.gap, power=POWER)
    take = f"{count:,} {each}" if count else f"more than {stats.MAX_SEEDS:,} {each}"
    smallest = stats.detectable_gap(at_hand, a.n, power=POWER)
    yield words.resolution(test, at, _seeds(gap, options), smallest, gap.gap, take)
