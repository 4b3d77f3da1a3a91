"""What was declared, when, and the looks taken since; what the verdict makes of both."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import records, report, stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import log_opening
from nlcse_tune.report.remarks import remarks
from nlcse_tune.study import Confirm, Study
from tests.report.made import BASELINE, METHOD, build, file_of, same_scores, verdict, warnings, words
from tests.synthetic_records import DATA, make_run, make_study


def keys(root: Path) -> tuple[str, str]:
    arms = build(root).blocks[0].comparisons[0]
    return arms.method.runs[0].record.key, arms.baseline.runs[0].record.key


def declare(root: Path, *made: records.Declaration) -> None:
    records.Declarations(made=made).write(StudyPaths(root, METHOD.name).declarations)


def declaration(root: Path, **changes: object) -> records.Declaration:
    terms = {"test": "paired", "columns": ("avg",), "level": 0.05, "margin": 0.5, "looks": (5,), "openings": 0}
    return records.Declaration(keys=keys(root), time="2026-11-20T09:00:00+00:00", **{**terms, **changes})  # type: ignore[arg-type]


def grow(
    root: Path, seeds: Sequence[int], rng: np.random.Generator, *, time: str, command: str = "seeds --n 10"
) -> None:
    """Tests more seeds of both arms, by one command, one line of the log a run, as early versions wrote it."""
    for study, shift in ((BASELINE, 0.0), (METHOD, 0.6)):
        for seed in seeds:
            run = make_run(root, study, seed, rng, shift=shift).run_id
            line = {"time": time, "command": command, "by": "seeds", "runs": [run]}
            with StudyPaths(root, study.name).opening_lines.open("a") as stream:
                stream.write(json.dumps(line) + "\n")


def equal_arms(root: Path, rng: np.random.Generator, spread: float, n: int = 5) -> None:
    """Arms whose scores move together over seeds, but for `spread`."""
    for study in (BASELINE, METHOD):
        draws = np.random.default_rng(4)
        for seed in range(1, n + 1):
            shift = draws.normal(0, 1) + (spread * rng.standard_normal() if study is METHOD else 0)
            make_run(root, study, seed, np.random.default_rng(seed), shift=shift)


def test_arms_that_share_their_text_stream_are_paired_and_others_are_not(root: Path, tmp_path: Path) -> None:
    [shared] = build(root).comparisons
    assert (shared.test, shared.gaps["avg"].welch is not None) == ("paired", True)
    other = METHOD.configure({"text.batch_size": 128})
    apart = tmp_path / "apart"
    for study, config, seed in ((BASELINE, None, 1), (METHOD, other, 2)):
        make_study(apart, study, range(1, 4), np.random.default_rng(seed), config=config)
    [comparison] = build(apart).comparisons
    assert (comparison.test, comparison.gaps["avg"].welch) == ("welch", None)
    named = METHOD.copied(confirm=Confirm(test="student"))
    assert report.build([named], root).comparisons[0].test == "student"


def test_what_was_declared_before_the_first_opening_counts(root: Path) -> None:
    declare(
        root,
        declaration(root, test="welch"),
        declaration(root, test="student", level=0.01),
        declaration(root, test="paired", openings=2),
    )
    made = build(root)
    [comparison] = made.comparisons
    assert (comparison.test, comparison.declared.level) == ("student", 0.01)  # the last before an opening
    assert "written down before its test sets were opened" in words(made)
    told = "declared otherwise after its test sets had been opened, and that does not count here "
    told += "(test: paired against student; level: 0.05 against 0.01)"
    assert told in warnings(made)
    declare(root, declaration(root, openings=3))
    assert "it was written down when the method had been scored 3 times" in warnings(build(root))
    declare(root, declaration(root))
    assert not warnings(build(root))
    changed = report.build([METHOD.copied(confirm=Confirm(margin=1.0))], root)
    assert "margin: 1.0 against 0.5" in warnings(changed)
    assert changed.comparisons[0].declared.margin == 0.5


def test_an_arm_that_grew_after_a_look_is_told_of_with_the_error_of_that_path(
    root: Path, rng: np.random.Generator
) -> None:
    grow(root, range(6, 11), rng, time="2026-11-21T09:00:00+00:00")
    rate = stats.looking_error((5, 10), paired=True)
    first = verdict(build(root))
    assert f"(at 5 per arm, now 10): whoever decides so finds a difference between equal methods in {rate:.1%}" in first
    assert "`nlcse-tune seeds visualcse-bert --until-decided` decides over fresh seeds" in first
    assert len(re.split(r"(?<=\.)\s+(?=[A-Z])", first)) == 3
    grow(root, range(11, 21), rng, time="2026-11-22T09:00:00+00:00", command="seeds --n 20")
    assert "(at 5, 10 per arm, now 20): whoever decides so" in verdict(build(root))
    welch = stats.looking_error((5, 10, 20), paired=False)
    assert f"in {welch:.1%} of simulated studies" in verdict(build(root, test="welch"))
    declare(root, declaration(root, looks=(20,), openings=1))  # written after the first look: no plan
    assert "(at 5, 10 per arm, now 20)" in verdict(build(root))
    declare(root, declaration(root, looks=(20,)))  # then the looks before 20 decided nothing
    assert "after a look" not in verdict(build(root))


def test_the_same_command_again_is_no_second_look(root: Path, rng: np.random.Generator) -> None:
    grow(root, (6,), rng, time="2026-11-20T12:00:30+00:00", command="seeds")  # as the opening of seeds 1 to 5
    evaluated = file_of(root, METHOD, 1).stem
    log_opening(StudyPaths(root, METHOD.name), records.Opening.by_this_command("evaluate"), evaluated)
    assert "after a look" not in verdict(build(root))


def test_growing_beyond_the_declared_number_is_a_look_whatever_the_command(
    root: Path, rng: np.random.Generator
) -> None:
    grow(root, range(6, 11), rng, time="2026-11-20T12:00:30+00:00", command="seeds")  # as the opening of seeds 1 to 5
    declare(root, declaration(root), declaration(root, looks=(10,), openings=1))
    made = build(root)
    rate = stats.looking_error((5, 10), paired=True)
    assert f"(at 5 per arm, now 10): whoever decides so finds a difference between equal methods in {rate:.1%}" in (
        verdict(made)
    )
    assert "does not count here (seeds: 10 against 5)" in warnings(made)


def test_fewer_seeds_than_declared_are_a_look_before_the_end(root: Path) -> None:
    declare(root, declaration(root, looks=(8,)))
    assert "Declared were 8 seeds per arm, and 5 are tested: this is a look before the end" in verdict(build(root))


@pytest.mark.parametrize(("spread", "margin", "shown"), [(0.2, 0.5, "Equivalent"), (0.2, 0.05, "Undecided")])
def test_equal_arms_are_equivalent_where_the_seeds_show_it(
    tmp_path: Path, rng: np.random.Generator, spread: float, margin: float, shown: str
) -> None:
    equal_arms(tmp_path, rng, spread)
    made = report.build([METHOD.copied(confirm=Confirm(margin=margin))], tmp_path)
    gap = made.comparisons[0].gaps["avg"]
    assert f"{shown}: at the 5% level visualcse-bert" in verdict(made)
    assert f"p = {gap.p_equivalence:.4f}" in verdict(made)
    assert gap.p is not None
    assert gap.p > 0.05


def test_a_difference_smaller_than_the_margin_is_both(root: Path) -> None:
    first = verdict(report.build([METHOD.copied(confirm=Confirm(margin=5.0))], root))
    assert "Different: at the 5% level" in first
    assert "it is smaller than the margin of 5 points all the same" in first


def test_several_declared_columns_share_a_verdict_of_three_sentences(root: Path) -> None:
    made = report.build([METHOD.copied(confirm=Confirm(columns=("stsb", "avg")))], root)
    first = verdict(made)
    assert len(re.split(r"(?<=\.)\s+(?=[A-Z])", first)) == 3
    assert re.search(r"on STS-B \(.*after Holm over 2 tests.* on the average", first)
    assert "At the 5% level, visualcse-bert: STS-B: undecided; the average: different (above its baseline)." in first
    table = report.markdown(made)
    assert table.index("| STS-B |", table.index("minus")) < table.index("| STS12 |", table.index("minus"))
    assert "(declared: STS-B, Avg.; all else is exploratory)" in table


def kept(root: Path, study: Study, looks: Sequence[tuple[int, float]], taken: int) -> None:
    """A rule with these looks and bounds of which the first `taken` are taken, with the p that the records give."""
    [comparison] = report.build([study], root).comparisons
    a, b = (arm.scores("avg", STS_TASKS) for arm in (comparison.method, comparison.baseline))
    rule = stats.StoppingRule(
        "paired", "obrien-fleming", 0.05, tuple(n for n, _ in looks), tuple(bound for _, bound in looks)
    )
    decisions = []
    for n in rule.looks[:taken]:
        seeds = range(1, n + 1)
        decisions.append(rule.decide(n, stats.paired_t([a[s] for s in seeds], [b[s] for s in seeds]).p))
    own = records.KeptRule(
        keys=keys(root), scored="x", seeds=tuple(range(1, looks[-1][0] + 1)), rule=rule, taken=tuple(decisions)
    )
    own.write(StudyPaths(root, METHOD.name).rule(own.keys))


def test_a_declared_test_that_a_rule_supersedes_is_warned_of(root: Path, rng: np.random.Generator) -> None:
    """Welch's test over seeds 1 to 5, declared beforehand and taken; then a rule over fresh seeds."""
    expected = build(root, test="welch").comparisons[0].gaps["avg"].result
    assert expected is not None
    grow(root, range(6, 11), rng, time="2026-11-21T09:00:00+00:00", command="seeds --until-decided")
    declare(root, declaration(root, test="welch"), declaration(root, looks=(3, 5), margin=0.7, openings=1))
    rule = stats.StoppingRule("paired", "obrien-fleming", 0.05, (3, 5), (0.01, 0.045))
    own = records.KeptRule(keys=keys(root), scored="x", seeds=tuple(range(6, 11)), rule=rule)
    taken = (rule.decide(3, 0.2), rule.decide(5, 0.03))
    own.model_copy(update={"taken": taken}).write(StudyPaths(root, METHOD.name).rule(own.keys))
    made = build(root)
    [comparison] = made.comparisons
    assert comparison.superseded is not None
    assert comparison.superseded.error == pytest.approx(1 - 0.95**2)
    assert (
        "Before its stopping rule was begun, visualcse-bert had declared Welch's t-test at the 5% level and taken it "
        f"over 5 seeds per arm (p = {expected.p:.4f} on the average); the rule's error rate leaves that test out: "
        "together they find a difference between equal methods in 9.8% of studies."
    ) in warnings(made)
    assert (
        "visualcse-bert declares the paired t-test over shared seeds on the average at level 0.05 over all looks of "
        "its stopping rule, margin 0.7 points, written down before the rule's first look."
    ) in words(made)
    assert "declares Welch" not in words(made)
    declare(root, declaration(root, looks=(3, 5), openings=1))  # nothing was declared of seeds 1 to 5
    assert build(root).comparisons[0].superseded is None


