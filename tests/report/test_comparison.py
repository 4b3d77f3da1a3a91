"""Every gap with its test, interval and effect, against `stats` on the scores in the records' files."""

import json
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import report, stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.report import plan as plans
from nlcse_tune.report.arms import collect
from nlcse_tune.study import Confirm, find_study
from nlcse_tune.versions import NUMERICS
from tests.report.made import BASELINE, METHOD, averages, build, change_test, file_of, read_test, words
from tests.synthetic_records import VERSIONS, make_study


def test_a_report_holds_the_statistics_of_the_records(root: Path) -> None:
    gap = build(root).blocks[0].comparisons[0].gaps["avg"]
    a, b = averages(root, METHOD), averages(root, BASELINE)
    expected, welch = (test(list(a.values()), list(b.values())) for test in (stats.paired_t, stats.welch_t))
    assert gap.result is not None
    assert gap.welch is not None
    assert gap.equivalence is not None
    assert (gap.gap, gap.result.p, gap.welch.p) == pytest.approx((expected.gap, expected.p, welch.p))
    assert gap.equivalence.p == pytest.approx(stats.equivalence(expected, 0.5).p)
    assert (gap.method.n, gap.baseline.n) == (5, 5)
    assert gap.method.std == pytest.approx(np.std(list(a.values()), ddof=1))


def test_holm_is_over_what_the_study_declares(root: Path) -> None:
    three = METHOD.copied(confirm=Confirm(columns=("avg", "stsb", "sickr")))
    made = report.build([three], root)
    gaps = made.blocks[0].comparisons[0].gaps
    declared = [gaps[column] for column in three.confirm.columns]
    assert [gap.p for gap in declared] == pytest.approx(stats.holm([gap.result.p for gap in declared if gap.result]))
    equal = [gap.equivalence.p for gap in declared if gap.equivalence]
    assert [gap.p_equivalence for gap in declared] == pytest.approx(stats.holm(equal))
    assert gaps["sts12"].holm is None
    assert "Holm over 3 tests" in words(made)
    assert "false difference among them stays at 5% or below, and likewise, apart from it, that of one false equi" in (
        words(made)
    )
    assert "5 exploratory columns" in words(made)


def test_holm_over_all_methods_is_one_family(root: Path, rng: np.random.Generator) -> None:
    make_study(root, find_study("audiocse-bert"), range(1, 6), rng)
    studies = [METHOD, "audiocse-bert"]
    alone, joined = (report.build(studies, root, report.ReportOptions(correct=c)) for c in ("none", "holm"))
    own = [c.gaps["avg"].p for c in alone.comparisons]
    assert own == [c.gaps["avg"].result.p for c in alone.comparisons if c.gaps["avg"].result]
    assert [c.gaps["avg"].p for c in joined.comparisons] == pytest.approx(stats.holm([p for p in own if p is not None]))
    assert "2 declared tests in this report the chance of at least one false finding may be as high as 10%" in words(
        alone
    )


def test_a_look_can_be_taken_at_the_first_seeds_alone(root: Path) -> None:
    made = build(root, seeds=(1, 2, 3))
    gap = made.blocks[0].comparisons[0].gaps["avg"]
    a, b = averages(root, METHOD), averages(root, BASELINE)
    expected = stats.paired_t([a[s] for s in (1, 2, 3)], [b[s] for s in (1, 2, 3)])
    assert gap.result is not None
    assert gap.result.p == pytest.approx(expected.p)
    assert "seed 4: not asked for; seed 5: not asked for" in words(made)


def test_arms_on_other_data_are_not_compared(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, (1, 2), rng)
    make_study(tmp_path, METHOD, (1, 2), rng, data={"dev": "d2"})
    with pytest.raises(DataError, match=r"visualcse-bert and simcse-bert cannot be compared.*data dev: d2 against d1"):
        build(tmp_path)


def test_a_test_set_is_the_same_on_both_arms(root: Path) -> None:
    for seed in range(1, 6):
        record = read_test(root, METHOD, seed)
        change_test(root, METHOD, seed, data={**record.data, "sickr": "sha-other"})
    with pytest.raises(DataError, match="test data sickr: sha-other against sha-sickr"):
        build(root)
    with pytest.raises(DataError, match="test data sickr"):
        arms = [collect(study, root) for study in (METHOD, BASELINE)]
        plans.spread(arms[0], arms[1], STS_TASKS)


def test_a_test_by_rearrangement_needs_no_spread(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, shift in ((BASELINE, 0.0), (METHOD, 1.0)):
        make_study(tmp_path, study, range(1, 8), rng, shift=shift)
        first = read_test(tmp_path, study, 1)
        for seed in range(2, 8):
            change_test(tmp_path, study, seed, scores=first.scores)
    made = build(tmp_path, test="permutation")
    gap = made.blocks[0].comparisons[0].gaps["avg"]
    assert gap.result is not None
    assert gap.interval is None
    assert "no t interval: the scores do not vary from seed to seed" in words(made)
    report.write_report(made)


def test_numerics_of_two_arms_are_joined_when_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 4), rng)
    make_study(tmp_path, METHOD, range(1, 4), rng, versions=VERSIONS.model_copy(update={"numerics": "99"}))
    with pytest.raises(DataError, match=f"numerics: 99 against {NUMERICS}"):
        build(tmp_path)
    assert build(tmp_path, any_version=True).declared > 0


def test_scores_that_do_not_vary_are_not_tested(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, seeds in ((BASELINE, (1, 2)), (METHOD, (1, 2))):
        make_study(tmp_path, study, seeds, rng)
        first = read_test(tmp_path, study, 1)
        change_test(tmp_path, study, 2, scores=first.scores)
    made = build(tmp_path)
    assert made.declared == 0
    assert "the differences over shared seeds are all the same" in words(made)
    assert "the scores do not vary from seed to seed" in words(build(tmp_path, test="welch"))
    json.loads(report.as_json(made))


def test_the_error_of_the_pairs_is_counted_when_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    for study, shift in ((BASELINE, -0.6), (METHOD, 0.6)):
        make_study(tmp_path, study, (1, 2, 3), rng, shift=shift, pairs=60)
    made = build(tmp_path, pair_resamples=50)
    two = made.blocks[0].comparisons[0].gaps["avg"].two_level
    assert two is not None
    assert made == build(tmp_path, pair_resamples=50)
    said = f"one of {two.se_pairs:.2f}" if two.se_pairs >= 0.005 else "none that can be told from the runs' own"
    assert f"the gap has {said} from pairs" in words(made)
    change_test(tmp_path, METHOD, 1, scores=read_test(tmp_path, METHOD, 2).scores)
    with pytest.raises(DataError, match=r"kept similarities give .*test the run again"):
        build(tmp_path, pair_resamples=50)
    StudyPaths(tmp_path, METHOD.name).run(file_of(tmp_path, METHOD, 1).stem).similarities.unlink()
    assert "own error is not computed" in words(build(tmp_path, pair_resamples=50))
