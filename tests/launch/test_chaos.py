"""A search of tiny runs under real kills: of its driver, of its trials' processes, of Ray itself."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nlcse_tune.launch.session import clear_dead
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import ledger
from nlcse_tune.search.search import search
from nlcse_tune.search.state import SearchOptions
from nlcse_tune.space import load_space
from nlcse_tune.study import find_study
from tests.conftest import TINY

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# The lives of the driver, one after the other: who is killed in each. A life ends with its driver; it goes on without a
# trial, or a part of Ray, that is killed in it. The last one ends with the search.
SHORT = ("raylet, driver", "driver", "agent, gcs_server, trial")
LONG = (
    "driver",
    "trial, driver",
    "raylet, gcs_server, driver",
    "agent, trial, driver",
    "SIGINT",
    "raylet, SIGTERM",
    "SIGHUP",
    "dashboard, trial",
)
RUN, RAY = r"ray::(Run|demo)\b", r"raylet/raylet |gcs/gcs_server "
# Ray's processes by what is seen of them; the raylet's command holds the agents' commands.
PARTS = {
    "raylet": r"raylet/raylet ",
    "gcs_server": r"gcs/gcs_server ",
    "agent": r"^ray::DashboardAgent",
    "dashboard": r"dashboard/dashboard\.py --host",
}
DEADLINE = 300  # seconds for anything to happen


RATES = (1e-4, 3e-4, 1e-3, 3e-3)
# The demo study, tiny, with a restart point every 4 steps.
FIELDS = {
    **TINY,
    "text.batch_size": 16,
    "side.batch_size": 2,
    # Long enough that on an idle machine, too, there is a run left for each victim.
    "train.epochs": 20,
    "train.max_steps": 120,
    "train.eval_every": 60,
    "train.checkpoint_every": 4,
}


def write_space(folder: Path, points: int) -> Path:
    path = folder / "chaos.yaml"
    parameters = {"text.learning_rate": RATES[: points // 2], "side.learning_rate": RATES[1:3]}
    path.write_text(json.dumps({"parameters": parameters}))  # JSON is YAML
    return path


class Driver:
    """`nlcse-tune search` in a process of its own."""

    def __init__(self, space: Path, points: int, out: Path, rays: Path) -> None:
        self.log = (out.parent / "driver.log").open("a+")
        command = [sys.executable, "-m", "nlcse_tune", "search", "demo", "--out", str(out), "--space", str(space)]
        command += ["--trials", str(points), "--scheduler", "none", "--concurrent", "2", "--cpus-per-worker", "0.5"]
        command += [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]
        self.process = subprocess.Popen(
            command, stdout=self.log, stderr=self.log, env={**os.environ, "RAY_TMPDIR": str(rays)}
        )
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
        """Its exit status, at its end."""
        started = time.monotonic()
        while self.process.poll() is None:
            self.look()
            assert time.monotonic() - started < DEADLINE, f"the driver did not end in {DEADLINE} s:\n{self.output()}"
            time.sleep(0.2)
        return self.process.returncode

    def output(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def orphans(self, pattern: str = "") -> list[psutil.Process]:
        """What of its family (of those named like `pattern`) still lives after three minutes.

        Runs, raylet and head end at once: they hold the devices. Ray's dashboard and the two agents of a node take up
        to two minutes to notice that the head is gone, since they first try to report it there.
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


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Where these drivers' Rays have their folders, with a name short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e") as name:
        yield Path(name)


@pytest.fixture
def drivers() -> Iterator[list[Driver]]:
    """The drivers of a test; a test that fails leaves none of their processes either."""
    lives: list[Driver] = []
    yield lives
    for process in (each for life in lives for each in (life.process, *life.family.values())):
        with contextlib.suppress(psutil.Error):
            process.kill()
    for life in lives:
        life.log.close()


def last_write(paths: StudyPaths) -> float:
    """When a restart point was last written: proof that a run is in the middle of its training."""
    return max((path.stat().st_mtime for path in paths.folder.glob("checkpoints/*/last-*.pt")), default=0.0)


