"""Verdict, warnings, notes: each fact once, and the gravest first."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcse_tune import records, report, stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.names import TestName
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint, Opening
from nlcse_tune.records.ledger import log_opening, read_openings
from nlcse_tune.report.numbers import signed
from nlcse_tune.report.remarks import remarks
from nlcse_tune.report.verdict_words import look_words
from nlcse_tune.study import find_study
from tests.report.made import (
    BASELINE,
    METHOD,
    averages,
    build,
    change_test,
    file_of,
    same_scores,
    verdict,
    warnings,
    words,
)
from tests.synthetic_records import VERSIONS, make_run, make_study


@pytest.mark.parametrize("test", ["welch", "student", "paired", "permutation", "signflip", "wilcoxon"])
def test_every_test_is_named_where_its_p_stands(root: Path, test: TestName) -> None:
    made = build(root, test=test)
    first = verdict(made)
    assert {"welch": "Welch", "wilcoxon": "Wilcoxon", "signflip": "sign-flip"}.get(test, test) in first.replace(
        "Student", "student"
    )
    assert "5 seeds per arm" in first or "5 shared seeds" in first
    assert made.declared == 1
    assert ("exploratory: the paired t-test over shared seeds is declared" in first) is (test != "paired")


def test_five_seeds_and_what_they_cannot_show(root: Path) -> None:
    text = words(build(root))
    assert "a sign-flip test cannot give less than 0.0625" in text
    assert "that takes 6 shared seeds." in text
    assert "in 80% of studies" in text
    assert re.search(r"at n = 5 such an interval held the true gap in \d\d% of", text)


def test_no_difference_is_not_called_equality(tmp_path: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        make_study(tmp_path, study, range(1, 6), rng)
    first = verdict(build(tmp_path))
    assert "Undecided: at the 5% level visualcse-bert shows no difference, nor does this show that there is none" in (
        first
    )


def test_unequal_n_and_missing_seeds_are_told(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2, 3), rng)
    make_study(tmp_path, METHOD, (1, 2, 4, 5), rng, shift=1)
    text = words(build(tmp_path, test="paired"))
    assert "2 shared seeds" in text.splitlines()[0]
    assert "the paired test uses shared seeds only and leaves out 3-5" in text
    assert "visualcse-bert has no record of seed 3" in text
    assert "Unequal n: simcse-bert 3, visualcse-bert 4" in text


def test_overrides_do_not_pass_for_the_study_as_published(tmp_path: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        values = {"train.max_steps": 273, "text.data": str(tmp_path / "my" / "corpus.txt")}
        make_study(tmp_path, study.with_overrides(values), range(1, 6), rng)
    made = report.build([METHOD.with_overrides(values)], tmp_path)
    text = words(made)
    assert "ours minus published" not in text
    assert "text.data: corpus.txt against wiki1m_for_simcse.txt" in text
    assert "train.max_steps: 273 against null" in text


def test_another_setting_of_the_sub_sets_is_not_the_published_one(root: Path) -> None:
    for study in (METHOD, BASELINE):
        for seed in range(1, 6):
            change_test(root, study, seed, setting="wmean")
    assert "eval.setting: wmean against all" in words(build(root))


def test_a_seed_of_the_search_is_warned_of(root: Path, rng: np.random.Generator) -> None:
    assert not warnings(build(root))
    make_run(root, METHOD, 42, rng)
    assert warnings(build(root)).startswith("visualcse-bert has seed 42 in its table")


def test_a_side_that_taught_nothing_is_warned_of(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2, 3), rng)
    losses = {1: (0.0, 0.0), 2: (0.7, 0.6), 3: (0.0, 0.0)}
    for seed, pair in losses.items():
        curve = tuple(DevPoint(step=125 * step, score=80, side_loss=loss) for step, loss in enumerate(pair, start=1))
        make_run(tmp_path, METHOD, seed, rng, points=2, dev_curve=curve, best_dev=80, best_step=125)
    assert warnings(build(tmp_path)).startswith("visualcse-bert, seeds 1, 3: the side loss was the same at every")


def test_one_seed_has_no_std_and_no_test(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1,), rng)
    make_study(tmp_path, METHOD, (1,), rng)
    made = build(tmp_path)
    assert "needs at least 2 seeds per arm, got 1 and 1" in words(made)
    assert "Looked at beside" not in words(made)
    assert "one seed cannot tell a better method" in words(made)
    row = next(line for line in report.markdown(made).splitlines() if line.startswith("| visualcse-bert"))
    assert "±" not in row
    report.write_report(made, figures=True)


def test_openings_of_the_test_sets_are_counted(root: Path) -> None:
    assert "test sets first opened 2026-11-20T12:00:00+00:00 by `seeds`, not since." in words(build(root))
    paths = StudyPaths(root, METHOD.name)
    own, opening = file_of(root, METHOD, 1).stem, Opening.by_this_command("evaluate")
    for run in ("0123456789ab-s1", own, own.replace("-s1", "-s2")):  # another configuration's is not counted
        log_opening(paths, opening, run)
    assert f"by `seeds`, 1 time since, last {read_openings(paths)[0][-1].time}." in words(build(root))


def test_a_torn_log_of_openings_is_told_and_blocks_nothing(root: Path) -> None:
    paths = StudyPaths(root, METHOD.name)
    with paths.opening_lines.open("ab") as stream:
        stream.write(b'{"time": "2026-11-2')  # of an early version, which was killed in mid-line
    assert "test-openings: 1 opening that cannot be read" in words(build(root))
    log_opening(paths, Opening.by_this_command("evaluate"), file_of(root, METHOD, 1).stem)
    openings, unreadable = read_openings(paths)
    assert (len(openings), unreadable) == (2, 1)


def test_shared_and_separate_text_settings_are_told_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2), rng)
    make_study(tmp_path, METHOD, (1, 2), rng, config=METHOD.configure({"text.batch_size": 128}))
    text = words(build(tmp_path))
    assert "do not share their text settings (simcse-bert against visualcse-bert), so the gap holds the effect" in text
    assert "of these too: text.batch_size: 64 against 128." in text
    for search_seed in range(3):
        config = METHOD.configure({"side.learning_rate": 1e-6 * (search_seed + 2)})
        make_run(tmp_path, METHOD, 42, rng, config=config, tested=False)
    assert "Search runs on record: simcse-bert 0, visualcse-bert 3; the tuning was not equal" in words(build(tmp_path))


def test_a_searchs_own_choice_is_recognised(root: Path) -> None:
    assert "share every encoder, text and training setting" in words(build(root))
    choice = records.Choice(
        study=METHOD.name, run_id="0" * 12 + "-s42", point=METHOD.own_point, dev=80.0, config=METHOD.config, data={},
        seed=42, searched=18, checkpoint="checkpoints/x/best",
    )  # fmt: skip
    choice.write(StudyPaths(root, METHOD.name).search)
    assert "visualcse-bert uses the configuration that its own search chose on STS-B dev (18 runs, seed 42)" in words(
        build(root)
    )
    other = METHOD.configure({"side.weight": 0.5})
    choice.model_copy(update={"config": other}).write(StudyPaths(root, METHOD.name).search)
    assert "visualcse-bert does not use the configuration that its last search chose" in words(build(root))


def test_devices_that_go_with_the_method_are_pointed_at(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2), rng)
    make_study(tmp_path, METHOD, (1, 2), rng, versions=VERSIONS.model_copy(update={"device": "cpu, 2 threads"}))
    text = words(build(tmp_path))
    assert "Runs differ in device, which goes with the method and may be part of a gap: H100 (simcse-bert); cpu" in text


def test_published_numbers_stand_beside_ours(root: Path) -> None:
    made = build(root)
    table = report.markdown(made)
    assert "76.96 ± 0.38" in table
    assert "77.50" in table
    p = stats.welch_t(list(averages(root, METHOD).values()), stats.Summary(76.96, 0.38, 5)).p
    assert f"Welch p = {p:.4f}" in words(made) or "Welch p < 0.0001" in words(made)


def test_a_gap_to_a_published_number_is_exploratory(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, METHOD, range(1, 6), rng, shift=-9)
    text = warnings(build(tmp_path))
    assert "Welch p < 0.0001: a difference at the 5% level, exploratory." in text
    assert "they differ" not in text


def test_a_stopping_rule_takes_the_verdict(root: Path) -> None:
    paths = StudyPaths(root, METHOD.name)
    rule = stats.StoppingRule("welch", "obrien-fleming", 0.05, (5, 10), (0.0036, 0.045))
    arms = build(root).blocks[0].comparisons[0]
    method, baseline = (arm.runs[0].record.key for arm in (arms.method, arms.baseline))
    kept = kept_rule(rule, (method, baseline))
    kept.write(paths.rule(kept.keys))
    assert records.KeptRule.read(paths.rule((method, baseline))) == kept
    assert records.KeptRule.read(paths.rule((baseline, method))) is None
    text = words(build(root))
    assert "(O'Brien-Fleming spending; looks at 5, 10 seeds, at x; error rate 0.05 over all looks)." in text
    assert "Looks of the rule before its last" not in text
    assert "no part of its looks" not in text
    first = verdict(build(root))
    assert len(sentences(first)) == 3
    assert "look at n = 5: p = 0.0010 against a bound of 0.00360, two-sided by Welch's t-test, 5 seeds per arm" in first
    assert "Different: the rule found a difference, visualcse-bert above its baseline" in first
    own = stats.welch_t(list(averages(root, METHOD).values()), list(averages(root, BASELINE).values()))
    repeated = stats.t_interval(own, 1 - 0.0036)
    assert f"repeated 99.6% interval {signed(repeated.low)} to {signed(repeated.high)}" in first
    assert "take n as fixed and are too optimistic" in text
    table = report.markdown(build(root))
    assert "(Welch's t-test; n taken as fixed) and Hedges' g" in table
    assert "all else is exploratory; n taken as fixed)" in table
    assert f"the seeds of the rule's last look give p = {own.p:.4f} today, not the p = 0.0010" in warnings(build(root))


def test_a_stopping_rule_holds_for_its_own_configurations_only(root: Path) -> None:
    paths = StudyPaths(root, METHOD.name)
    rule = stats.StoppingRule("welch", "obrien-fleming", 0.05, (5, 10), (0.0, 0.045))
    kept_rule(rule, ("0" * 12, "1" * 12)).write(paths.rule(kept_rule(rule, ("0" * 12, "1" * 12)).keys))
    assert "rule" not in words(build(root))
    assert look_words(rule.decide(5, 0.001)) == "n = 5: p = 0.0010 against a bound that hardly any gap meets"


def kept_rule(rule: stats.StoppingRule, keys: tuple[str, str]) -> records.KeptRule:
    """The rule with a first look at five seeds, p = 0.001."""
    return records.KeptRule(keys=keys, scored="x", seeds=tuple(range(1, 11)), rule=rule, taken=(rule.decide(5, 0.001),))


# The whole


def sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)


def test_a_report_of_five_seeds_is_read_at_a_glance_and_loses_no_fact(root: Path) -> None:
    made = build(root)
    [said] = remarks(made)
    gap = made.blocks[0].comparisons[0].gaps["avg"]
    assert gap.result
    assert gap.interval
    assert gap.bootstrap
    assert gap.signflip
    assert gap.correlation is not None
    [shown] = said.verdict
    assert len(sentences(shown)) == 3
    assert len(said.warnings) <= 6
    facts = [
        f"visualcse-bert against simcse-bert: {signed(gap.gap)} on the average",
        f"95% paired t interval {signed(gap.interval.low)} to {signed(gap.interval.high)}",
        f"two-sided p = {gap.result.p:.4f} by the paired t-test over 5 shared seeds (Welch's, which",
        "Different: at the 5% level visualcse-bert is above its baseline, and the choice of seeds alone rarely gives",
        "Were these stds the true ones, a paired t-test at level 0.05",
        "equivalence of equal methods within 0.5 points 17 shared seeds",
        "visualcse-bert declares the paired t-test over shared seeds on the average at level 0.05, margin 0.5 points",
        "none of it was written down before the test sets were opened",
        "in 80% of studies and often miss smaller ones",
        f"as large as that seen ({gap.gap:.2f}) takes",
        "Stds of 5 seeds are rough themselves: with normal scores the true one is 0.60 to 2.87 times",
        f"the exact sign-flip test over 5 shared seeds gives p = {gap.signflip.p:.4f}",
        "cannot give less than 0.0625, so never p < 0.05, whatever the gap: that takes 6 shared seeds",
        f"both arms' averages correlate at {gap.correlation:+.2f}, a rough estimate",
        "A paired test is sharper than an unpaired one only where the true correlation is clearly positive",
        "choose between them before looking at p",
        f"nominally 95%: {signed(gap.bootstrap.low)} to {signed(gap.bootstrap.high)}; at n = 5",
        "held the true gap in 83% of simulated normal studies: prefer the t interval",
        "simcse-bert and visualcse-bert share every encoder, text and training setting; only the side differs",
        "No search runs of simcse-bert and visualcse-bert are on record here: their settings come from the studies",
        "Looked at beside 1 declared test, outside every correction: 7 exploratory columns, 1 Welch test, 1 sign-flip",
        "2 published comparisons; a small p among them is no finding",
        'STS13, STS14, STS15, STS16, STS-B, SICK-R; "all" setting; each run is tested at its best STS-B dev step',
        "simcse-bert: 5 seeds (1-5), configuration",
        "visualcse-bert: 5 seeds (1-5), configuration",
        "test sets first opened 2026-11-20T12:00:00+00:00 by `seeds`, not since",
        "simcse-bert as published (Table 1 (seed 42) and Table 3 (five seeds)): 75.74 ± 0.90, n = 5; ours minus",
        "simcse-bert as published, single score (Table 1 (seed 42) and Table 3 (five seeds)): 76.25",
        "visualcse-bert as published (Table 1 (seed 42) and Table 3 (five seeds)): 76.96 ± 0.38, n = 5; ours minus",
        "visualcse-bert as published, single score (Table 1 (seed 42) and Table 3 (five seeds)): 77.50",
        "the 95% range for one more seed of ours",
        "Seeds vary initialisation, dropout and the order of text and side data.",
        "nothing about other training data, hardware or hyper-parameters",
        "t-tests and t intervals assume normal scores, which few seeds cannot check",
        "takes the test sets as given: it is about these sentence pairs, not about others of their kind",
        "--pairs 1000 adds the pairs' own error, which can be the larger one",
    ]
    text = words(made)
    assert [fact for fact in facts if fact not in text] == []


@pytest.mark.parametrize(
    "options", [{}, {"test": "paired", "correct": "holm"}, {"test": "student", "pair_resamples": 9}]
)
def test_no_sentence_stands_twice(root: Path, rng: np.random.Generator, options: dict[str, Any]) -> None:
    for name, shift in (("audiocse-bert", 0.3), ("simcse-roberta", 0.0), ("visualcse-roberta", 0.5)):
        make_study(root, find_study(name), range(1, 7), rng, shift=shift)
    made = report.build([METHOD, "audiocse-bert", "visualcse-roberta"], root, report.ReportOptions(**options))
    assert [len(block.comparisons) for block in made.blocks] == [2, 1]
    said = [sentence for line in words(made).splitlines() for sentence in sentences(line)]
    assert sorted(said) == sorted(set(said))


def test_the_gravest_six_warnings_are_shown_and_the_others_are_notes(root: Path, rng: np.random.Generator) -> None:
    make_run(root, METHOD, 42, rng)
    make_run(root, METHOD, 6, rng, tasks=[task for task in STS_TASKS if task != "sickr"])
    make_run(root, METHOD, 7, rng, tested=False, status="failed", error="CUDA out of memory", timings=None)
    for rate in (1e-5, 2e-5):
        make_run(root, METHOD, 42, rng, config=METHOD.configure({"text.learning_rate": rate}), tested=False)
    for seed in range(8, 11):
        make_run(root, BASELINE, seed, rng)
    make_study(root, find_study("audiocse-bert"), (1,), rng)
    made = report.build([METHOD, "audiocse-bert"], root)
    [said] = remarks(made)
    assert len(said.warnings) == 6
    assert said.warnings[0].startswith("visualcse-bert has seed 42 in its table")
    assert said.warnings[1].startswith("visualcse-bert, seed 6: no score on SICK-R")
    assert any("CUDA out of memory" in note for note in said.notes)
    assert len(sentences(said.verdict[0])) == 3


def test_a_test_that_cannot_reject_is_warned_of(root: Path) -> None:
    assert "never p < 0.05, whatever the gap" in warnings(build(root, test="signflip"))
    assert "it can never give p < 0.05" in warnings(build(root, test="wilcoxon"))
    assert not warnings(build(root, test="permutation"))


def test_an_arm_whose_scores_do_not_vary_gives_no_resolution(root: Path) -> None:
    same_scores(root, METHOD, range(1, 6))
    assert "Were these stds" not in words(build(root, test="welch"))


def test_seeds_no_better_than_no_training_are_warned_of(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 6), rng)
    make_study(tmp_path, METHOD, range(1, 4), rng)
    make_study(tmp_path, METHOD, (4, 5), rng, dev_before=99.0)
    text = warnings(build(tmp_path))
    assert re.search(
        r"visualcse-bert, seeds 4, 5: training made the model no better: best STS-B dev \d\d\.\d\d against 99.00 "
        "before the first step at seed 4",
        text,
    )
    assert text.count("training made the model no better") == 1


def test_at_two_seeds_nothing_is_said_of_three(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, n in ((BASELINE, 2), (METHOD, 2)):
        make_study(tmp_path, study, range(1, n + 1), rng)
    text = words(build(tmp_path, test="welch"))
    assert "at n = 2 such an interval held the true gap in 66% of simulated normal studies: prefer" in text
    assert "n = 3" not in text
    for study in (BASELINE, METHOD):
        make_study(tmp_path, study, range(3, 8), rng)
    assert "at n = 6 such an interval held the true gap in 89% of simulated normal studies (of n = 7 it" in words(
        build(tmp_path, test="welch")
    )


def test_the_next_command_follows_from_what_was_found(root: Path, tmp_path: Path, rng: np.random.Generator) -> None:
    made = build(root)
    assert report.next_command(made) == []  # a difference, and no model left to export
    paths = StudyPaths(root, METHOD.name)
    kept = [run.record for run in made.comparisons[0].method.runs][1:3]
    for record in kept:
        paths.run(record.run_id).best.mkdir(parents=True)
    best = max(kept, key=lambda record: record.best_dev or 0)
    assert report.next_command(made) == ["export", best.run_id, "--to", "exports/visualcse-bert"]
    equal = tmp_path / "equal"
    for study in (METHOD, BASELINE):
        make_study(equal, study, range(1, 6), rng)
    assert report.next_command(build(equal)) == ["plan", "visualcse-bert"]
    assert report.next_command(build(equal), "mine.yaml") == ["plan", "mine.yaml"]
    worse = tmp_path / "worse"
    make_study(worse, BASELINE, range(1, 6), rng, shift=2)
    make_study(worse, METHOD, range(1, 6), rng, shift=-2)
    assert report.next_command(build(worse)) == []
