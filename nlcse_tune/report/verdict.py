"""The verdict on one comparison: what was found, how sure it is, and what would change it."""

from collections.abc import Iterator
from functools import partial

import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.records import KeptRule
from nlcse_tune.report.build import Report
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.numbers import AVERAGE, TEST_LABELS, p_equals, plural, seeds_per_arm, signed, signed_range


def rule_of(comparison: Comparison) -> KeptRule | None:
    """The stopping rule over the two arms' configurations; None where there is none."""
    keys = comparison.method.runs[0].record.key, comparison.baseline.runs[0].record.key
    return KeptRule.read(comparison.method.paths.rule(keys))


def verdict(comparison: Comparison, report: Report) -> Iterator[str]:
    """What was found, how sure it is, and what would change it; under a stopping rule what the rule says of it."""
    gap, options = comparison.gaps.get(AVERAGE), report.options
    if gap is None or gap.result is None:
        why = gap.why if gap else "no seed has the average in both arms"
        seen = f"{signed(gap.gap)} on the average, " if gap else ""
        yield words.NOT_TESTED.format(pair=comparison.pair, gap=seen, why=why)
        return
    interval, p = words.NO_T_INTERVAL, p_equals(gap.result.p)
    if gap.interval:
        kind = "paired" if options.paired else "pooled" if options.test == "student" else "Welch"
        interval = words.T_INTERVAL.format(kind=kind, interval=signed_range(gap.interval.low, gap.interval.high))
    if gap.holm is not None and options.correct == "holm":
        p = words.P_AFTER_HOLM.format(p_holm=p_equals(gap.holm), tests=plural(report.family, "test"), p=p)
    yield words.RESULT.format(
        pair=comparison.pair, gap=signed(gap.gap), interval=interval, p=p, test=TEST_LABELS[options.test],
        seeds=seeds_per_arm(gap.method.n, gap.baseline.n, paired=options.paired),
    )  # fmt: skip
    if not (kept := rule_of(comparison)):
        yield from (level(comparison.method.name, gap, options), *resolution(gap, report))
    else:
        rule, last = kept.rule, kept.taken[-1] if kept.taken else None
        outcome = "no decision yet"
        if last and last.stop:
            outcome = "the rule found a difference" if last.significant else "the rule ended without one"
        taken = f"{'; '.join(map(words.look_words, kept.taken)) or 'none taken yet'}; {outcome}"
        looks, test = ", ".join(map(str, rule.looks)), TEST_LABELS[rule.test]
        yield words.STOPPING.format(test=test, rule=rule, looks=looks, scored=kept.scored, taken=taken)
        yield words.STOPPING_IS_VALID


def level(method: str, gap: Gap, options: ReportOptions) -> str:
    """What p says at the report's level, n taken as fixed."""
    p, interval = gap.p(options.correct), gap.interval
    if p is not None and p <= options.alpha:
        return words.SHOWN.format(alpha=options.alpha, method=method, place="above" if gap.gap > 0 else "below")
    zero = words.ZERO_POSSIBLE if interval and interval.low <= 0 <= interval.high else ""
    return words.NOT_SHOWN.format(alpha=options.alpha, method=method, zero=zero)


def resolution(gap: Gap, report: Report) -> Iterator[str]:
    """Which gap so many seeds can find with 80% power, and how many seeds the observed one would take."""
    options, a, b = report.options, gap.method, gap.baseline
    tests = report.family if options.correct == "holm" else 1
    alpha = options.alpha / tests
    if options.paired and gap.std_difference:
        needed = detected = partial(stats.power_paired, std_difference=gap.std_difference, alpha=alpha)
        test, each = "a paired t-test", "shared seeds"
    elif a.std and b.std:
        needed = partial(stats.power_unpaired, stds=(a.std, b.std), alpha=alpha)
        detected = partial(needed, n_baseline=b.n)
        test, each = "Welch's t-test", "seeds per arm"
    else:
        return
    count = stats.seeds_needed(needed, gap.gap)
    yield words.RESOLUTION.format(
        test=test,
        level=f"{options.alpha:g}" + (f" / {tests} (Holm's strictest step)" if options.correct == "holm" else ""),
        seeds=seeds_per_arm(a.n, b.n, paired=options.paired),
        detectable=stats.detectable_gap(detected, a.n),
        gap=abs(gap.gap),
        needed=f"{count:,} {each}" if count else f"more than {stats.MAX_SEEDS:,} {each}",
    )
