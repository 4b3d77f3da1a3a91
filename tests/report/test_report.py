"""Records in, tables, figures and sentences out; and everything that a report must refuse or say."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from typer import Typer
from typer.testing import CliRunner

from benchmarks.report import VERSIONS, make_run, make_study
from nlcse_tune import records, report, stats
from nlcse_tune.cli import report as cli_report
from nlcse_tune.config import STS_TASKS
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.paths import StudyPaths, studies_with_tests
from nlcse_tune.records import TestRecord
from nlcse_tune.report import plan as plans
from nlcse_tune.report.numbers import p_value, seed_list, signed
from nlcse_tune.report.published import compare_words, parse_summary
from nlcse_tune.report.words import block_words
from nlcse_tune.study import Study, find_study

METHOD, BASELINE = find_study("visualcse-bert"), find_study("simcse-bert")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Five tested seeds a side, 1.2 points apart."""
    make_study(tmp_path, BASELINE, range(1, 6), rng, shift=-0.6)
    make_study(tmp_path, METHOD, range(1, 6), rng, shift=0.6)
    return tmp_path


def build(root: Path, **options: object) -> report.Report:
    return report.build([METHOD], root, report.ReportOptions(**options))  # type: ignore[arg-type]


def words(made: report.Report) -> str:
    return "\n".join(line for block in made.blocks for line in block_words(block, made))


def averages(root: Path, study: Study) -> dict[int, float]:
    """Average by seed, straight from the test records' files."""
    found = {}
    for path in StudyPaths(root, study.name).tests.glob("*.json"):
        scores = json.loads(path.read_text())["scores"]
        found[int(path.stem.rsplit("-s", 1)[1])] = sum(scores[task]["all"] for task in STS_TASKS) / 7
    return dict(sorted(found.items()))


def read_test(path: Path) -> TestRecord:
    return TestRecord.model_validate_json(path.read_bytes())


def change_test(root: Path, study: Study, seed: int, **changes: object) -> None:
    paths = StudyPaths(root, study.name)
    path = next(paths.tests.glob(f"*-s{seed}.json"))
    read_test(path).model_copy(update=changes).write(paths.run(path.stem).test)


# Numbers


def test_a_report_holds_the_statistics_of_the_records(root: Path) -> None:
    gap = build(root).blocks[0].comparisons[0].gaps["avg"]
    a, b = averages(root, METHOD), averages(root, BASELINE)
    expected = stats.welch_t(list(a.values()), list(b.values()))
    assert gap.result is not None
    assert (gap.gap, gap.result.p) == pytest.approx((expected.gap, expected.p))
    assert (gap.method.n, gap.baseline.n) == (5, 5)
    assert gap.method.std == pytest.approx(np.std(list(a.values()), ddof=1))


@pytest.mark.parametrize("test", ["welch", "student", "paired", "permutation", "signflip", "wilcoxon"])
def test_every_test_is_named_where_its_p_stands(root: Path, test: report.TestName) -> None:
    made = build(root, test=test)
    first = words(made).splitlines()[0]
    assert {"welch": "Welch", "wilcoxon": "Wilcoxon", "signflip": "sign-flip"}.get(test, test) in first.replace(
        "Student", "student"
    )
    assert "5 seeds a side" in first or "5 shared seeds" in first
    assert made.family == 8


def test_holm_is_over_every_test_of_the_report(root: Path) -> None:
    made = build(root, correct="holm")
    gaps = list(made.blocks[0].comparisons[0].gaps.values())
    expected = stats.holm([gap.result.p for gap in gaps if gap.result])
    assert [gap.holm for gap in gaps] == pytest.approx(expected)
    assert "Holm over 8 tests" in words(made)


def test_five_seeds_and_what_they_cannot_show(root: Path) -> None:
    text = words(build(root))
    assert "it cannot give less than 0.0625" in text
    assert "takes 6 shared seeds, 9 with Holm over 8 tests" in text.replace("that ", "")
    assert "in 80% of such studies" in text
    assert re.search(r"at n = 5 such an interval held the true gap in \d\d% of", text)


