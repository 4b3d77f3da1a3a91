"""What happens to the runs under way when Ray dies: none is lost, none is run twice, and there is an end to it."""

import threading
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import RunError
from nlcse_tune.launch.driver import Driver, ListedRuns, NodeDeaths, RayDied
from nlcse_tune.launch.pool import RESTARTS, Pool
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.records import DevPoint, RunRecord
from nlcse_tune.study import Study
from nlcse_tune.versions import versions
from tests.launch.test_launchers import spec_of


class Stopping(ListedRuns):
    """Stops each run at its first dev score."""

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        return "hopeless"


def specs_of(study: Study, folder: Path, number: int) -> list[RunSpec]:
    return [spec_of(study, folder / "demo", **{"text.learning_rate": 10.0**-n}) for n in range(3, 3 + number)]


def reported(spec: RunSpec, scores: int) -> dict[str, Any]:
    """A trial's report after so many dev scores."""
    curve = tuple(DevPoint(step=n, score=50.0, text_loss=1.0, side_loss=None) for n in range(1, scores + 1))
    record = RunRecord(
        run_id=spec.run_id, study="demo", seed=spec.seed, config=spec.config, status="running", dev_curve=curve,
        best_dev=50.0, versions=versions("cpu"), data=fingerprints(spec.config),
    )  # fmt: skip
    return {"dev": 50.0, "record": record.model_dump_json()}


def given(driver: Driver, trial_id: str) -> str:
    """The run that the driver suggests."""
    suggested = driver.suggest(trial_id)
    assert isinstance(suggested, dict)
    return str(suggested["spec"]["run_id"])


def test_runs_under_way_are_given_again_before_new_ones_and_stopped_ones_are_not(
    tiny_study: Study, tmp_path: Path
) -> None:
    first, second, third, fourth = specs = specs_of(tiny_study, tmp_path, 4)
    ended: list[str] = []
    source = Stopping(specs, lambda spec, record, *_: ended.append(f"{spec.run_id} {record and record.status}"))
    part: list[str] = []
    driver = Driver(source, None, lambda: part[0] if part else None)
    assert [given(driver, name) for name in "abc"] == [first.run_id, second.run_id, third.run_id]
    assert driver("b", reported(second, 1))  # told to stop, and Ray dies before Tune says that it has
    part.append("raylet")
    for ask in (driver.stop_all, lambda: driver.suggest("d"), lambda: driver.on_trial_complete("a", error=True)):
        with pytest.raises(RayDied, match="raylet"):
            ask()
    assert not ended  # a run whose process died with Ray has not failed
    again = driver.unended()
    assert ended == [f"{second.run_id} stopped"]
    follower = Driver(source, None, again=again)
    assert [given(follower, name) for name in "xyz"] == [first.run_id, third.run_id, fourth.run_id]
    assert follower.suggest("w") is None


def test_a_run_is_given_where_there_is_room_and_room_may_come_and_go(tiny_study: Study, tmp_path: Path) -> None:
    first, second, third = specs = specs_of(tiny_study, tmp_path, 3)
    room = [1]
    driver = Driver(ListedRuns(specs, lambda *_: None), None, room=lambda: room[0])
    assert given(driver, "a") == first.run_id
    assert driver.suggest("b") is None  # later, not never
    room[0] = 2
    assert given(driver, "b") == second.run_id
    room[0] = 1
    driver.on_trial_complete("a")
    assert driver.suggest("c") is None
    driver.on_trial_complete("b")
    assert given(driver, "c") == third.run_id


class Trial:
    """What is asked of Tune's."""

    def __init__(self) -> None:
        self.run_metadata, self.num_failures = self, 2


def test_the_death_of_a_node_takes_no_fresh_start_of_the_runs_lost_with_it() -> None:
    nodes, lost, later = [0], Trial(), Trial()
    deaths = NodeDeaths(lambda: nodes[0])
    deaths.on_trial_recover(0, [], lost)
    deaths.on_step_end(0, [])
    assert lost.num_failures == 2  # a process of its own, so far
    nodes[0], deaths.looked = 1, 0.0
    deaths.on_step_end(0, [])
    deaths.on_trial_recover(0, [], later)
    deaths.looked = 0.0
    deaths.on_step_end(0, [])
    assert (lost.num_failures, later.num_failures) == (1, 2)


def test_a_run_that_died_a_moment_before_its_ray_has_not_failed(tiny_study: Study, tmp_path: Path) -> None:
    (spec,) = specs_of(tiny_study, tmp_path, 1)
    ended: list[RunSpec] = []
    part: list[str] = []
    driver = Driver(ListedRuns([spec], lambda spec, *_: ended.append(spec)), None, lambda: part[0] if part else None)
    given(driver, "a")
    dying = threading.Timer(0.3, part.append, ["raylet"])
    dying.start()
    with pytest.raises(RayDied, match="raylet"):
        driver.on_trial_complete("a", error=True)
    dying.join()
    assert driver.unended() == [spec]
    assert not ended


class Doomed:
    """Stands for a Ray that dies as soon as it has started."""

    def __init__(self) -> None:
        self.starts = 0

    def died(self) -> str | None:
        return "raylet"

    def revive(self, part: str) -> None:
        self.starts += 1


def test_a_ray_that_only_dies_is_not_started_for_ever(tiny_study: Study, tmp_path: Path) -> None:
    doomed: Any = Doomed()
    source = ListedRuns(specs_of(tiny_study, tmp_path, 1), lambda *_: None)
    with pytest.raises(RunError, match="Ray's raylet died, the 4th time in a row that no run got any further"):
        Pool(Resources(), 1, None, doomed).run(source, tmp_path / "demo" / "ray")
    assert doomed.starts == RESTARTS
    assert source.left
