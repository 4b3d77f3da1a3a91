"""The sentences of a verdict, of what was declared for it, and of a stopping rule; `verdict` decides which apply."""

import re

from nlcse_tune.records import KeptRule
from nlcse_tune.report.comparison import PAIRED, Comparison, Gap, Look, Superseded
from nlcse_tune.report.declared import Declared
from nlcse_tune.report.numbers import (
    AVERAGE,
    TASK_LABELS,
    TEST_LABELS,
    Column,
    p_equals,
    percent,
    plural,
    seeds_per_arm,
    signed,
    signed_range,
)
from nlcse_tune.stats import Decision, Interval, TestResult

# The verdict on a comparison
NOT_TESTED = "{pair}: {gap}not tested: {why}."
RESULT = "{pair}: {found} by {test}{beside}."
FOUND = "{gap} on {column} ({interval}); two-sided {p}"
EXPLORATORY = " (exploratory: {declared} is declared)"
WELCH_BESIDE = " (Welch's, which does not pair them: {p})"
T_INTERVAL = "95% {kind} t interval {interval}"
NO_T_INTERVAL = "no t interval: the scores do not vary from seed to seed"
P_AFTER_HOLM = "{p_holm} after Holm over {tests} ({p} alone)"
DIFFERENT = (
    "Different: at the {level} level {method} is {place} its baseline, and the choice of seeds alone rarely gives such "
    "a gap{small}."
)
SMALL = "; it is smaller than the margin of {margin:g} points all the same"
EQUIVALENT = (
    "Equivalent: at the {level} level {method} is within {margin:g} points of its baseline, whichever of the two is "
    "ahead (two one-sided tests, {p})."
)
UNDECIDED = (
    "Undecided: at the {level} level {method} shows no difference, nor does this show that there is none of "
    "{margin:g} points (equivalence: {p})."
)
RESOLUTION = (
    "Were these stds the true ones, {test} at level {level} over {seeds} would find a true gap of {detectable:.2f} in "
    "80% of studies and often miss smaller ones; a gap as large as that seen ({gap:.2f}) takes {needed}, equivalence "
    "of equal methods within {margin:g} points {equal}."
)
EARLY = (
    "Declared were {declared} seeds per arm, and {n} are tested: this is a look before the end, and what is declared "
    "is the test at {declared}; `nlcse-tune seeds {method} --n {declared}` goes on."
)
GREW = (
    "Seeds were added after a look (at {path} per arm, now {n}): whoever decides so finds a difference between equal "
    "methods in {rate:.1%} of simulated studies, not {level}; `nlcse-tune seeds {method} --until-decided` decides over "
    "fresh seeds."
)

# What was declared
DECLARED = "{method} declares {test} on {columns} at level {level:g}{rule}, margin {margin:g} points{seeds}{when}."
DECLARED_BEFORE = ", written down before its test sets were opened"
DECLARED_WITH_RULE = ", written down before the rule's first look"
DECLARED_LATE = "; it was written down when the method had been scored {times}, so it is no declaration beforehand"
NOT_DECLARED = "; none of it was written down before the test sets were opened, so it is what the study says now"
GIVEN = "; nothing here shows that this was chosen before the scores were seen"
DECLARED_RULE = " over all looks of its stopping rule"
MARGIN_NOT_DECLARED = "; the margin was not written down with the rule, so it is what the study says now"
SUPERSEDED = (
    "Before its stopping rule was begun, {method} had declared {test} at the {level} level and taken it over {seeds} "
    "({p}); the rule's error rate leaves that test out: together they find a difference between equal methods in "
    "{error:.1%} of studies."
)
CHANGED = (
    "{method} was declared otherwise after its test sets had been opened, and that does not count here ({changes}); "
    "`--test` shows another test, as exploratory."
)

