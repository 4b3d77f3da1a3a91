"""MLflow's own client finds a parent and the runs in it, once each, whoever was killed."""

from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from nlcse_tune.records import Choice
from nlcse_tune.study import Study
from nlcse_tune.tracking.curves import CURVES, SPEED
from nlcse_tune.tracking.mlflow import MLflow
from tests.tracking.made import curves, half, half_and_killed, made, rest, so_far, work_of


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """Over a store of its own, as MLflow makes it by default."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return MlflowClient()


def runs(client: MlflowClient, study: Study) -> dict[str, Run]:
    """All runs by their `run_id`, the parent under its kind."""
    known: Any = client.get_experiment_by_name(study.name)
    found = list(client.search_runs([known.experiment_id]))
    by_name = {run.data.tags.get("run_id") or run.data.tags["kind"]: run for run in found}
    assert len(by_name) == len(found)
    return by_name


def history(client: MlflowClient, run: Run) -> dict[str, list[tuple[int, float]]]:
    kept = {curve: client.get_metric_history(run.info.run_id, curve) for curve in CURVES}
    return {curve: sorted((metric.step, metric.value) for metric in told) for curve, told in kept.items()}


def test_a_search_that_goes_on_adds_to_its_runs(client: MlflowClient, tiny_study: Study, tmp_path: Path) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, record = made(work, tiny_study)
    half(MLflow(work), spec, record)
    found = runs(client, tiny_study)
    assert {run.info.status for run in found.values()} == {"RUNNING"}
    kept = history(client, found[spec.run_id])
    assert kept.pop(SPEED) == [(5, 105.0), (15, 115.0)]
    assert kept == curves(so_far(record, 2))

    tracker = MLflow(work)
    _choice(record).write(work.paths.search)
    rest(tracker, spec, record)
    again = runs(client, tiny_study)
    assert {name: run.info.run_id for name, run in again.items()} == {
        name: run.info.run_id for name, run in found.items()
    }
    parent, run = again["search"], again[spec.run_id]
    assert (parent.info.status, run.info.status) == ("FINISHED", "FINISHED")
    assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert run.data.params["side.loss"] == "supcon"
    assert {"study": tiny_study.name, "method": "VisualCSE", "status": "completed"}.items() <= run.data.tags.items()
    assert run.info.run_name == spec.label
    assert (parent.data.metrics["dev/best"], parent.data.tags["best run_id"]) == (80.25, spec.run_id)
    kept = history(client, run)
    assert kept.pop(SPEED) == [(5, 105.0), (15, 115.0), (35, 135.0)]
    assert kept == curves(record)


def test_a_run_whose_end_a_killed_driver_did_not_see_is_ended(
    client: MlflowClient, tiny_study: Study, tmp_path: Path
) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, record = made(work, tiny_study)
    half(MLflow(work), spec, record)
    record.write(spec.paths.record)
    tracker = MLflow(work)
    tracker.opened(work.paths)
    tracker.closed()
    found = runs(client, tiny_study)
    assert found[spec.run_id].data.tags["status"] == "completed"
    assert {run.info.status for run in found.values()} == {"FINISHED"}
    kept = history(client, found[spec.run_id])
    assert {curve: kept[curve] for curve in curves(record)} == curves(record)


def test_runs_under_way_at_the_end_are_not_finished_and_another_folder_has_a_parent_of_its_own(
    client: MlflowClient, tiny_study: Study, tmp_path: Path
) -> None:
    first = work_of(tiny_study, tmp_path)
    spec, record = made(first, tiny_study)
    tracker = MLflow(first)
    half(tracker, spec, record)
    tracker.closed()
    assert {run.info.status for run in runs(client, tiny_study).values()} == {"KILLED"}
    second = work_of(tiny_study, tmp_path / "other")
    MLflow(second).opened(second.paths)
    known: Any = client.get_experiment_by_name(tiny_study.name)
    assert len(client.search_runs([known.experiment_id], "tags.kind = 'search'")) == 2


def test_the_runs_of_a_killed_driver_are_ended_in_order(
    client: MlflowClient, tiny_study: Study, tmp_path: Path
) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, _ = made(work, tiny_study)

    def told() -> bool:
        known = client.get_experiment_by_name(tiny_study.name)
        found = runs(client, tiny_study).get(spec.run_id) if known else None
        return found is not None and history(client, found)["dev/score"][-1:] == [(20, 72.5)]

    half_and_killed(tmp_path, "mlflow", told)
    assert {run.info.status for run in runs(client, tiny_study).values()} == {"KILLED"}


def _choice(record: Any) -> Choice:
    return Choice(
        study=record.study, run_id=record.run_id, point={"side.weight": 1.0}, dev=record.best_dev, config=record.config,
        data=record.data, seed=record.seed, searched=1, checkpoint="none",
    )  # fmt: skip
