"""A search over three Ray nodes: one killed, one added; its driver killed and started again."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.search.search import search
from nlcse_tune.search.state import SearchOptions
from nlcse_tune.space import load_space
from nlcse_tune.study import find_study
from tests.launch.nodes import Node, Nodes, cluster
from tests.launch.test_chaos import FIELDS, last_write, plain, recorded, write_space

pytestmark = [pytest.mark.ray, pytest.mark.slow]
POINTS, DEADLINE = 6, 400
RUN = re.compile(r"^ray::(Run|demo)\b")

STATE = """
import sys
from nlcse_tune.launch import joined
import ray
from ray.util import state
with joined.open_ray(sys.argv[1], print):
    alive = [actor.class_name for actor in state.list_actors(sys.argv[1]) if actor.state != "DEAD"]
    groups = [group.state for group in state.list_placement_groups(sys.argv[1]) if group.state != "REMOVED"]
    print("left", alive, groups, ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"])
"""


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with cluster() as made:
        made.add()
        made.add()
        yield made


class Search:
    """`nlcse-tune search --address` in a process of its own, no node's child."""

    def __init__(self, nodes: Nodes, space: Path, out: Path) -> None:
        self.log, self.paths = out.parent / "log", StudyPaths(out, "demo")
        call = [sys.executable, "-m", "nlcse_tune", "search", "demo", "--address", nodes.address, "--out", str(out)]
        call += ["--space", str(space), "--trials", str(POINTS), "--scheduler", "none"]
        call += [word for name, value in FIELDS.items() for word in ("--set", f"{name}={value}")]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(call, stdout=log, stderr=log, env=nodes.environment())

    def wait_for(self, what: str, happened: Any) -> None:
        started = time.monotonic()
        while not happened():
            assert time.monotonic() - started < DEADLINE, f"{what}: not in {DEADLINE} s\n{self.log.read_text()}"
            assert self.process.poll() is None, f"the driver ended before {what}\n{self.log.read_text()}"
            time.sleep(0.2)

    def ended(self) -> int:
        return self.process.wait(timeout=DEADLINE)


def trains(node: Node) -> bool:
    """Whether a run is on the node."""
    return any(RUN.match(word) for each in node.family() for word in _command(each)[:1])


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def in_the_middle(under_way: Search, node: Node, records: int = 1) -> Any:
    since = time.time()
    return lambda: len(recorded(under_way.paths)) >= records and last_write(under_way.paths) > since and trains(node)


def left_behind(nodes: Nodes) -> str:
    """What the cluster still holds of a search, asked until it is nothing or a minute has passed."""
    for _ in range(12):
        call = [sys.executable, "-c", STATE, nodes.address]
        done = subprocess.run(call, capture_output=True, text=True, env=nodes.environment(), timeout=300, check=True)
        said = next(line for line in done.stdout.splitlines() if line.startswith("left"))
        if said == "left [] [] True":
            break
        time.sleep(5)
    return said


@pytest.mark.timeout(1500)
@pytest.mark.long
@pytest.mark.parametrize("victim", ["node", "driver"])
def test_a_search_over_three_nodes_survives_the_death_of_one_and_of_its_driver(
    victim: str, nodes: Nodes, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    space, paths = write_space(tmp_path, POINTS), StudyPaths(tmp_path / "runs", "demo")
    under_way = Search(nodes, space, paths.root)
    try:
        under_way.wait_for("a run in its middle on the second node", in_the_middle(under_way, nodes.nodes[1]))
        if victim == "node":
            nodes.nodes[1].kill()
            added = nodes.add()
            under_way.wait_for("a run on the node that was added", lambda: trains(added))
        else:
            under_way.process.kill()
            assert under_way.ended() == -signal.SIGKILL
            under_way = Search(nodes, space, paths.root)
        assert under_way.ended() == 0, under_way.log.read_text()
    finally:
        under_way.process.kill()
    assert left_behind(nodes) == "left [] [] True"
    assert not paths.ray.exists()
    assert not [path for path in paths.folder.rglob(".*") if path.is_file()]
    assert not any(trains(node) for node in nodes.nodes)

    records = {record.run_id: record for record in ledger(paths).runs}
    assert any("continued from step" in event for record in records.values() for event in record.events)
    request.getfixturevalue("ray_session")
    study = find_study("demo").with_overrides(FIELDS).copied(space=load_space(space))
    undisturbed = StudyPaths(tmp_path / "undisturbed", "demo")
    search(study, undisturbed, SearchOptions(trials=POINTS, scheduler="none"))
    assert {n: plain(record) for n, record in records.items()} == {r.run_id: plain(r) for r in ledger(undisturbed).runs}
