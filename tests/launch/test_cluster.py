"""A Ray of our own: slow to start, never to start, and what of it others can see."""

import os
import re
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from nlcse_tune.errors import RunError
from nlcse_tune.launch import cluster, joined
from nlcse_tune.launch.session import end

pytestmark = [pytest.mark.ray, pytest.mark.slow]

# Ray's patience with its dashboard is none at all: a start that is really too slow, with a head half up by then.
SLOW = """
import os
os.environ["RAY_DASHBOARD_STARTUP_TIMEOUT_S"] = "0"
from pathlib import Path
from nlcse_tune.errors import RunError
from nlcse_tune.launch import cluster, joined
import psutil, ray, sys
cluster.PAUSE = 0
notes = []
def note(text):
    notes.append(text)
    left = [process.name() for process in psutil.Process().children(recursive=True)]
    assert not left, left
    if sys.argv[1] == "once":
        ray._private.ray_constants.RAY_DASHBOARD_STARTUP_TIMEOUT_S = 180
try:
    with joined.open_ray(None, note) as own:
        folder = own.folder
        assert folder.is_dir()
        print("nodes", len(ray.nodes()))
    assert not folder.exists()
except RunError as error:
    print("error", error)
print("\\n".join(notes))
print("left", psutil.Process().children(recursive=True))
"""


def start(times: str, home: Path) -> str:
    environment = {**os.environ, "HOME": str(home)}
    environment.pop("RAY_ADDRESS", None)
    call = [sys.executable, "-c", SLOW, times]
    return subprocess.run(call, capture_output=True, text=True, env=environment, check=True, timeout=300).stdout


def test_a_start_that_was_too_slow_is_tried_again(tmp_path: Path) -> None:
    said = start("once", tmp_path)
    assert "nodes 1\n" in said
    assert re.search(r"Ray did not start: .+; attempt 2 of 3 follows", said)
    assert "attempt 3" not in said
    assert "left []" in said
    assert stat.S_IMODE((tmp_path / ".ray" / "auth_token").stat().st_mode) == 0o600


def test_after_three_attempts_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    said = start("always", tmp_path)
    assert "nodes" not in said
    (sentence,) = re.findall("^error (.+)$", said, re.MULTILINE)
    assert sentence.startswith("Ray did not start in 3 attempts: its dashboard did not come up in time; ")
    assert re.search(r"the load is \d+ on \d+ CPUs: wait until the machine has less to do", sentence)
    assert "left []" in said


def free_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def test_a_cluster_that_is_not_there_is_one_sentence_at_once() -> None:
    address = free_address()
    with pytest.raises(RunError, match=rf"Ray at {address} could not be joined: .*refused; check the address"):
        joined.JoinedRay(address)


def wait_for_head(address: str, head: subprocess.Popen[bytes]) -> None:
    host, port = address.split(":")
    for _ in range(1200):
        assert head.poll() is None
        with socket.socket() as probe:
            if probe.connect_ex((host, int(port))) == 0:
                break
        time.sleep(0.1)
    time.sleep(5)  # its raylet follows


JOIN = """
import sys, time
from nlcse_tune.errors import RunError
from nlcse_tune.launch import joined
joined.PATIENCE = 3
try:
    with joined.open_ray(sys.argv[1], print) as found:
        print("joined", found.died(), flush=True)
        input()
        while (part := found.died()) is None:
            time.sleep(0.1)
        found.revive(part)
except RunError as error:
    print("error", error, flush=True)
"""


def test_a_joined_cluster_that_dies_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    address, ray = free_address(), [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e") as folder:
        start = [*ray, f"--port={address.split(':')[1]}", f"--temp-dir={folder}", "--num-cpus=1"]
        head = subprocess.Popen([*start, "--include-dashboard=false"], stdout=subprocess.DEVNULL)
        family: list[psutil.Process] = []
        try:
            wait_for_head(address, head)
            call = [sys.executable, "-c", JOIN, address]
            with subprocess.Popen(call, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as driver:
                assert driver.stdout is not None
                assert driver.stdout.readline() == "joined None\n"
                family = psutil.Process(head.pid).children(recursive=True)
                next(process for process in family if "gcs_server" in process.name()).kill()
                said = driver.communicate("\n", timeout=120)[0]
            assert re.fullmatch(
                rf"error the Ray cluster at {address} is lost: its (head|node on this machine) does not answer; .+\n",
                said,
            )
        finally:
            end([psutil.Process(head.pid), *family] if head.poll() is None else family)


def test_it_listens_on_this_machine_alone() -> None:
    code = "from nlcse_tune.launch import joined\nwith joined.open_ray(None, print): print(flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        assert driver.stdout is not None
        driver.stdout.readline()
        family = psutil.Process(driver.pid).children(recursive=True)
        sockets = [each for process in family for each in process.net_connections("inet")]
        listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
        assert len(family) > 5
        assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
        driver.communicate(b"\n")
    assert driver.returncode == 0


def test_free_ports_differ_and_can_be_bound() -> None:
    ports = cluster._free_ports(4)
    assert len(set(ports)) == 4
    for port in ports:
        with socket.socket() as one:
            one.bind(("127.0.0.1", port))
