"""Records: written whole, read back equal, absent where absent."""

from pathlib import Path

import pytest

from nlcse_tune.config import STS_TASKS, RunConfig, StsTask
from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprint, fingerprints
from nlcse_tune.errors import DataError
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import DevPoint, RunRecord, TestRecord, constant_side_loss, now, run_id
from nlcse_tune.records.ledger import kept_test, ledger
from nlcse_tune.records.scores import TaskScore
from nlcse_tune.versions import versions


def record(seed: int = 1, **changes: object) -> RunRecord:
    config = RunConfig()
    values = {
        "run_id": run_id(config, seed, {"text": "a"}), "study": "simcse-bert", "seed": seed, "config": config,
        "status": "completed", "dev_before": 30.0, "dev_curve": (DevPoint(step=125, score=70.5, text_loss=0.1),),
        "best_step": 125, "best_dev": 70.5, "steps": 125, "data": {"text": "a"}, "versions": versions("cpu"),
        "finished": now(),
    }  # fmt: skip
    return RunRecord.model_validate({**values, **changes})


def scored(run: RunRecord, tasks: tuple[StsTask, ...] = STS_TASKS) -> TestRecord:
    scores = {task: TaskScore(all=70 + i, mean=1, wmean=2, pearson=3, pairs=10) for i, task in enumerate(tasks)}
    return TestRecord(run_id=run.run_id, opened=now(), setting="all", scores=scores, data={}, versions=versions("cpu"))


def test_records_come_back_equal(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "simcse-bert")
    runs = [record(seed, finished=f"2026-01-0{9 - seed}T00:00:00+00:00") for seed in (1, 2, 3)]
    for run in runs:
        run.write(paths.run(run.run_id).record)
        scored(run).write(paths.run(run.run_id).test)
    assert ledger(paths).runs == runs[::-1]  # oldest first
    assert RunRecord.read(paths.run(runs[0].run_id).record) == runs[0]
    assert [kept_test(paths.run(run.run_id), run) for run in runs] == [scored(run) for run in runs]
    assert TestRecord.read(paths.run(runs[1].run_id).test).score("sts13") == 71


def test_a_missing_task_is_absent_and_so_is_its_average() -> None:
    run = record()
    whole, partly = scored(run), scored(run, STS_TASKS[:6])
    assert whole.average(STS_TASKS) == pytest.approx(73.0)
    assert partly.average(STS_TASKS) is None
    assert partly.score("sickr") is None
    assert partly.average(STS_TASKS[:6]) == pytest.approx(72.5)


def test_a_torn_record_is_named(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path, "abc-s1")
    paths.record.parent.mkdir()
    paths.record.write_text('{"run_id": "abc')
    with pytest.raises(DataError, match=r"abc-s1.json: not a readable RunRecord"):
        RunRecord.read(paths.record)


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        ([], None),
        ([None, None], None),
        ([0.0], "0.0000"),  # of a single evaluation, the mean of many steps
        ([0.0, 0.0], "0.0000"),
        ([3.1416], None),
        ([3.1416, 3.1416], "3.1416"),
        ([3.1416, 3.14160001], "3.1416"),
        ([3.1416, 3.1415], None),
        ([3e-5, 2.9e-5], None),  # a small weight
        ([3e-30, 2e-30], "0.0000"),
        ([-0.5, 0.5], None),
    ],
)
def test_a_side_loss_that_never_changes_is_told(losses: list[float | None], told: str | None) -> None:
    curve = [DevPoint(step=step, score=1.0, side_loss=loss) for step, loss in enumerate(losses)]
    said = constant_side_loss(curve)
    assert said == (told and f"the side loss was {told} at every evaluation: the side taught nothing")


def test_an_empty_folder_has_no_records(tmp_path: Path) -> None:
    assert ledger(StudyPaths(tmp_path, "none")).runs == []


def test_run_ids_follow_configuration_seed_and_data() -> None:
    base = RunConfig()
    ids = {
        run_id(base, 1, {"text": "a"}),
        run_id(base, 2, {"text": "a"}),
        run_id(base, 1, {"text": "b"}),
        run_id(override(base, {"text.learning_rate": 1e-5}), 1, {"text": "a"}),
    }
    assert len(ids) == 4
    assert run_id(base, 7, {}).endswith("-s7")


def test_versions_name_what_numbers_depend_on() -> None:
    found = versions("NVIDIA X")
    assert found.device == "NVIDIA X"
    assert {"torch", "transformers", "numpy", "scipy"} <= set(found.packages)


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one")
    first = fingerprint(str(path))
    path.write_text("two")
    assert fingerprint(str(path)) != first
    assert fingerprint("synthetic") == "synthetic-1"
    assert fingerprint("bert-base-uncased") == "bert-base-uncased"
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "a.jpg").write_bytes(b"123")
    folder = fingerprint(str(tmp_path / "images"))
    (tmp_path / "images" / "cat" / "b.jpg").write_bytes(b"123")
    assert fingerprint(str(tmp_path / "images")) != folder


def test_a_runs_inputs(tiny_config: RunConfig) -> None:
    assert set(fingerprints(tiny_config)) == {"encoder", "text", "dev", "side"}
    assert set(fingerprints(override(tiny_config, {"side": None}))) == {"encoder", "text", "dev"}


def test_a_sub_sets_score_is_a_list_in_files_of_every_version() -> None:
    text = '{"all":1.0,"mean":1.0,"wmean":1.0,"pearson":2.0,"pairs":3,"subsets":{"MSRpar":[1.0,2.0,3]}}'
    score = TaskScore.model_validate_json(text)
    assert (score.subsets["MSRpar"].spearman, score.subsets["MSRpar"].pairs) == (1.0, 3)
    assert score.model_dump_json() == text
