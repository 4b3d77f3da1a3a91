"""A search of eight tiny runs under real kills: of its driver, of its trials' processes, of Ray itself."""

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, ledger
from nlcse_tune.search.search import search
from nlcse_tune.search.state import SearchOptions
from nlcse_tune.study import load_study
from tests.conftest import TINY

pytestmark = [pytest.mark.ray, pytest.mark.slow]

SPACE = {"text.learning_rate": [1e-4, 3e-4, 1e-3, 3e-3], "side.learning_rate": [1e-4, 1e-3]}
DRIVER_KILLS = 5
TRIAL_KILLS = (1, 3)  # in these lives of the driver one trial's process is killed, too
RAY_KILL = 2  # and in this one Ray, instead of the driver
RUN, RAY = r"ray::ImplicitFunc", r"raylet/raylet|gcs_server"
TRAINS = f"{RUN}|{RAY}"
DEADLINE = 150  # seconds for anything to happen


def write_study(folder: Path) -> Path:
    """The demo study, tiny, but with runs long enough to be killed in the middle and a restart point every 5 steps."""
    fields = {**TINY, "train.max_steps": 60, "train.eval_every": 10, "train.checkpoint_every": 5}
    config: dict[str, Any] = {}
    for name, value in fields.items():
        node = config
        *parents, leaf = name.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    raw = {"extends": "demo", "name": "chaos", "space": {"parameters": SPACE}, "trials": 8, "config": config}
    path = folder / "chaos.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


class Driver:
    """`nlcse-tune search` in a process of its own."""

    def __init__(self, study: Path, out: Path) -> None:
        self.log = (out.parent / "driver.log").open("a+")
        command = [sys.executable, "-m", "nlcse_tune", "search", str(study), "--out", str(out), "--scheduler", "none"]
        command += ["--sampler", "grid", "--concurrent", "2", "--cpus-per-worker", "0.5", "--keep", "8"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=environment)
        self.family: dict[int, psutil.Process] = {}
        self.names: dict[int, str] = {}

    def look(self) -> list[psutil.Process]:
        """Every process that descends from the driver, now; all ever seen are remembered."""
        try:
            now = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            now = []
        self.family |= {process.pid: process for process in now}
        for process in now:
            with contextlib.suppress(psutil.Error):
                self.names[process.pid] = " ".join(process.cmdline())  # Ray renames its processes as they go
        return now

    def named(self, pattern: str) -> list[psutil.Process]:
        return [process for process in self.look() if re.search(pattern, self.names.get(process.pid, ""))]

    def wait_for(self, what: str, happened: Any) -> None:
        started = time.monotonic()
        while not happened():
            self.look()
            assert time.monotonic() - started < DEADLINE, f"{what} did not happen in {DEADLINE} s:\n{self.output()}"
            assert self.process.poll() is None, f"the driver ended before {what}:\n{self.output()}"
            time.sleep(0.2)

    def ended(self) -> int:
        return self.process.wait(timeout=DEADLINE)

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def orphans(self, pattern: str = "") -> list[psutil.Process]:
        """What of its family (of those named like `pattern`) still lives after three minutes.

        Runs, raylet and head end at once; Ray's dashboard and the two agents of a node take up to two minutes to
        notice that the head is gone, since they first try to report it there.
        """
        alive = [process for process in self.family.values() if re.search(pattern, self.names.get(process.pid, ""))]
        for _ in range(900):
            alive = [process for process in alive if _lives(process)]
            if not alive:
                break
            time.sleep(0.2)
        return alive


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def last_write(paths: StudyPaths) -> float:
    """When a restart point was last written: proof that a run is in the middle of its training."""
    return max((path.stat().st_mtime for path in paths.folder.glob("checkpoints/*/last.pt")), default=0.0)


def plain(record: RunRecord) -> dict[str, Any]:
    """A record without what a kill may change: times, and the note that it went on from a restart point."""
    left_out = {"timings", "events", "started", "finished", "versions", "study"}
    return record.model_dump(mode="json", exclude=left_out)


@pytest.mark.timeout(1500)
def test_a_search_survives_kills_of_its_driver_its_trials_and_ray(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    study, rng = write_study(tmp_path), random.Random(7)
    paths = StudyPaths(tmp_path / "runs", "chaos")
    drivers: list[Driver] = []
    for number in range(DRIVER_KILLS + 1):
        driver, born = Driver(study, tmp_path / "runs"), time.time()
        done = len(list(paths.records.glob("*.json")))
        driver.wait_for("a run in its middle", lambda born=born: last_write(paths) > born)
        time.sleep(rng.uniform(0, 2))
        if number in TRIAL_KILLS:
            trial = rng.choice(driver.named(RUN))
            trial.kill()
            killed = time.time()
            driver.wait_for("a run after its trial's death", lambda killed=killed: last_write(paths) > killed)
        if number == RAY_KILL:
            for process in driver.named(RAY):
                process.kill()
            assert driver.ended() != 0
        else:
            driver.look()
            driver.process.send_signal(signal.SIGKILL)
            assert driver.ended() == -signal.SIGKILL
        assert not driver.orphans(TRAINS)
        drivers.append(driver)
        assert len(list(paths.records.glob("*.json"))) >= done  # what was finished stays finished
    driver = Driver(study, tmp_path / "runs")
    while driver.process.poll() is None:
        driver.look()
        time.sleep(0.2)
    assert driver.ended() == 0, driver.output()
    for life in (*drivers, driver):
        assert not life.orphans()

    records = list(ledger(paths))
    assert len(records) == len({record.run_id for record in records}) == 8
    assert any("continued from step" in event for record in records for event in record.events)
    request.getfixturevalue("ray_session")
    undisturbed = StudyPaths(tmp_path / "undisturbed", "chaos")
    search(load_study(study), undisturbed, SearchOptions(scheduler="none", method="grid"))
    expected = {record.run_id: plain(record) for record in ledger(undisturbed)}
    assert {record.run_id: plain(record) for record in records} == expected
    text = driver.output()
    assert "goes on" not in text.splitlines()[-1]
