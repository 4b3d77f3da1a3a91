"""Remarks on what a verdict rests on: what was declared, what was tried besides, what a stopping rule leaves out."""

from collections.abc import Iterator

import nlcse_tune.report.numbers as numbers
import nlcse_tune.report.verdict_words as verdict_words
import nlcse_tune.report.words as words
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Comparison, Gap
from nlcse_tune.report.numbers import AVERAGE
from nlcse_tune.report.rank import Line, Rank
from nlcse_tune.report.verdict import look_again

PUBLISHED = "published comparison"


def declared(comparison: Comparison) -> Iterator[Line]:
    """What was declared, when, and what was changed since."""
    terms, name = comparison.declared, comparison.method.name
    yield (
        Rank.DECLARED if terms.openings else Rank.NOTE,
        verdict_words.declaration(
            terms, name, rule=bool(comparison.kept), given=not isinstance(comparison.method, Arm)
        ),
    )
    if comparison.superseded:
        yield Rank.DECLARED, verdict_words.superseded(comparison.superseded, name)
    if terms.changes and not comparison.kept:  # a rule takes fresh seeds, and has a test of its own
        yield Rank.DECLARED, verdict_words.CHANGED.format(method=name, changes="; ".join(terms.changes))


def by_rule(comparison: Comparison, gap: Gap) -> Iterator[Line]:
    """What the stopping rule leaves out, and what n taken as fixed would give."""
    kept, look, name = comparison.kept, comparison.look, comparison.method.name
    if kept is None:
        return
    if kept.rule.skipped:
        skipped = ", ".join(map(str, kept.rule.skipped))
        yield Rank.NOTE, verdict_words.SKIPPED_LOOKS.format(skipped=skipped)
    if kept.taken[1:]:
        earlier = "; ".join(map(verdict_words.look_words, kept.taken[:-1]))
        yield Rank.NOTE, verdict_words.EARLIER_LOOKS.format(earlier=earlier)
    if look and gap.p is not None:
        told = {"p": numbers.p_equals(gap.p), "outcome": gap.outcome(comparison.declared.level)}
        yield Rank.NOTE, verdict_words.N_AS_FIXED.format(**told)
    if look and (p := look_again(look)) is not None:
        told = {"p": numbers.p_equals(p), "then": numbers.p_equals(look.decision.p)}
        yield Rank.DECLARED, verdict_words.LOOK_CHANGED.format(method=name, **told)
    if apart := set(comparison.method.seeds) - set(kept.seeds):
        yield Rank.NOTE, verdict_words.APART_FROM_RULE.format(seeds=numbers.named_seeds(apart).capitalize())


def multiplicity(block: Block, report: Report, *, published: int) -> Iterator[Line]:
    """What p is corrected for, and what else was looked at."""
    levels = [c.declared.level for c in report.comparisons for _ in range(c.declared_tests)]
    if any(report.family(c) > 1 for c in block.comparisons):
        tests = max(map(report.family, block.comparisons))
        level = max(c.declared.level for c in report.corrected or report.comparisons)
        yield Rank.NOTE, words.CORRECTED.format(tests=tests, level=numbers.percent(level))
    if len(report.comparisons) > 1 and len(levels) > 1 and report.options.correct == "none":
        chance = numbers.percent(round(min(1.0, sum(levels)), 3))
        yield Rank.MANY_TESTS, words.UNCORRECTED.format(tests=len(levels), chance=chance)
    if (
        report.options.correct == "holm"
        and report.comparisons[1:]
        and (rules := [c for c in report.comparisons if c.kept])
    ):
        joint = max((c.declared.level for c in report.corrected), default=0.0) + sum(c.declared.level for c in rules)
        told = {"names": ", ".join(c.method.name for c in rules), "chance": numbers.percent(round(min(1.0, joint), 3))}
        yield Rank.MANY_TESTS, words.RULES_UNCORRECTED.format(**told)
    if block.comparisons:
        configurations = {arm.name: arm.left_out.configurations for arm in block.recorded}
        text = words.besides(
            sum(c.declared_tests for c in block.comparisons),
            {**_looked_at(block), PUBLISHED: published},
            configurations,
        )
        if text:
            yield Rank.MANY_TESTS if any(configurations.values()) else Rank.NOTE, text


def _looked_at(block: Block) -> dict[str, int]:
    """How many p-values the block's table and notes hold beside the declared ones, by what they are of."""
    gaps = [(c, column, gap) for c in block.comparisons for column, gap in c.gaps.items() if gap.result]
    other = sum(c.exploratory or column not in c.declared.columns for c, column, _ in gaps)
    averages = [gap for _, column, gap in gaps if column == AVERAGE]
    return {
        "exploratory column": other,
        "Welch test": sum(gap.welch is not None for _, c, gap in gaps if c == AVERAGE),
        "sign-flip test": sum(gap.signflip is not None for gap in averages),
        "bootstrap-t test": sum(gap.bootstrap_t is not None for gap in averages),
    }
