"""What may be averaged together, what never may, and what is said of the rest."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import report
from nlcse_tune.config import STS_TASKS
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import BegunRun
from nlcse_tune.records.ledger import ledger
from nlcse_tune.report.arms import collect
from nlcse_tune.versions import NUMERICS
from tests.report.made import BASELINE, METHOD, build, change_test, file_of, read_test, words
from tests.synthetic_records import VERSIONS, make_run, make_study


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


def test_data_are_never_averaged_or_compared_across(root: Path, rng: np.random.Generator) -> None:
    make_run(root, METHOD, 6, rng, data={"text": "t2"})
    with pytest.raises(DataError, match="data text: t1 against t2"):
        build(root)


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
    newer = VERSIONS.model_copy(update={"numerics": "99"})
    make_run(root, METHOD, 6, rng, versions=newer)
    with pytest.raises(DataError, match=rf"numerics: {NUMERICS} against 99 \(--any-version joins them\)"):
        build(root)
    made = build(root, any_version=True)
    assert made.blocks[0].comparisons[0].method.seeds == (1, 2, 3, 4, 5, 6)
    assert f"Runs differ in numerics: {NUMERICS} (simcse-bert, visualcse-bert); 99 (visualcse-bert)" in words(made)


def test_a_test_set_that_the_first_seed_lacks_is_still_one(root: Path, rng: np.random.Generator) -> None:
    """Seed 1 without SICK-R hides nothing: seeds 2 and 3 were scored on different ones."""
    first = read_test(root, METHOD, 1)
    lacking = {task: score for task, score in first.scores.items() if task != "sickr"}
    prints = {task: value for task, value in first.data.items() if task != "sickr"}
    change_test(root, METHOD, 1, scores=lacking, data=prints)
    change_test(root, METHOD, 3, data={**first.data, "sickr": "sha-other"})
    with pytest.raises(DataError, match=r"seeds 2 and 3 .* test data sickr"):
        build(root)


def test_a_chosen_configuration_does_not_hide_the_search(root: Path, rng: np.random.Generator) -> None:
    for rate in (1e-5, 2e-5, 5e-5):
        config = METHOD.configure({"text.learning_rate": rate})
        make_run(root, METHOD, METHOD.search_seed, rng, config=config, tested=False)
    make_run(root, METHOD, 9, rng, config=METHOD.configure({"text.learning_rate": 7e-5}))
    arm = collect(METHOD, root, choose=file_of(root, METHOD, 1).stem.rpartition("-s")[0])
    assert arm.seeds == (1, 2, 3, 4, 5)
    assert arm.left_out.search_runs == 3
    assert arm.left_out.lines == ("1 run of other configurations",)
    searched = next(r for r in ledger(StudyPaths(root, METHOD.name)).runs if r.seed == METHOD.search_seed)
    searched_run = StudyPaths(root, METHOD.name).run(searched.run_id)
    BegunRun(config=searched.config, seed=searched.seed).write(searched_run.begun)  # still a search's run
    text = words(build(root, choose={METHOD.name: arm.runs[0].record.run_id[:12]}))
    assert "Search runs on record: simcse-bert 0, visualcse-bert 3; the tuning was not equal" in text


def test_a_seed_that_was_begun_and_left_no_record_is_told(root: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        run = file_of(root, study, 1).stem
        for name in (run.replace("-s1", "-s9"), f"{run}-old"):
            StudyPaths(root, study.name).run(name).folder.mkdir(parents=True)
    text = words(build(root))
    assert text.count("seed 9: begun, no record: interrupted, or its process died") == 2
    own = make_run(root, METHOD, METHOD.search_seed, rng, status="failed", error="nan", tested=False)
    StudyPaths(root, METHOD.name).run(own.run_id).folder.mkdir()
    arm = collect(METHOD, root)
    assert arm.left_out.search_runs == 0
    assert f"seed {METHOD.search_seed}: failed: nan" in arm.left_out.lines
