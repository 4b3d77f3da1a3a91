"""How many runs have room, on a cluster that grows: with Ray's own autoscaler over its provider of pretended nodes."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune.launch.room import Kind, told_autoscaler
from tests.launch.nodes import Nodes

TOLD: dict[str, Any] = {
    "cluster_name": "pretended",
    "max_workers": 2,
    # `fake_multinode` by another name: that one looks for a file that Ray's wheel does not bring.
    "provider": {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "use_node_id_as_ip": True, "disable_node_updaters": True, "disable_launch_config_check": True,
    },
    "available_node_types": {
        "head": {"resources": {"CPU": 1}, "node_config": {}, "max_workers": 0},
        "small": {
            "resources": {"CPU": 1, "object_store_memory": 10**8},
            "node_config": {}, "min_workers": 0, "max_workers": 5,
        },
    },
    "head_node_type": "head", "upscaling_speed": 1.0, "idle_timeout_minutes": 5.0, "auth": {"ssh_user": "nobody"},
    "file_mounts": {}, "cluster_synced_files": [], "file_mounts_sync_continuously": False,
    "rsync_exclude": [], "rsync_filter": [], "initialization_commands": [], "setup_commands": [],
    "head_setup_commands": [], "worker_setup_commands": [], "head_start_ray_commands": [],
    "worker_start_ray_commands": [],
}  # fmt: skip
PORT = 6379  # the provider knows no other
DRIVE = """
import sys, time
from nlcse_tune.errors import RunError
from nlcse_tune.launch import joined
from nlcse_tune.launch.room import Room
from nlcse_tune.launch.spec import Launch
import ray
with joined.open_ray(sys.argv[1], print):
    room = Room(Launch(), changes=True)
    print("room", room())
    print("less", Room(Launch(concurrent=2), changes=True)())
    print("two", Room(Launch(workers=3), changes=True)())
    try:
        Room(Launch(workers=4), changes=True)
    except RunError as error:
        print("error", error)
    run = ray.remote(num_cpus=1)(lambda: time.sleep(20))
    waiting = [run.remote() for _ in range(room())]
    ray.get(waiting, timeout=300)
    print("then", room(), sum(node["Alive"] for node in ray.nodes()) > 1)
"""


def test_what_an_autoscaler_was_told_is_read_where_it_runs(tmp_path: Path) -> None:
    told = tmp_path / "cluster.yaml"
    told.write_text(json.dumps(TOLD))
    call = [sys.executable, "-c", "input()", f"--autoscaling-config={told}", "--gcs-address=there:6379"]
    with subprocess.Popen(call, stdin=subprocess.PIPE) as monitor:
        assert told_autoscaler("there:6379") == [Kind((1.0, 0.0), 2)]
        assert told_autoscaler("there:6380") == []
        monitor.communicate(b"\n")


class Growing(Nodes):
    """A head with an autoscaler."""

    def add(self, *options: str, within: str = "", **environment: str) -> Any:
        told = self.home / "cluster.yaml"
        told.write_text(json.dumps(TOLD))
        self.address = f"127.0.0.1:{PORT}"
        options = (f"--port={PORT}", f"--autoscaling-config={told}", *options[1:])
        own = {"AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
        return super().add(*options, within=within, **own, **environment)


@pytest.fixture
def growing() -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e", ignore_cleanup_errors=True) as folder:
        nodes = Growing.__new__(Growing)
        try:
            nodes.__init__(Path(folder))  # type: ignore[misc] # what a start that fails leaves is closed, too
            yield nodes
        finally:
            nodes.close()


@pytest.mark.ray
@pytest.mark.long
def test_room_is_what_an_autoscaler_may_start_and_what_waits_makes_it_start(growing: Nodes) -> None:
    call = [sys.executable, "-c", DRIVE, growing.address]
    done = subprocess.run(call, capture_output=True, text=True, env=growing.environment(), timeout=500, check=False)
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said["room"] == "3", done.stdout + done.stderr
    # On a machine at work a pretended node may die, and be started again.
    assert (said["less"], said["two"], said["then"]) == ("2", "1", "3 True")
    assert "4 CPUs (4 workers), and the cluster grows to at most 3 CPUs and 0 GPUs" in said["error"]