def test_no_difference_is_not_called_equality(tmp_path: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        make_study(tmp_path, study, range(1, 6), rng)
    first = words(build(tmp_path)).splitlines()[0]
    assert "this shows no difference, nor does it show that there is none" in first


# What must never happen


def test_a_missing_task_is_absent_everywhere(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 6), rng)
    make_study(tmp_path, METHOD, range(1, 5), rng)
    make_run(tmp_path, METHOD, 5, rng, tasks=[task for task in STS_TASKS if task != "sickr"])
    change_test(tmp_path, METHOD, 5, missing={"sickr": "SICK-R not found"})
    made = build(tmp_path)
    gaps = made.blocks[0].comparisons[0].gaps
    assert (gaps["sickr"].method.n, gaps["avg"].method.n, gaps["sts12"].method.n) == (4, 4, 5)
    assert gaps["sickr"].method.mean > 60
    assert "visualcse-bert, seed 5: no score on SICK-R (SICK-R not found)" in words(made)
    assert "(n=4)" in report.markdown(made)
    rows = list(csv.DictReader(io.StringIO(report.seeds_csv(made))))
    assert not [r for r in rows if r["study"] == METHOD.name and r["seed"] == "5" and r["column"] in ("sickr", "avg")]


def test_an_average_of_fewer_tasks_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        make_study(tmp_path, study, range(1, 4), rng, tasks=["stsb", "sickr"])
    made = build(tmp_path)
    assert "Avg. of 2" in report.markdown(made)
    assert "published, seeds" not in report.markdown(made)  # of seven tasks
    assert "77.50" not in report.markdown(made)
    assert "over 2 tasks" in words(made)
    assert "avg_of_2" in report.summary_csv(made)


def test_failed_stopped_and_untested_runs_are_listed(root: Path, rng: np.random.Generator) -> None:
    make_run(root, METHOD, 6, rng, tested=False, status="failed", error="CUDA out of memory", points=0, timings=None)
    make_run(root, METHOD, 7, rng, tested=False)
    make_run(root, METHOD, 8, rng, status="stopped")
    made = build(root)
    text = words(made)
    assert "seed 6: failed: CUDA out of memory" in text
    assert "seed 7: trained but not tested" in text
    assert "seed 8: stopped at step 1500, tested all the same" in text
    assert "simcse-bert has no record of seeds 6-8" in text
    assert made.blocks[0].comparisons[0].gaps["avg"].method.n == 5


def test_unequal_n_and_missing_seeds_are_told(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2, 3), rng)
    make_study(tmp_path, METHOD, (1, 2, 4, 5), rng, shift=1)
    text = words(build(tmp_path, test="paired"))
    assert "2 shared seeds" in text.splitlines()[0]
    assert "the paired test uses shared seeds only and leaves out 3-5" in text
    assert "visualcse-bert has no record of seed 3" in text
    assert "Unequal n: simcse-bert 3, visualcse-bert 4" in text


def test_configurations_are_never_averaged_together(root: Path, rng: np.random.Generator) -> None:
    other = METHOD.configure({"side.learning_rate": 2e-6})
    record = make_run(root, METHOD, 6, rng, config=other)
    with pytest.raises(DataError, match=r"side\.learning_rate: 1e-06 against 2e-06") as error:
        build(root)
    prefix = record.run_id.rsplit("-s", 1)[0]
    assert f"--config visualcse-bert={prefix}" in str(error.value)
    chosen = build(root, choose={"visualcse-bert": prefix})
    assert chosen.blocks[0].comparisons[0].method.seeds == (6,)
    with pytest.raises(DataError, match="no tested run's id starts with 'ffff'"):
        build(root, choose={"visualcse-bert": "ffff"})
    with pytest.raises(DataError, match="not a study of this report"):
        build(root, choose={"audiocse-bert": prefix})