# A stopping rule
RULE_RESULT = "{pair}, by its stopping rule: {gap}{interval}; look at {look}, two-sided by {test}."
REPEATED = " (repeated {confidence:.1%} interval {interval}, which holds over all looks)"
RULE_DIFFERENT = (
    "Different: the rule found a difference, {method} {place} its baseline, with an error rate of {level} over all its "
    "looks{small}."
)
RULE_EQUIVALENT = (
    "Equivalent: the repeated interval has {method} within {margin:g} points of its baseline, and the rule {state}."
)
RULE_ENDED = (
    "Undecided: the rule for {method} ended without a difference, which does not show that there is none, and the "
    "repeated interval reaches beyond {margin:g} points."
)
RULE_GOES_ON = "Undecided: no decision yet; `nlcse-tune seeds {method} --until-decided` goes on to n = {next_n}."
NO_LOOK = (
    "{pair}: a stopping rule over fresh seeds was begun and has taken no look, so there is no verdict yet; `nlcse-tune "
    "seeds {method} --until-decided` goes on."
)
STOPPING = (
    "Seeds were added in rounds under a rule fixed beforehand ({spending} spending; looks at {looks} seeds, at "
    "{scored}; error rate {alpha:g} over all looks)."
)
SPENDING = {"obrien-fleming": "O'Brien-Fleming"}
EARLIER_LOOKS = "Looks of the rule before its last: {earlier}."
SKIPPED_LOOKS = "Looks at {skipped} seeds could not have stopped whatever the scores, so the rule leaves them out."
N_AS_FIXED = (
    "The p and 95% intervals of the tables take n as fixed and are too optimistic after looks of a rule: on the "
    "average {p} there, {outcome} if n had been fixed."
)
LOOK_CHANGED = "{method}: the seeds of the rule's last look give {p} today, not the {then} that the rule went by."
APART_FROM_RULE = "{seeds}, tested apart from the rule, are no part of its looks."


def found(column: Column, gap: Gap, interval: str, p: str) -> str:
    """`+1.22 on the average (95% Welch t interval +0.12 to +2.32); two-sided p = 0.0354`."""
    return FOUND.format(gap=signed(gap.gap), column=column_name(column), interval=interval, p=p)


def column_name(column: Column) -> str:
    """`the average`, `STS-B`."""
    return "the average" if column == AVERAGE else TASK_LABELS.get(column, column)


def not_tested(comparison: Comparison, first: tuple[Column, Gap] | None) -> str:
    """That a declared column has no test, and why."""
    if first is None:
        names = ", ".join(map(column_name, comparison.declared.columns))
        return NOT_TESTED.format(pair=comparison.pair, gap="", why=f"no seed has {names} in both arms")
    column, gap = first
    seen = f"{signed(gap.gap)} on {column_name(column)}, "
    return NOT_TESTED.format(pair=comparison.pair, gap=seen, why=gap.why)


def outcomes(comparison: Comparison) -> str:
    """What is shown of each declared column, n taken as fixed: one sentence for one column, a list for several."""
    declared = comparison.declared
    tested = {c: gap for c in declared.columns if (gap := comparison.gaps.get(c)) and gap.result}
    if len(tested) == 1:
        [gap] = tested.values()
        return outcome(gap, comparison.method.name, declared)
    names = {"different": "different", "equivalent": f"equivalent within {declared.margin:g} points"}
    parts = []
    for column, gap in tested.items():
        shown = gap.outcome(declared.level)
        place = f" ({_place(gap.gap)} its baseline)" if shown == "different" else ""
        parts.append(f"{column_name(column)}: {names.get(shown, shown)}{place}")
    return f"At the {percent(declared.level)} level, {comparison.method.name}: {'; '.join(parts)}."