def recorded(paths: StudyPaths) -> set[str]:
    """Ids of the runs that have a record."""
    return {path.stem for path in paths.records.glob("*.json")}


def plain(record: RunRecord) -> dict[str, Any]:
    """A record without what a kill may change: times, and the note that it went on from a restart point."""
    left_out = {"timings", "events", "started", "finished", "versions", "study"}
    return record.model_dump(mode="json", exclude=left_out)


def kill(driver: Driver, victim: str, rng: random.Random) -> None:
    """SIGKILL to one trial's process, to a part of Ray, or to the driver; the other signals are to the driver."""
    driver.look()
    match victim:
        case "trial":
            driver.wait_for("a trial", lambda: driver.named(RUN))  # after a restart of Ray it has yet to come
            rng.choice(driver.named(RUN)).kill()
        case "raylet" | "gcs_server" | "agent" | "dashboard":
            driver.wait_for(f"the {victim}", lambda: driver.named(PARTS[victim]))  # Ray names it late
            (process,) = driver.named(PARTS[victim])
            process.kill()
            part = "raylet" if victim == "agent" else victim  # a node ends with its agent
            again = driver.output().count(f"Ray's {part} died") + 1
            driver.wait_for(f"the end of Ray's {part}", lambda: driver.output().count(f"Ray's {part} died") == again)
        case "driver":
            driver.process.kill()
            assert driver.ended() == -signal.SIGKILL
        case "SIGINT" | "SIGTERM" | "SIGHUP":
            number = getattr(signal, victim)
            driver.process.send_signal(number)
            assert driver.ended() == 128 + number
            assert "the same command goes on from there" in driver.output()


def live(driver: Driver, paths: StudyPaths, victims: str, records: int, rng: random.Random) -> None:
    """Kills one after the other, each with so many runs on record and another in its middle."""
    for victim in victims.split(", "):
        since = time.time()
        driver.wait_for(
            "a run in its middle",
            # In a process of now: those of a Ray that died write on for a moment, and the next Ray is not up by then.
            lambda since=since: (
                len(recorded(paths)) >= records
                and last_write(paths) > since
                and any(process.create_time() > since for process in driver.named(RUN))
            ),
        )
        time.sleep(rng.uniform(0, 0.5))
        kill(driver, victim, rng)


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("lives", "points"), [(SHORT, 6), pytest.param(LONG, 8, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_search_survives_kills_of_its_driver_its_trials_and_ray(
    lives: tuple[str, ...],
    points: int,
    drivers: list[Driver],
    short_folder: Path,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    space, rng = write_space(tmp_path, points), random.Random(7)
    paths = StudyPaths(tmp_path / "runs", "demo")
    begun: set[str] = set()  # runs that were killed with a restart point
    for number, victims in enumerate(lives):
        done = recorded(paths)
        driver = Driver(space, points, tmp_path / "runs", short_folder)
        drivers.append(driver)
        live(driver, paths, victims, min(number, 2), rng)
        if driver.process.poll() is not None:
            assert not driver.orphans(f"{RUN}|{RAY}")
            begun |= {path.parent.name for path in paths.folder.glob("checkpoints/*/last-*.pt")} - recorded(paths)
        assert recorded(paths) >= done  # what was finished stays finished
    assert driver.ended() == 0, driver.output()

    records = {record.run_id: record for record in ledger(paths).runs}
    assert len(ledger(paths).runs) == len(records) == points
    assert begun
    for name in begun:
        assert any("continued from step" in event for event in records[name].events), name
    request.getfixturevalue("ray_session")
    study = find_study("demo").with_overrides(FIELDS).copied(space=load_space(space))
    undisturbed = StudyPaths(tmp_path / "undisturbed", "demo")
    search(study, undisturbed, SearchOptions(trials=points, scheduler="none"))
    assert {n: plain(record) for n, record in records.items()} == {r.run_id: plain(r) for r in ledger(undisturbed).runs}
    for life in drivers:
        assert not life.orphans()
    assert not paths.ray.exists()
    clear_dead(short_folder)  # as the next start does, now that the agents of the killed drivers have ended too
    assert not list(short_folder.glob("nlcse-*"))
