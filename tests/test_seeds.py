"""A seed study: what is repeated, what is missing, what is tested, and the table at the end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import records
from nlcse_tune.cli.options import parse_seeds
from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprint, fingerprints
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.paths import StudyPaths, last_searched
from nlcse_tune.records import Choice, TestRecord
from nlcse_tune.records.ledger import is_whole, kept_test, ledger, read_openings
from nlcse_tune.report import build, markdown
from nlcse_tune.saved_model import seal
from nlcse_tune.search.state import SearchState, load_state
from nlcse_tune.seeds import (
    PlannedArm,
    adopt_setting,
    missing_runs,
    outdated,
    planned_arms,
    report_options,
    run_seeds,
)
from nlcse_tune.space import Point
from nlcse_tune.study import Study, find_study
from tests.conftest import TINY
from tests.search.test_state import put
from tests.synthetic_records import VERSIONS, make_run


def test_what_an_arm_cannot_be_trained_on_is_found_before_ray(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlcse_tune.seeds.open_pool", lambda launch: pytest.fail("Ray was started"))
    values = {**TINY, "text.data": str(tmp_path / "none.txt")}
    arms = planned_arms(tiny_study.with_overrides(values), StudyPaths(tmp_path, "demo"), values)
    with pytest.raises(DataError, match=r"none.txt: no such file"):
        run_seeds(arms, (1, 2))
    assert not arms[0].paths.openings.exists()


def test_a_baseline_without_search_takes_the_methods_text_settings(tiny_study: Study, tmp_path: Path) -> None:
    method, baseline = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    assert (method.origin, baseline.origin) == ("study", "method")
    assert baseline.config.side is None
    assert baseline.config.text == method.config.text
    assert baseline.config.train == method.config.train
    assert baseline.paths.study == "demo-simcse"


def test_a_baseline_that_has_a_side_keeps_it_and_text_alone_is_no_other_text_alones_settings(tmp_path: Path) -> None:
    """It was trained without: `visualcse-bert-sum` against SimCSE under the name of visualcse-bert."""
    for name, values in (("visualcse-bert-sum", {"side.batch_size": 8}), ("visualcse-bert-uniform", {})):
        study = find_study(name).with_precision("fp32").with_overrides(values)
        method, baseline = planned_arms(study, StudyPaths(tmp_path, name), values)
        own = find_study("visualcse-bert").with_precision("fp32").with_overrides(values).config
        assert (baseline.config, baseline.origin) == (own, "study")
        assert method.config != own


def test_a_control_takes_what_its_baselines_search_chose(tiny_study: Study, tmp_path: Path) -> None:
    """Else it would be compared under other rates, and say what tuning does."""
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "control.yaml").write_text("extends: demo\nbaseline: demo\nconfig: {side: {control: noise}}\n")
    control = find_study(str(folder / "control.yaml")).with_overrides(TINY)
    root = StudyPaths(tmp_path, "control")
    assert [arm.origin for arm in planned_arms(control, root, TINY)] == ["study", "study"]
    paths = StudyPaths(tmp_path, "demo")
    plan = load_state(tiny_study, paths, 3)
    choice_of(plan, {**tiny_study.own_point, "text.learning_rate": 3e-3}).write(paths.search)
    method, baseline = planned_arms(control, root, TINY)
    assert (method.origin, baseline.origin) == ("baseline", "search")
    assert method.config == override(baseline.config, {"side.control": "noise"})
    assert baseline.config.text.learning_rate == 3e-3
    other = {**TINY, "train.max_steps": 7}
    apart = control.copied(config=override(control.config, {"encoder.dropout": 0.0}))
    assert [arm.origin for arm in planned_arms(apart, root, TINY)] == ["study", "search"]  # no control of it any more
    assert planned_arms(control.with_overrides(other), root, other)[1].origin == "changed"


def test_a_search_result_is_used_if_it_is_of_this_very_study(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    plan = load_state(tiny_study, paths, 3)
    point = {**tiny_study.own_point, "text.learning_rate": 3e-3}
    chosen = plan.study.configure(point)
    choice_of(plan, point).write(paths.search)
    method, baseline = planned_arms(tiny_study, paths, TINY)
    assert (method.origin, baseline.origin) == ("search", "method")
    assert method.config == chosen
    assert baseline.config.text.learning_rate == 3e-3
    assert last_searched(paths.root) == "demo"
    scored = tiny_study.with_overrides({"eval.setting": "wmean", "train.micro_batch": 8})
    assert planned_arms(scored, paths, TINY)[0].origin == "search"  # how it is scored is no other study
    assert planned_arms(scored, paths, TINY)[0].config.eval.setting == "wmean"
    other = tiny_study.with_overrides({"train.max_steps": 7})
    assert planned_arms(other, paths, {**TINY, "train.max_steps": 7})[0].origin == "changed"
    paths.search.write_text("{")
    with pytest.raises(DataError, match="not a readable Choice"):
        planned_arms(tiny_study, paths, TINY)


def choice_of(plan: SearchState, point: Point) -> Choice:
    """What a search of one point would leave."""
    name = plan.spec(point).run_id
    return Choice(
        study=plan.study.name, run_id=name, point=point, dev=50.0, config=plan.study.configure(point), data=plan.data,
        seed=plan.seed, searched=1, checkpoint=f"checkpoints/{name}/best",
    )  # fmt: skip


def test_a_baseline_study_stands_alone(tmp_path: Path) -> None:
    assert len(planned_arms(find_study("demo-simcse"), StudyPaths(tmp_path, "demo-simcse"), {})) == 1


def test_seed_lists() -> None:
    assert parse_seeds("7,8,9") == (7, 8, 9)
    with pytest.raises(ConfigError, match="whole numbers"):
        parse_seeds("7;8")


def test_runs_of_another_version_count_only_when_asked(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    monkeypatch.setattr(records, "NUMERICS", "0")
    older = VERSIONS.model_copy(update={"numerics": "0"})
    for arm in arms:
        plan = load_state(tiny_study, arm.paths, 3)
        data = fingerprints(arm.config)
        name = records.run_id(arm.config, 1, data)
        record = put(plan, tiny_study.own_point, 50.0).model_copy(
            update={"run_id": name, "config": arm.config, "data": data, "seed": 1, "versions": older}
        )
        record.write(arm.paths.run(name).record)
        prints = {task: fingerprint("synthetic") for task in arm.config.eval.tasks}
        tested = TestRecord(
            run_id=name, opened=records.now(), setting="all", scores={}, data=prints, versions=record.versions
        )
        tested.write(arm.paths.run(name).test)
    monkeypatch.undo()
    assert len(missing_runs(arms, (1, 2))) == 4
    assert [spec.seed for spec in missing_runs(arms, (1, 2), any_version=True)] == [2, 2]


def test_another_setting_or_another_test_set_is_scored_again(tiny_study: Study, tmp_path: Path) -> None:
    arm = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)[0]
    data = fingerprints(arm.config)
    spec = arm.spec(1)
    make_run(tmp_path, tiny_study, 1, np.random.default_rng(0), config=arm.config, data=data, tested=False)
    test = TestRecord(
        run_id=spec.run_id, opened="", setting="all", scores={}, versions=VERSIONS,
        data={task: fingerprint("synthetic") for task in arm.config.eval.tasks},
    )  # fmt: skip
    test.write(spec.paths.test)
    assert missing_runs([arm], (1,)) == []
    other_setting = replace(arm, config=override(arm.config, {"eval.setting": "wmean"}))
    assert [s.run_id for s in missing_runs([other_setting], (1,))] == [spec.run_id]
    adopt_setting(other_setting)  # the record holds the scores of every setting
    assert missing_runs([other_setting], (1,)) == []
    adopt_setting(arm)
    assert records.TestRecord.read(spec.paths.test) == test
    fewer = replace(arm, config=override(arm.config, {"eval.tasks": ["sts12"]}))
    assert missing_runs([fewer], (1,)) == []
    test.model_copy(update={"data": {**test.data, "sickr": "of old"}}).write(spec.paths.test)
    assert [s.run_id for s in missing_runs([arm], (1,))] == [spec.run_id]
    assert missing_runs([fewer], (1,)) == []
    assert outdated([arm], (2, 3)) == []  # its model is gone, and nobody asked to train it again
    spec.paths.best.mkdir(parents=True)
    seal(spec.paths.best, "cls", head_at_test=False)
    assert [s.run_id for s in outdated([arm], (2, 3))] == [spec.run_id]
    assert outdated([arm], (1, 2)) == []  # `missing_runs` has it
    assert outdated([fewer], (2, 3)) == []


def test_no_search_yet(tmp_path: Path) -> None:
    assert last_searched(tmp_path) is None


@pytest.mark.ray
def _check_a_damaged_model_is_trained_again(arms: Sequence[PlannedArm]) -> None:
    """A flipped byte in one best model, a cut one in another: both runs are trained and tested again."""
    before = {record.run_id: record for record in ledger(arms[0].paths).runs}
    for seed, harm in ((1, "flipped"), (2, "cut")):
        run = arms[0].spec(seed).paths
        run.test.unlink()
        weights = run.best / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content if harm == "flipped" else content[: len(content) // 2])
    run_seeds(arms, (1, 2))
    assert missing_runs(arms, (1, 2)) == []
    for record in ledger(arms[0].paths).runs:
        assert is_whole(record, arms[0].paths.run(record.run_id))
        assert record.best_model == before[record.run_id].best_model
        assert [(point.step, point.score) for point in record.dev_curve] == [
            (point.step, point.score) for point in before[record.run_id].dev_curve
        ]
        assert "trained again: its best model was not as it was written (model.safetensors" in record.events[0]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_seed_study_that_ends_before_any_scoring_has_opened_nothing(tiny_study: Study, tmp_path: Path) -> None:
    values = {**TINY, "train.precision": "fp16"}  # refused on a CPU, in the trial
    arms = planned_arms(tiny_study.with_overrides(values), StudyPaths(tmp_path, "demo"), values)
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        run_seeds(arms, (1,))
    assert [read_openings(arm.paths) for arm in arms] == [([], 0)] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_seeds_train_test_and_are_not_run_twice(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    arms = planned_arms(tiny_study, paths, TINY)
    assert [spec.seed for spec in missing_runs(arms, (1, 2))] == [1, 1, 2, 2]
    run_seeds(arms, (1, 2))
    assert missing_runs(arms, (1, 2)) == []
    assert len(missing_runs(arms, (1, 2, 3))) == 2
    for arm in arms:
        tested = []
        for record in ledger(arm.paths).runs:
            card = kept_test(arm.paths.run(record.run_id), record)
            assert card is not None
            assert card.model == record.best_model is not None
            tested.append(card.run_id)
            assert set(card.scores) == set(record.config.eval.tasks)
            assert card.average(record.config.eval.tasks) is not None
            assert set(card.geometry) == {"alignment", "uniformity", "positives"}
            kept = np.load(arm.paths.run(record.run_id).similarities)
            assert kept["stsb"].shape == kept["gold_stsb"].shape == (card.scores["stsb"].pairs,)
        [opening], unreadable = read_openings(arm.paths)  # one command, a file a run
        assert sorted(opening.runs) == sorted(tested)
        assert len(tested) == len(list(arm.paths.openings.glob("*.json"))) == 2
        assert unreadable == 0
    _check_a_damaged_model_is_trained_again(arms)
    table = markdown(build([tiny_study], tmp_path, report_options(arms)))
    assert "demo-simcse" in table
    assert "n = 2" in table or "2 seeds" in table
    with pytest.raises(ConfigError, match="must differ"):
        run_seeds(arms, (1, 1))