def test_a_look_can_be_taken_at_the_first_seeds_alone(root: Path) -> None:
    made = build(root, seeds=(1, 2, 3))
    gap = made.blocks[0].comparisons[0].gaps["avg"]
    a, b = averages(root, METHOD), averages(root, BASELINE)
    expected = stats.welch_t([a[s] for s in (1, 2, 3)], [b[s] for s in (1, 2, 3)])
    assert gap.result is not None
    assert gap.result.p == pytest.approx(expected.p)
    assert "seed 4: not asked for; seed 5: not asked for" in words(made)


def test_data_are_never_averaged_or_compared_across(root: Path, rng: np.random.Generator) -> None:
    make_run(root, METHOD, 6, rng, data={"text": "t2"})
    with pytest.raises(DataError, match="data text: t1 against t2"):
        build(root)


def test_arms_on_other_data_are_not_compared(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2), rng)
    make_study(tmp_path, METHOD, (1, 2), rng, data={"dev": "d2"})
    with pytest.raises(DataError, match=r"visualcse-bert and simcse-bert cannot be compared.*data dev: d2 against d1"):
        build(tmp_path)


def test_evaluation_settings_are_never_mixed(root: Path) -> None:
    change_test(root, METHOD, 2, setting="wmean")
    with pytest.raises(DataError, match=r"seeds 1 and 2 .* setting: all against wmean"):
        build(root)
    for seed in range(1, 6):
        change_test(root, METHOD, seed, setting="wmean")
    with pytest.raises(DataError, match="cannot be compared: they differ in setting: wmean against all"):
        build(root)


def test_test_sets_are_never_mixed(root: Path) -> None:
    change_test(root, BASELINE, 3, data={"sts12": "sha-other"})
    with pytest.raises(DataError, match="test data sts12: sha-sts12 against sha-other"):
        build(root)


def test_other_numerics_need_to_be_asked_for(root: Path, rng: np.random.Generator) -> None:
    newer = VERSIONS.model_copy(update={"numerics": "2"})
    make_run(root, METHOD, 6, rng, versions=newer)
    with pytest.raises(DataError, match=r"numerics: 1 against 2 \(--any-version joins them\)"):
        build(root)
    made = build(root, any_version=True)
    assert made.blocks[0].comparisons[0].method.seeds == (1, 2, 3, 4, 5, 6)
    assert "Runs differ in numerics: 1 (simcse-bert, visualcse-bert); 2 (visualcse-bert)" in words(made)


def test_a_p_value_is_never_zero(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 6), rng, std=0.01)
    make_study(tmp_path, METHOD, range(1, 6), rng, shift=40, std=0.01)
    made = build(tmp_path)
    for text in (report.markdown(made), report.latex(made), words(made), terminal_text(made)):
        assert "0.0000" not in text
        assert "0.0001" in text
    assert p_value(0.0) == "< 0.0001"
    assert p_value(None) == "-"


def test_a_test_set_that_the_first_seed_lacks_is_still_one(root: Path, rng: np.random.Generator) -> None:
    """Seed 1 without SICK-R hides nothing: seeds 2 and 3 were scored on different ones."""
    first = read_test(_test_file(root, METHOD, 1))
    lacking = {task: score for task, score in first.scores.items() if task != "sickr"}
    prints = {task: value for task, value in first.data.items() if task != "sickr"}
    change_test(root, METHOD, 1, scores=lacking, data=prints)
    change_test(root, METHOD, 3, data={**first.data, "sickr": "sha-other"})
    with pytest.raises(DataError, match=r"seeds 2 and 3 .* test data sickr"):
        build(root)


def test_a_test_set_is_the_same_on_both_sides(root: Path) -> None:
    for seed in range(1, 6):
        record = read_test(_test_file(root, METHOD, seed))
        change_test(root, METHOD, seed, data={**record.data, "sickr": "sha-other"})
    with pytest.raises(DataError, match="test data sickr: sha-other against sha-sickr"):
        build(root)
    with pytest.raises(DataError, match="test data sickr"):
        arms = [report.collect(study, root) for study in (METHOD, BASELINE)]
        plans.spread(arms[0], arms[1], STS_TASKS)


