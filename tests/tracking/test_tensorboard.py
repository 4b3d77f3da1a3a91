"""TensorBoard reads back what the records have, once, whoever was killed."""

from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from nlcse_tune.config.fields import override
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.single import train_one
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.study import Study
from nlcse_tune.tracking import trackers
from nlcse_tune.tracking.curves import SPEED
from nlcse_tune.tracking.tensorboard import END, FILE, START, TensorBoard
from tests.tracking.made import curves, half, made, rest, so_far, work_of

Curves = dict[str, list[tuple[int, float]]]


def read(folder: Path) -> tuple[Curves, dict[str, HParamsPluginData]]:
    """Every curve in a run's folder, and what the HParams page is told."""
    events = EventAccumulator(str(folder))
    events.Reload()
    told = {} if START not in events.summary_metadata else dict(events.PluginTagToContent("hparams"))
    hparams = {tag: HParamsPluginData.FromString(content) for tag, content in told.items()}
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}, hparams


def close_to(expected: Curves) -> Curves:
    """Event files hold 32-bit numbers."""
    return {
        curve: [(step, pytest.approx(value, rel=1e-6)) for step, value in points] for curve, points in expected.items()
    }


def test_a_killed_driver_leaves_its_curves_and_the_next_adds_what_is_new(tiny_study: Study, tmp_path: Path) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, record = made(work, tiny_study)
    half(TensorBoard(work), spec, record)
    (folder,) = work.paths.tensorboard.iterdir()
    found, _ = read(folder)
    assert found.pop(SPEED) == [(5, 105.0), (15, 115.0)]
    assert found == close_to(curves(so_far(record, 2)))
    with (folder / FILE).open("ab") as stream:
        stream.write((folder / FILE).read_bytes()[:20])  # cut short by the kill
    assert read(folder)[0].keys() == {*found, SPEED}

    rest(TensorBoard(work), spec.model_copy(update={"label": "another name"}), record)
    assert [path.name for path in work.paths.tensorboard.iterdir()] == [folder.name]
    assert folder.name == f"demo 001 side.loss=supcon x seed 1 {spec.run_id}"
    found, told = read(folder)
    assert found.pop(SPEED) == [(5, 105.0), (15, 115.0), (35, 135.0)]
    assert found == close_to(curves(record))
    values = told[START].session_start_info.hparams
    assert {name: values[name].number_value or values[name].string_value for name in values} == {
        "text.learning_rate": tiny_study.config.text.learning_rate,
        "side.weight": 1.0,
        "side.loss": "supcon",
        "seed": 1,
    }
    assert told[START].session_start_info.group_name == spec.run_id
    assert told[END].session_end_info.status == 1  # success


def test_what_a_killed_driver_did_not_see_is_added_and_nothing_twice(tiny_study: Study, tmp_path: Path) -> None:
    """Its worker writes the record; and records of before there were trackers come too."""
    work = work_of(tiny_study, tmp_path)
    (spec, record), (other, old) = (made(work, tiny_study, seed) for seed in (1, 2))
    half(TensorBoard(work), spec, record)
    for found in (record, old):
        found.write(work.paths.run(found.run_id).record)
    again = TensorBoard(work)
    again.opened(work.paths)
    folders = {path.name.rpartition(" ")[2]: path for path in work.paths.tensorboard.iterdir()}
    assert folders.keys() == {spec.run_id, other.run_id}
    assert {name: read(folder)[0].get("dev/score") for name, folder in folders.items()} == {
        name: close_to(curves(record))["dev/score"] for name in folders
    }
    sizes = [path.stat().st_size for path in work.paths.tensorboard.glob(f"*/{FILE}")]
    assert not list(again.behind(work.paths))
    again.opened(work.paths)
    assert [path.stat().st_size for path in work.paths.tensorboard.glob(f"*/{FILE}")] == sizes


def test_a_run_without_side_has_no_curve_of_it(tiny_study: Study, tmp_path: Path) -> None:
    simcse = tiny_study.model_copy(update={"config": override(tiny_study.config, {"side": None})})
    work = work_of(simcse, tmp_path)
    spec, record = made(work, simcse)
    points = tuple(point.model_copy(update={"side_loss": None}) for point in record.dev_curve)
    tracker = TensorBoard(work)
    tracker.ended(spec, record.model_copy(update={"dev_curve": points, "status": "failed"}))
    (folder,) = work.paths.tensorboard.iterdir()
    found, told = read(folder)
    assert set(found) == {"dev/score", "dev/best", "loss/text"}
    assert set(told[START].session_start_info.hparams) == {"text.learning_rate", "seed"}
    assert told[END].session_end_info.status == 2  # failure


def test_train_keeps_its_curves(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    scored = []

    class Told(Watcher):
        def scored(self, spec: RunSpec, record: RunRecord) -> None:
            scored.append(len(record.dev_curve))

    watchers = [*trackers(tiny_study, paths, "train", None), Told()]
    record = train_one(tiny_study, paths, 7, watchers=watchers)
    assert scored == [1, 2]  # as it happens, not at the end alone
    found, _ = read(next(paths.tensorboard.iterdir()))
    found.pop(SPEED, None)  # a run of a second may have none
    assert found == close_to(curves(record))