def test_a_rule_that_ends_above_its_bound_is_no_difference_whatever_p_says(root: Path) -> None:
    p = build(root).comparisons[0].gaps["avg"].p
    assert p is not None
    assert p < 0.05
    kept(root, METHOD, [(3, 1e-4), (5, p * 0.8)], taken=2)
    first = verdict(build(root))
    assert "Different" not in first
    assert "above its baseline" not in first
    assert "Undecided: the rule for visualcse-bert ended without a difference" in first
    assert f"look at n = 5: p = {p:.4f} against a bound of {p * 0.8:.5f}" in first
    assert not warnings(build(root))


def test_a_rule_shows_equivalence_by_its_repeated_interval(tmp_path: Path, rng: np.random.Generator) -> None:
    equal_arms(tmp_path, rng, 0.2, n=6)
    kept(tmp_path, METHOD, [(5, 0.001), (6, 0.04)], taken=2)
    assert (
        "Equivalent: the repeated interval has visualcse-bert within 0.5 points of its baseline, and the rule ended"
        in verdict(build(tmp_path))
    )
    kept(tmp_path, METHOD, [(5, 1e-7), (6, 0.04)], taken=1)
    assert "Undecided: no decision yet; `nlcse-tune seeds visualcse-bert --until-decided` goes on to n = 6" in verdict(
        build(tmp_path)
    )
    kept(tmp_path, METHOD, [(5, 0.001), (6, 0.04)], taken=0)
    assert "has taken no look, so there is no verdict yet" in verdict(build(tmp_path))