def test_a_chosen_configuration_does_not_hide_the_search(root: Path, rng: np.random.Generator) -> None:
    for rate in (1e-5, 2e-5, 5e-5):
        config = METHOD.configure({"text.learning_rate": rate})
        make_run(root, METHOD, METHOD.search_seed, rng, config=config, tested=False)
    make_run(root, METHOD, 9, rng, config=METHOD.configure({"text.learning_rate": 7e-5}))
    arm = report.collect(METHOD, root, choose=_test_file(root, METHOD, 1).stem.rpartition("-s")[0])
    assert arm.seeds == (1, 2, 3, 4, 5)
    assert arm.search_runs == 3
    assert arm.left_out == ("1 run of other configurations",)
    searched = next(r for r in records.ledger(StudyPaths(root, METHOD.name)) if r.seed == METHOD.search_seed)
    records.log_opening(StudyPaths(root, METHOD.name), [searched.run_id], by="evaluate")  # still a search's run
    text = words(build(root, choose={METHOD.name: arm.runs[0].record.run_id[:12]}))
    assert "1 time since" in text
    assert "Search runs on record: simcse-bert 0, visualcse-bert 3. The tuning was not equal" in text


def test_a_seed_that_was_begun_and_left_no_record_is_told(root: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        paths, run = StudyPaths(root, study.name), _test_file(root, study, 1).stem
        records.log_opening(paths, [run.replace("-s1", "-s9"), f"{run}-old"], by="seeds")
    text = words(build(root))
    assert text.count("seed 9: begun, no record: interrupted, or its process died") == 2
    make_run(root, METHOD, METHOD.search_seed, rng, status="failed", error="nan", tested=False)
    records.log_opening(StudyPaths(root, METHOD.name), [f"{run_id(METHOD, root)}-s{METHOD.search_seed}"], by="seeds")
    arm = report.collect(METHOD, root)
    assert arm.search_runs == 0
    assert f"seed {METHOD.search_seed}: failed: nan" in arm.left_out


def run_id(study: Study, root: Path) -> str:
    return _test_file(root, study, 1).stem.rpartition("-s")[0]


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


def test_a_test_by_rearrangement_needs_no_spread(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, shift in ((BASELINE, 0.0), (METHOD, 1.0)):
        make_study(tmp_path, study, range(1, 8), rng, shift=shift)
        first = read_test(_test_file(tmp_path, study, 1))
        for seed in range(2, 8):
            change_test(tmp_path, study, seed, scores=first.scores)
    made = build(tmp_path, test="permutation")
    gap = made.blocks[0].comparisons[0].gaps["avg"]
    assert gap.result is not None
    assert gap.interval is None
    assert "no t interval: the scores do not vary from seed to seed" in words(made)
    report.write_report(made)


def test_numerics_of_two_sides_are_joined_when_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 4), rng)
    make_study(tmp_path, METHOD, range(1, 4), rng, versions=VERSIONS.model_copy(update={"numerics": "2"}))
    with pytest.raises(DataError, match="numerics: 2 against 1"):
        build(tmp_path)
    assert build(tmp_path, any_version=True).family > 0


def test_a_seed_of_the_search_is_warned_of(root: Path, rng: np.random.Generator) -> None:
    assert "WARNING" not in words(build(root))
    make_run(root, METHOD, 42, rng)
    assert "WARNING: visualcse-bert has seed 42 in its table" in words(build(root))


def test_one_seed_has_no_std_and_no_test(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1,), rng)
    make_study(tmp_path, METHOD, (1,), rng)
    made = build(tmp_path)
    assert "needs at least 2 seeds on each side, got 1 and 1" in words(made)
    assert "one seed cannot tell a better method" in words(made)
    row = next(line for line in report.markdown(made).splitlines() if line.startswith("| visualcse-bert"))
    assert "±" not in row
    report.write_report(made, figures=True)


