"""The sentences of a verdict: what a rule leaves to the notes, what Holm's correction adjusted and what it did not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import report, stats
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import KeptRule
from nlcse_tune.report.declared import Declared
from nlcse_tune.report.numbers import p_equals
from nlcse_tune.report.verdict_words import outcome, repeated
from nlcse_tune.study import find_study
from tests.report.made import BASELINE, METHOD, build, verdict, warnings, words
from tests.synthetic_records import make_run, make_study


def test_a_rule_says_its_looks_and_test_sets_and_leaves_the_earlier_looks_to_a_note(root: Path) -> None:
    rule = stats.StoppingRule("paired", "obrien-fleming", 0.05, (3, 5), (0.001, 0.045))
    [arms] = build(root).comparisons
    keys = arms.method.runs[0].record.key, arms.baseline.runs[0].record.key
    scored, taken = 'the "all" average of sts12, stsb, sickr', (rule.decide(3, 0.2), rule.decide(5, 0.02))
    own = KeptRule(keys=keys, scored=scored, seeds=(1, 2, 3, 4, 5), rule=rule, taken=taken)
    own.write(StudyPaths(root, METHOD.name).rule(own.keys))
    made = build(root)
    said = (
        'spending; looks at 3, 5 seeds, at the "all" average of STS12, STS-B, SICK-R; error rate 0.05 over all looks).'
    )
    assert verdict(made).endswith(said)
    assert "two-sided by the paired t-test over 5 shared seeds." in verdict(made)
    assert "Looks of the rule before its last: n = 3: p = 0.2000 against" in words(made)


def test_holm_leaves_a_stopping_rule_out(root: Path, rng: np.random.Generator) -> None:
    """Its verdict keeps its own level, so the fixed tests alone are the family."""
    for name in ("audiocse-bert", "visualcse-bert-released"):
        make_study(root, find_study(name).copied(baseline=BASELINE.name), range(1, 6), rng)
    others = [find_study(name).copied(baseline=BASELINE.name) for name in ("audiocse-bert", "visualcse-bert-released")]
    [alone] = build(root).comparisons
    rule = stats.StoppingRule("paired", "obrien-fleming", 0.05, (5,), (0.05,))
    keys = alone.method.runs[0].record.key, alone.baseline.runs[0].record.key
    own = KeptRule(keys=keys, scored="x", seeds=(1, 2, 3, 4, 5), rule=rule, taken=(rule.decide(5, 0.03),))
    own.write(StudyPaths(root, METHOD.name).rule(keys))
    made = report.build([METHOD, *others], root, report.ReportOptions(correct="holm"))
    averages_of = {c.method.name: c.gaps["avg"] for c in made.comparisons}
    ruled = averages_of.pop(METHOD.name)
    fixed = [gap.result.p for gap in averages_of.values() if gap.result]
    assert [gap.holm for gap in averages_of.values()] == pytest.approx(stats.holm(fixed))
    assert ruled.holm is None
    assert "Holm-corrected over the 2 declared tests" in words(made)
    assert "Holm's correction leaves out visualcse-bert: a stopping rule's verdict keeps its own level and is not" in (
        warnings(made)
    )
    assert "the chance of at least one false difference may be as high as 10%" in warnings(made)
    row = next(line for line in report.markdown(made).splitlines() if line.startswith("| visualcse-bert |"))
    assert row.split(" | ")[-2] == "-"


def test_an_equivalence_that_holm_adjusted_says_so(tmp_path: Path) -> None:
    """Two columns, both equivalent; and one that is undecided after Holm alone, of which no more is claimed."""
    gap = build(_near(tmp_path)).comparisons[0].gaps["avg"]
    assert gap.result is not None
    assert gap.equivalence is not None
    declared = Declared("paired", ("avg",), 0.05, 0.5)
    for adjusted, after in ((gap.equivalence.p, ""), (0.04, " after Holm")):
        said = outcome(replace(gap, holm=1.0, holm_equivalence=adjusted), "m", declared)
        assert f"(two one-sided tests, {p_equals(adjusted)}{after})" in said
    undecided = outcome(replace(gap, holm=0.06, holm_equivalence=0.2), "m", declared)
    assert undecided.endswith("(equivalence: p = 0.2000 after Holm).")


def _near(root: Path) -> Path:
    """Arms that move together over seeds but for a little."""
    for study, scale in ((BASELINE, 0.0), (METHOD, 0.02)):
        for seed in range(1, 6):
            make_run(root, study, seed, np.random.default_rng(seed), shift=scale * (seed - 3))
    return root


def test_an_end_that_rounds_to_the_margin_has_more_decimals() -> None:
    told = "repeated 96.6% interval"
    assert f"{told} -0.010 to +0.498," in repeated(stats.Interval(-0.01, 0.4983, 0.966), 0.5)
    assert f"{told} -0.5002 to +0.1000," in repeated(stats.Interval(-0.5002, 0.1, 0.966), 0.5)
    assert f"{told} -0.01 to +0.49," in repeated(stats.Interval(-0.01, 0.4883, 0.966), 0.5)