def test_what_else_was_looked_at_is_counted(root: Path, rng: np.random.Generator) -> None:
    assert "Looked at beside 1 declared test, outside every correction: 7 exploratory columns, 1 Welch test" in words(
        build(root)
    )
    for rate in (2e-6, 5e-6):
        make_run(root, METHOD, 1, rng, config=METHOD.configure({"side.learning_rate": rate}))
    own = records.configuration_key(METHOD.config, {**DATA, "side": "s1"})
    made = build(root, choose={METHOD.name: own})
    assert "2 other tested configurations of visualcse-bert; a small p among them is no finding" in warnings(made)


def test_skewed_scores_bring_the_bootstrap_t(tmp_path: Path) -> None:
    for study in (BASELINE, METHOD):
        for seed in range(1, 9):
            lift = 8.0 if (study, seed) == (METHOD, 3) else 0.0
            make_run(tmp_path, study, seed, np.random.default_rng(seed * (1 + (study is METHOD))), shift=lift)
    made = build(tmp_path)
    gap = made.comparisons[0].gaps["avg"]
    assert gap.bootstrap_t is not None
    assert f"The differences of the averages have a skewness of {gap.skewed['differences']:+.2f}" in warnings(made)
    assert f"the bootstrap-t gives p = {gap.bootstrap_t.p:.4f}" in warnings(made)
    unpaired = build(tmp_path, test="welch").comparisons[0].gaps["avg"]
    assert set(unpaired.skewed) == {"method"}


def test_scores_without_spread_between_arms_end_in_words(root: Path) -> None:
    for study in (METHOD, BASELINE):
        same_scores(root, study, range(1, 6))
    [said] = remarks(build(root))
    assert "not tested: paired: the differences over shared seeds are all the same" in said.verdict[0]
