"""What Ray's dashboard shows of runs: asked of its own API, with the token."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest

from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.dashboard import Dashboard
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.spec import Resources, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.study import Study

pytestmark = pytest.mark.ray
TASKS = "/api/v0/tasks?detail=1&limit=1000&filter_keys=name&filter_predicates=%3D&filter_values="
LONG = {"train.max_steps": 100_000, "train.epochs": 10_000}


def spec_of(study: Study, folder: Path, seed: int, *, name: str = "demo", **fields: object) -> RunSpec:
    config = override(study.config, fields)
    spec = run_spec(StudyPaths(folder, name), config, seed, fingerprints(config))
    return spec.model_copy(update={"label": f"demo 00{seed} side.learning_rate=1e-6 seed {seed}"})


class UntilSeen(ListedRuns):
    """Runs without end; each is stopped once `seen` says so, or after four minutes."""

    def __init__(self, specs: list[RunSpec], seen: Any) -> None:
        super().__init__(specs, lambda *_: None)
        self.seen, self.until = seen, time.monotonic() + 240

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        return "seen" if self.seen(spec) or time.monotonic() > self.until else None


@pytest.fixture
def dashboard(ray_session: None) -> Dashboard:
    import ray

    return Dashboard(f"http://{ray._private.worker.get_dashboard_url()}")


@contextmanager
def again_and_again(look: Callable[[], None]) -> Iterator[None]:
    """Calls `look` in a thread of its own all the while."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(0.2):
            with suppress(psutil.Error):
                look()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def listed(dashboard: Dashboard, path: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = dashboard.get(path)["data"]["result"]["result"]
    return found


def test_tasks_and_processes_are_called_after_their_runs(
    dashboard: Dashboard, tiny_study: Study, tmp_path: Path
) -> None:
    """Two runs, one after the other, in one process."""
    from nlcse_tune.launch.pool import Pool

    seeds = (8101, 8102)  # of no other test: Ray lists the tasks of the whole session by their names
    specs = [spec_of(tiny_study, tmp_path, seed, **LONG) for seed in seeds]
    actors: dict[str, set[str]] = {}  # of each run: those of the tasks named like it
    titles: set[str] = set()

    def look() -> None:
        titles.update(" ".join(process.cmdline()).strip() for process in psutil.Process().children(recursive=True))

    def seen(spec: RunSpec) -> bool:
        tasks = listed(dashboard, TASKS + quote(spec.label))  # of the session's thousands, those of this name
        actors[spec.run_id] = {task["actor_id"] for task in tasks}
        return bool(actors[spec.run_id]) and f"ray::{spec.label}" in titles

    with again_and_again(look):  # while the driver judges a run, its process does nothing and is called after its class
        Pool(Resources(), 1, None, study="demo").run(UntilSeen(specs, seen), tmp_path / "ray")
    first, second = (actors[spec.run_id] for spec in specs)
    assert first
    assert first == second  # a process is worth 7 s, so the second run has the first one's
    assert {f"ray::{spec.label}" for spec in specs} <= titles
    (actor,) = [each for each in listed(dashboard, "/api/v0/actors?detail=1") if each["actor_id"] in first]
    assert (actor["class_name"], actor["repr_name"]) == ("Run", "runs of demo")
