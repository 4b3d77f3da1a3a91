"""A real search with every tracker on, killed and gone on with."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.study import Study
from nlcse_tune.tracking.curves import SPEED
from tests.conftest import TINY
from tests.tracking import test_mlflow, test_tensorboard, test_wandb
from tests.tracking.made import curves

PATIENCE = 300.0


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_tracker_has_the_curves_of_the_records(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("WANDB_MODE", "offline")
    sets = [part for name, value in (TINY | {"train.max_steps": 12}).items() for part in ("--set", f"{name}={value}")]
    tracks = [part for name in ("tensorboard", "mlflow", "wandb") for part in ("--track", name)]
    search = ["search", "demo", "--trials", "2", "--concurrent", "1", "--out", str(tmp_path)]
    command = [sys.executable, "-m", "nlcse_tune", *search, *sets, *tracks]
    paths = StudyPaths(tmp_path, "demo")
    _killed(command, paths)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=600)

    records = {record.run_id: record for record in ledger(paths).runs}
    folders = {folder.name.rpartition(" ")[2]: folder for folder in paths.tensorboard.iterdir()}
    client = MlflowClient()
    runs, sent = test_mlflow.runs(client, tiny_study), test_wandb.kept(paths.folder)
    assert runs.keys() == {*records, "search"}
    assert {name.partition("-")[2] for name in sent} == {*records, "search"}
    assert len(records) == len(folders) == 2
    for name, record in records.items():
        shown, _ = test_tensorboard.read(folders[name])
        shown.pop(SPEED, None)
        assert shown == test_tensorboard.close_to(curves(record))
        kept, online = test_mlflow.history(client, runs[name]), sent[f"{next(iter(sent)).partition('-')[0]}-{name}"]
        assert {curve: kept[curve] for curve in curves(record)} == curves(record)
        assert {curve: online["curves"][curve] for curve in curves(record)} == curves(record)
    best = max(record.best_dev or 0.0 for record in records.values())
    assert runs["search"].data.metrics["dev/best"] == best
    assert {run.info.status for run in runs.values()} == {"FINISHED"}


def _killed(command: list[str], paths: StudyPaths) -> None:
    """Starts the search and kills its driver after a first dev score; waits for the end of all that it started."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as driver:
        until = time.monotonic() + PATIENCE
        while not any(b"dev/best" in file.read_bytes() for file in paths.tensorboard.glob("*/*")):
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        started = psutil.Process(driver.pid).children(recursive=True)
        driver.kill()
    psutil.wait_procs(started, timeout=PATIENCE)