def test_scores_that_do_not_vary_are_not_tested(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, seeds in ((BASELINE, (1, 2)), (METHOD, (1, 2))):
        make_study(tmp_path, study, seeds, rng)
        first = read_test(next(StudyPaths(tmp_path, study.name).tests.glob("*-s1.json")))
        change_test(tmp_path, study, 2, scores=first.scores)
    made = build(tmp_path)
    assert made.family == 0
    assert "the scores do not vary from seed to seed" in words(made)
    json.loads(report.as_json(made))


# What a report says


def test_openings_of_the_test_sets_are_counted(root: Path) -> None:
    assert "Test sets first opened 2026-11-20T12:00:00+00:00 by `seeds`, not since." in words(build(root))
    with StudyPaths(root, METHOD.name).openings.open("a") as stream:
        stream.write(json.dumps({"time": "2026-11-21T08:00:00+00:00", "command": "evaluate", "runs": []}) + "\n")
    assert "by `seeds`, 1 time since, last 2026-11-21T08:00:00+00:00." in words(build(root))
    StudyPaths(root, METHOD.name).openings.write_text("no json\n")
    with pytest.raises(DataError, match="not a log of test openings"):
        words(build(root))


def test_shared_and_separate_text_settings_are_told_apart(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2), rng)
    make_study(tmp_path, METHOD, (1, 2), rng, config=METHOD.configure({"text.batch_size": 128}))
    text = words(build(tmp_path))
    assert (
        "do not share their text settings (simcse-bert against visualcse-bert): text.batch_size: 64 against 128" in text
    )
    for search_seed in range(3):
        config = METHOD.configure({"side.learning_rate": 1e-6 * (search_seed + 2)})
        make_run(tmp_path, METHOD, 42, rng, config=config, tested=False)
    assert "Search runs on record: simcse-bert 0, visualcse-bert 3. The tuning was not equal" in words(build(tmp_path))


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
    assert "Runs differ in device: H100 (simcse-bert); cpu, 2 threads (visualcse-bert). It goes with the method" in text


def test_published_numbers_stand_beside_ours(root: Path) -> None:
    made = build(root)
    table = report.markdown(made)
    assert "76.96 ± 0.38" in table
    assert "77.50" in table
    p = stats.welch_t(list(averages(root, METHOD).values()), stats.Summary(76.96, 0.38, 5)).p
    assert f"Welch p = {p:.4f}" in words(made) or "Welch p < 0.0001" in words(made)


def test_the_error_of_the_pairs_is_counted_when_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, shift in ((BASELINE, -0.6), (METHOD, 0.6)):
        make_study(tmp_path, study, (1, 2, 3), rng, shift=shift, pairs=60)
    made = build(tmp_path, pair_resamples=50)
    two = made.blocks[0].comparisons[0].gaps["avg"].two_level
    assert two is not None
    assert made == build(tmp_path, pair_resamples=50)
    said = f"one of {two.se_pairs:.2f}" if two.se_pairs >= 0.005 else "none that can be told from the runs' own"
    assert f"the gap has {said} from pairs" in words(made)
    change_test(tmp_path, METHOD, 1, scores=read_test(_test_file(tmp_path, METHOD, 2)).scores)
    with pytest.raises(DataError, match=r"kept similarities give .*test the run again"):
        build(tmp_path, pair_resamples=50)
    StudyPaths(tmp_path, METHOD.name).run(_test_file(tmp_path, METHOD, 1).stem).similarities.unlink()
    assert "own error is not computed" in words(build(tmp_path, pair_resamples=50))


def _test_file(root: Path, study: Study, seed: int) -> Path:
    return next(StudyPaths(root, study.name).tests.glob(f"*-s{seed}.json"))


def kept_rule(rule: stats.StoppingRule, keys: tuple[str, str]) -> records.KeptRule:
    """The rule with a first look at five seeds, p = 0.001."""
    return records.KeptRule(keys=keys, scored="x", seeds=tuple(range(1, 11)), rule=rule, taken=(rule.decide(5, 0.001),))


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
    assert "looks at 5, 10 seeds and x" in text
    assert "no part of its looks" not in text
    assert "n = 5: p = 0.0010 against a bound of 0.00360; the rule found a difference" in text
    assert "take n as fixed and are too optimistic" in text


