"""The verdict on one comparison, at most three sentences: what was found, what that shows, what would change it."""

from collections.abc import Iterator
from functools import partial

import nlcse_tune.report.verdict_words as words
from nlcse_tune import stats
from nlcse_tune.report.build import Report
from nlcse_tune.report.comparison import Comparison, Gap, Look
from nlcse_tune.report.declared import looks_taken
from nlcse_tune.report.numbers import TEST_LABELS, p_equals, percent, plural, seeds_per_arm, signed_range, test_over


def verdict(comparison: Comparison, report: Report) -> Iterator[str]:
    """The rule's verdict where there is one; else that of the declared test, or of another that was asked for."""
    if comparison.kept:
        yield from _by_rule(comparison)
        return
    tested = [(column, gap) for column in comparison.declared.columns if (gap := comparison.gaps.get(column))]
    if not any(gap.result for _, gap in tested):
        yield words.not_tested(comparison, tested[0] if tested else None)
        return
    yield _result(comparison, report)
    yield words.outcomes(comparison)
    yield from _growth(comparison) or resolution(comparison, report)


def _result(comparison: Comparison, report: Report) -> str:
    """Every declared column: gap, interval and p; then the test and the seeds, which they share."""
    family, parts = report.family(comparison), []
    for column in comparison.declared.columns:
        gap = comparison.gaps.get(column)
        if gap is None or gap.result is None:
            continue
        interval = words.NO_T_INTERVAL
        if gap.interval:
            kind = "paired" if comparison.paired else "pooled" if comparison.test == "student" else "Welch"
            interval = words.T_INTERVAL.format(kind=kind, interval=signed_range(gap.interval.low, gap.interval.high))
        p = p_equals(gap.result.p)
        if family > 1 and gap.holm is not None:
            p = words.P_AFTER_HOLM.format(p_holm=p_equals(gap.holm), tests=plural(family, "test"), p=p)
        parts.append(words.found(column, gap, interval, p))
        last = gap
    beside = words.WELCH_BESIDE.format(p=p_equals(last.welch.p)) if last.welch and len(parts) == 1 else ""
    label = TEST_LABELS[comparison.declared.test]
    return words.RESULT.format(
        pair=comparison.pair + (words.EXPLORATORY.format(declared=label) if comparison.exploratory else ""),
        found="; ".join(parts), beside=beside,
        test=test_over(comparison.test, seeds_per_arm(last.method.n, last.baseline.n, paired=comparison.paired)),
    )  # fmt: skip


def _growth(comparison: Comparison) -> list[str]:
    """Whether n is what was declared, or came about otherwise."""
    declared, name = comparison.declared, comparison.method.name
    n = min(len(comparison.method.seeds), len(comparison.baseline.seeds))
    planned = None if declared.openings else declared.seeds  # a number that was written after a look plans nothing
    if planned and n < planned:
        return [words.EARLY.format(n=n, declared=planned, method=name)]
    path = looks_taken(comparison.method, comparison.baseline, planned=planned)
    if len(path) < 2:
        return []
    rate = stats.looking_error(path, paired=comparison.paired, alpha=declared.level)
    told = {"path": ", ".join(map(str, path[:-1])), "n": path[-1], "rate": rate, "level": percent(declared.level)}
    return [words.GREW.format(method=name, **told)]


def resolution(comparison: Comparison, report: Report) -> Iterator[str]:
    """Which gap so many seeds can find with 80% power, and how many seeds the observed one, or equivalence, takes."""
    gap, declared, tests = headline(comparison), comparison.declared, report.family(comparison)
    if gap is None:
        return
    a, b, alpha = gap.method, gap.baseline, declared.level / tests
    if comparison.paired and gap.std_difference:
        stds: tuple[float, ...] = (gap.std_difference,)
        needed = detected = partial(stats.power_paired, std_difference=gap.std_difference, alpha=alpha)
        test, each = "a paired t-test", "shared seeds"
    elif not comparison.paired and a.std and b.std:
        stds = a.std, b.std
        needed = partial(stats.power_unpaired, stds=(a.std, b.std), alpha=alpha)
        detected = partial(needed, n_baseline=b.n)
        test, each = "Welch's t-test", "seeds per arm"
    else:
        return
    within = partial(stats.power_equivalence, margin=declared.margin, stds=stds, alpha=alpha)
    counts = stats.seeds_needed(needed, gap.gap), stats.seeds_needed(within, 0.0)
    found, equal = (f"{n:,} {each}" if n else f"more than {stats.MAX_SEEDS:,} {each}" for n in counts)
    yield words.RESOLUTION.format(
        test=test,
        level=f"{declared.level:g}" + (f" / {tests} (Holm's strictest step)" if tests > 1 else ""),
        seeds=seeds_per_arm(a.n, b.n, paired=comparison.paired),
        detectable=stats.detectable_gap(detected, a.n),
        gap=abs(gap.gap), margin=declared.margin, needed=found, equal=equal,
    )  # fmt: skip


def headline(comparison: Comparison) -> Gap | None:
    """The first declared column that was tested."""
    gaps = (comparison.gaps.get(column) for column in comparison.declared.columns)
    return next((gap for gap in gaps if gap and gap.result), None)


def _by_rule(comparison: Comparison) -> Iterator[str]:
    """What the stopping rule says: its own p, its interval, its looks."""
    kept, look = comparison.kept, comparison.look
    assert kept is not None
    told = {"pair": comparison.pair, "method": comparison.method.name}
    if look is None:
        yield words.NO_LOOK.format(**told)
        return
    decision, result = look.decision, look.result
    yield words.RULE_RESULT.format(
        **told, gap=words.gap_of(result), interval=words.repeated(look.interval, comparison.declared.margin),
        look=words.look_words(decision),
        test=test_over(kept.rule.test, seeds_per_arm(decision.n, decision.n, paired=kept.rule.test == "paired")),
    )  # fmt: skip
    yield words.rule_outcome(look, comparison.method.name, comparison.declared.margin, kept.rule.alpha)
    yield words.stopping(kept)


def look_again(look: Look) -> float | None:
    """The p of the rule's last look as today's scores give it, where that is another than the rule went by."""
    if look.result is None or abs(look.result.p - look.decision.p) <= 1e-6 * max(look.decision.p, 1e-12) + 1e-12:
        return None
    return look.result.p