def outcome(gap: Gap, method: str, declared: Declared) -> str:
    """Different, equivalent within the margin, or undecided."""
    equal = gap.p_equivalence
    told = {"level": percent(declared.level), "margin": declared.margin, "method": method, "place": _place(gap.gap)}
    after = " after Holm" if gap.equivalence and equal != gap.equivalence.p else ""
    told["p"] = "not tested" if equal is None else p_equals(equal) + after
    shown = gap.outcome(declared.level)
    told["small"] = SMALL.format(**told) if equal is not None and equal <= declared.level else ""
    return {"different": DIFFERENT, "equivalent": EQUIVALENT, "undecided": UNDECIDED}[shown].format(**told)


def _place(gap: float) -> str:
    return "above" if gap > 0 else "below"


def rule_outcome(look: Look, method: str, margin: float, level: float) -> str:
    """The stopping rule's verdict."""
    told = {"level": percent(level), "margin": margin, "method": method, "next_n": look.decision.next_n, "place": "off"}
    if look.decision.significant:
        place = "off" if look.result is None else _place(look.result.gap)
        small = SMALL.format(**told) if look.within(margin) else ""
        return RULE_DIFFERENT.format(**{**told, "place": place, "small": small})
    if look.within(margin):
        state = "ended without a difference" if look.decision.stop else "goes on for a difference"
        return RULE_EQUIVALENT.format(**told, state=state)
    return (RULE_ENDED if look.decision.stop else RULE_GOES_ON).format(**told)


def gap_of(result: TestResult | None) -> str:
    """The gap at a look, which needs the scores of its seeds."""
    return (
        "a gap that its seeds no longer have scores for" if result is None else f"{signed(result.gap)} on the average"
    )


def repeated(interval: Interval | None, margin: float) -> str:
    """A look's own interval, which the margin is held against."""
    if interval is None:
        return ""
    return REPEATED.format(confidence=interval.confidence, interval=signed_range(interval.low, interval.high, margin))


def stopping(kept: KeptRule) -> str:
    """How seeds were added; test sets are on record by the names of their settings."""
    scored = re.sub(r"\w+", lambda name: TASK_LABELS.get(name[0], name[0]), kept.scored)
    looks, spending = ", ".join(map(str, kept.rule.looks)), SPENDING[kept.rule.spending]
    return STOPPING.format(spending=spending, looks=looks, scored=scored, alpha=kept.rule.alpha)


def declaration(declared: Declared, method: str, *, rule: bool, given: bool = False) -> str:
    """What was declared, and when; a rule was written down before the first of its looks, nothing of given scores."""
    when = MARGIN_NOT_DECLARED if rule else GIVEN if given else NOT_DECLARED
    if declared.openings is not None:
        late = DECLARED_LATE.format(times=plural(declared.openings, "time"))
        when = late if declared.openings else DECLARED_WITH_RULE if rule else DECLARED_BEFORE
    return DECLARED.format(
        method=method, test=TEST_LABELS[declared.test], columns=", ".join(map(column_name, declared.columns)),
        level=declared.level, margin=declared.margin, when=when, rule=DECLARED_RULE if rule else "",
        seeds=f", first look at {plural(declared.seeds, 'seed')} per arm" if declared.seeds else "",
    )  # fmt: skip


def superseded(test: Superseded, method: str) -> str:
    """That a declared test was taken before the rule, what it gave, and the error rate of both."""
    seeds = seeds_per_arm(test.n, test.n, paired=test.test in PAIRED)
    p = ", ".join(f"{p_equals(p)} on {column_name(column)}" for column, p in test.p.items())
    told = {"test": TEST_LABELS[test.test], "level": percent(test.level), "seeds": seeds, "p": p}
    return SUPERSEDED.format(method=method, error=test.error, **told)


def look_words(decision: Decision) -> str:
    """`n = 5: p = 0.0010 against a bound of 0.00360`."""
    bound = f"a bound of {decision.bound:.5f}" if decision.bound >= 5e-6 else "a bound that hardly any gap meets"
    return f"n = {decision.n}: {p_equals(decision.p)} against {bound}"
