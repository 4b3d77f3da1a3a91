"""The stopping rule of `seeds --until-decided`, kept beside the records so that a report can say what it saw.

A rule holds for two configurations, one way to score them, and a list of seeds of which the method had been tested
with none when it was written: under another rule, or after a look, the error rate is not kept.
"""

from collections.abc import Iterator, Sequence

from nlcse_tune.records import KeptRule
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.numbers import TEST_LABELS, p_equals, seed_list
from nlcse_tune.stats import Decision


def score_words(setting: str, tasks: Sequence[str]) -> str:
    """`the "all" average of sts12, ..., sickr`."""
    return f'the "{setting}" average of {", ".join(tasks)}'


def look_words(decision: Decision) -> str:
    """`n = 5: p = 0.0010 against a bound of 0.00360`."""
    bound = f"a bound of {decision.bound:.5f}" if decision.bound >= 5e-6 else "a bound that hardly any gap meets"
    return f"n = {decision.n}: {p_equals(decision.p)} against {bound}"


def stopping_words(method: Arm, baseline: Arm) -> Iterator[str]:
    """What the rule decided, and why the ordinary p and interval must not be read in its place."""
    keys = method.runs[0].record.key, baseline.runs[0].record.key
    if (kept := KeptRule.read(method.paths.rule(keys))) is None:
        return
    rule, last = kept.rule, kept.taken[-1] if kept.taken else None
    looked = "; ".join(map(look_words, kept.taken)) or "none taken yet"
    verdict = (
        "no decision yet"
        if last is None or not last.stop
        else "the rule found a difference"
        if last.significant
        else "the rule ended without one"
    )
    before = sorted(set(method.seeds) - set(kept.seeds))
    yield (
        f"Seeds were added in rounds under a rule fixed beforehand ({TEST_LABELS[rule.test]}, {rule.spending} "
        f"spending, looks at {', '.join(map(str, rule.looks))} seeds and {kept.scored}, error rate {rule.alpha:g} over "
        "all looks): "
        f"{looked}; {verdict}. This is the valid verdict on the average: the p and 95% interval above take n as "
        "fixed and are too optimistic after such looks."
        + (f" Seeds {seed_list(before)}, tested apart from the rule, are no part of its looks." if before else "")
    )
