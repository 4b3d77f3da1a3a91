"""A search whose runs have two workers each, some of them stopped early: nothing of it is left in its Ray."""

import time
from pathlib import Path

import psutil
import pytest

from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.records import RunRecord
from nlcse_tune.study import Study
from tests.conftest import CPUS
from tests.launch.test_launchers import spec_of

pytestmark = [pytest.mark.ray, pytest.mark.long]
# Ray Train's own, one of each for a cluster however many runs: what the dashboard's Train page shows, and who asks for
# nodes. They take no CPU.
STANDING = {"TrainStateActor", "_AutoscalingCoordinatorActor"}
PARTS = ("ray::Run", "ray::demo", "RayTrainWorker", "TrainController")
RATES = (1e-4, 3e-4, 1e-3, 3e-3)


class EveryOther(ListedRuns):
    """Stops each second run at its first dev score."""

    def judge(self, spec: RunSpec, record: RunRecord) -> str | None:
        return "hopeless" if spec.config.text.learning_rate in RATES[1::2] else None


def left() -> dict[str, list[str]]:
    """Living actors of runs, placement groups, and processes of runs, by the State API and by the system."""
    import ray
    from ray.util import state

    head = ray.get_runtime_context().gcs_address  # others' Rays may run on this machine
    alive = [actor.class_name for actor in state.list_actors(head) if actor.state != "DEAD"]
    actors = [name for name in alive if name not in STANDING]
    groups = [group.state for group in state.list_placement_groups(head) if group.state != "REMOVED"]
    family = psutil.Process().children(recursive=True)
    names = [" ".join(process.cmdline()) for process in family if process.status() != psutil.STATUS_ZOMBIE]
    runs = [name for name in names if any(part in name for part in PARTS)]
    return {"actors": actors, "groups": groups, "processes": runs}


@pytest.mark.timeout(1500)
@pytest.mark.usefixtures("ray_session")
def test_four_runs_on_two_workers_each_leave_nothing_when_half_are_stopped(tiny_study: Study, tmp_path: Path) -> None:
    import ray

    study = tiny_study.with_overrides({"train.max_steps": 40, "train.eval_every": 2})
    specs = [spec_of(study, tmp_path / "demo", **{"text.learning_rate": rate}) for rate in RATES]
    ended: list[str] = []
    source = EveryOther(specs, lambda spec, record, *_: ended.append(record.status if record else "lost"))
    before = left()
    Pool(Resources(workers=2, cpus=CPUS / 4), 2, None).run(source, specs[0].study.ray)
    assert sorted(ended) == ["completed", "completed", "stopped", "stopped"]
    started = time.monotonic()
    while left() != before and time.monotonic() - started < 120:  # Train's cleaner looks every few seconds
        time.sleep(1)
    assert left() == before
    assert ray.available_resources().get("CPU") == CPUS
    assert not specs[0].study.ray.exists()