def test_a_stopping_rule_holds_for_its_own_configurations_only(root: Path) -> None:
    paths = StudyPaths(root, METHOD.name)
    rule = stats.StoppingRule("welch", "obrien-fleming", 0.05, (5, 10), (0.0, 0.045))
    kept_rule(rule, ("0" * 12, "1" * 12)).write(paths.rule(kept_rule(rule, ("0" * 12, "1" * 12)).keys))
    assert "rule" not in words(build(root))
    assert report.look_words(rule.decide(5, 0.001)) == "n = 5: p = 0.0010 against a bound that hardly any gap meets"


# Formats


def terminal_text(made: report.Report) -> str:
    console = Console(width=130, file=io.StringIO(), highlight=False)
    console.print(report.terminal(made))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_every_format_gives_the_same_mean(root: Path) -> None:
    made = build(root)
    mean = np.mean(list(averages(root, METHOD).values()))
    std = np.std(list(averages(root, METHOD).values()), ddof=1)
    assert f"{mean:.2f} ± {std:.2f}" in report.markdown(made)
    assert f"${mean:.2f}_{{\\pm {std:.2f}}}$" in report.latex(made)
    assert f"{mean:.2f}" in terminal_text(made)
    rows = list(csv.DictReader(io.StringIO(report.summary_csv(made))))
    row = next(r for r in rows if (r["study"], r["column"]) == (METHOD.name, "avg"))
    assert float(row["mean"]) == pytest.approx(mean, rel=1e-5)
    assert (row["n"], row["baseline"], row["test"]) == ("5", BASELINE.name, "welch")
    arm = json.loads(report.as_json(made))["blocks"][0]["arms"][1]
    assert arm["columns"]["avg"]["summary"]["mean"] == pytest.approx(mean)


def test_latex_is_balanced_and_escaped(root: Path) -> None:
    text = report.latex(build(root, correct="holm"))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == text.count("\\toprule") == 2
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#]", body)
    assert "±" not in body
    assert "``all'' setting" in body
    widths = {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")}
    assert widths == {11, 9}  # name, 7 tasks, average, n, p, g; and a row a test set


def test_files_and_figures_are_written_and_repeat(root: Path) -> None:
    made = build(root)
    written = report.write_report(made)
    names = {path.name for path in written}
    assert {"report.md", "report.tex", "report.json", "summary.csv", "seeds.csv"} <= names
    for figure in ("seeds", "dev-curves", "alignment-uniformity"):
        assert {f"{figure}.png", f"{figure}.svg"} <= names
    before = {path.name: path.read_bytes() for path in written}
    assert {path.name: path.read_bytes() for path in report.write_report(build(root))} == before


def test_methods_with_one_baseline_share_a_table(root: Path, rng: np.random.Generator) -> None:
    audio = find_study("audiocse-bert")
    make_study(root, audio, range(1, 6), rng)
    made = report.build(studies_with_tests(root), root)
    assert [[arm.name for arm in block.arms] for block in made.blocks] == [
        ["simcse-bert", "audiocse-bert", "visualcse-bert"]
    ]
    assert made.family == 16


def test_a_study_without_baseline_or_records(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"no test scores of visualcse-bert under .*run `nlcse-tune seeds` first"):
        build(tmp_path)
    make_study(tmp_path, METHOD, (1, 2), rng)
    assert "simcse-bert: no tested run on record; `nlcse-tune seeds simcse-bert` makes some" in words(build(tmp_path))
    make_study(tmp_path, BASELINE, (1, 2), rng)
    alone = report.build([BASELINE], tmp_path)
    assert alone.family == 0
    assert not alone.blocks[0].comparisons
    report.write_report(alone)


def test_small_writings() -> None:
    assert seed_list((5, 1, 2, 3, 9, 10)) == "1-3, 5, 9, 10"
    assert (signed(1.224), signed(-0.3), signed(-0.001)) == ("+1.22", "-0.30", "0.00")


# Commands


@pytest.fixture
def run() -> Callable[..., str]:
    app = Typer()
    for command in (cli_report.report, cli_report.compare, cli_report.plan):
        app.command()(command)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_compare_gives_table_3(run: Callable[..., str]) -> None:
    text = run("compare", "75.74,0.90,5", "76.96,0.38,5")
    assert "gap (second minus first): +1.22" in text
    assert "two-sided p = 0.0235" in text
    assert "two-sided p = 0.0354" in text
    assert "two-sided p < 0.0001" in run("compare", "76.36,0.18,5", "77.74,0.25,5")


def test_compare_says_what_rounding_leaves_open() -> None:
    line = list(compare_words(parse_summary("75.74,0.90,5"), parse_summary("76.96,0.38,5")))[1]
    low, high = (float(p) for p in re.findall(r"p = (0\.\d+)", line)[1:])
    assert low < 0.0354 < high
    assert high - low < 0.004


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("75.74,0.90", "must be MEAN,STD,N"),
        ("75.74,x,5", "two numbers and a whole number"),
        ("75.74,0.90,1", "n must be at least 2"),
        ("75.74,-0.9,5", "std: must be"),
        ("nan,0.9,5", "mean: must be"),
    ],
)
def test_compare_refuses_what_is_no_summary(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_summary(text)


def test_plan_counts_seeds_and_hours(root: Path, run: Callable[..., str]) -> None:
    text = run("plan", METHOD.name, "--gap", "0.7", "--out", str(root))
    a, b = (np.std(list(averages(root, study).values()), ddof=1) for study in (METHOD, BASELINE))
    needed = stats.seeds_unpaired(0.7, a, b)
    row = next(line for line in text.splitlines() if "0.7 *" in line)
    assert f" {needed} " in row
    hours = 2 * needed * 3065 / 3600
    assert f"{int(hours)} h" in row


def test_plan_needs_two_seeds(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, METHOD, (1,), rng)
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        cli_report.plan(METHOD.name, out=tmp_path)


def test_a_study_from_elsewhere_is_left_out_with_a_word(root: Path, run: Callable[..., str]) -> None:
    """Its folder does not say which YAML file it came from."""
    (root / "mine" / "tests").mkdir(parents=True)
    (root / "mine" / "tests" / "0123456789ab-s1.json").write_text("{}")
    assert "visualcse-bert minus simcse-bert" in run("report", "--out", str(root), "--no-write")
    app = Typer()
    app.command()(cli_report.report)
    told = CliRunner().invoke(app, ["--out", str(root), "--no-write"])
    assert "mine: left out, no study has this name; give its YAML file to report it" in told.stderr


def test_report_prints_each_format(root: Path, run: Callable[..., str]) -> None:
    for kind, sign in (
        ("markdown", "| --- |"),
        ("latex", "\\toprule"),
        ("csv", "study,baseline"),
        ("json", '"blocks"'),
    ):
        assert sign in run("report", "--format", kind, "--out", str(root))
    assert "visualcse-bert minus simcse-bert" in run("report", METHOD.name, "--no-write", "--out", str(root))
    with pytest.raises(ConfigError, match="must be STUDY=ID"):
        cli_report.parse_choices(["visualcse-bert"])


def test_reports_import_no_torch_and_commands_import_nothing_heavy() -> None:
    code = "import sys, nlcse_tune.{}; print([m for m in {!r} if m in sys.modules])"
    cases = {
        "report": ("torch", "transformers", "ray", "optuna", "matplotlib", "pandas", "scipy.stats"),
        "cli.report": ("torch", "numpy", "scipy", "matplotlib", "pandas", "pydantic"),
    }
    for module, heavy in cases.items():
        found = subprocess.run(
            [sys.executable, "-c", code.format(module, heavy)], capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == "[]", module
