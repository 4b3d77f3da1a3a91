"""A Ray cluster of several nodes on this machine: each a `ray start` of its own, with a token."""

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil

from nlcse_tune.launch.cluster import _free_ports
from nlcse_tune.launch.session import end

Result = TypeVar("Result")
WAIT = 180  # seconds for a node to be up

# `ray start` with the agents' ports known: else a raylet waits 15 s for each, too little on a machine at work.
START = """
import sys
from nlcse_tune.launch import cluster
from ray.scripts.scripts import cli
with cluster._agents_ports_known():
    cli(["start", *sys.argv[1:]])
"""


class Node:
    """One `ray start --block` and all that descends from it."""

    def __init__(self, options: list[str], folder: Path, environment: dict[str, str], within: str = "") -> None:
        """`within` is shell to be run before it, in a name space of mounts of its own."""
        self.log = folder / "log"
        ray = [sys.executable, "-c", START, *options, f"--temp-dir={folder}", "--num-cpus=1", "--block"]
        ray += ["--node-ip-address=127.0.0.1", "--object-store-memory=100000000"]
        ray += ["--min-worker-port=0", "--max-worker-port=0"]  # any: raylets that share a machine share no range
        if within:
            ray = ["unshare", "--mount", "sh", "-c", f'{within} && exec "$@"', "sh", *ray]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(ray, stdout=log, stderr=log, env=environment, start_new_session=True)
        started = time.monotonic()
        while "This command will now block" not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() - started < WAIT, self.log.read_text()
            time.sleep(0.1)

    def family(self) -> list[psutil.Process]:
        """All its processes."""
        with contextlib.suppress(psutil.NoSuchProcess):
            head = psutil.Process(self.process.pid)
            return [head, *head.children(recursive=True)]
        return []

    def kill(self) -> None:
        """SIGKILL to raylet, workers and agents at once, as when a machine goes."""
        for process in self.family():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()


class Nodes:
    """A head and what was added to it; `close` leaves nothing."""

    def __init__(self, home: Path) -> None:
        self.home, self.nodes = home, list[Node]()
        self.token = home / "token"
        self.token.write_text("0123456789abcdef0123456789abcdef")
        self.token.chmod(0o600)
        port, dashboard, client = _free_ports(3)
        self.address = f"127.0.0.1:{port}"
        ports = [f"--port={port}", f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
        self.add(*ports, "--head", "--include-dashboard=true")

    def environment(self, **more: str) -> dict[str, str]:
        """Of a process that has the token and is told no more of this cluster."""
        left_out = {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"}
        kept = {name: value for name, value in os.environ.items() if name not in left_out}
        return {**kept, "RAY_AUTH_TOKEN_PATH": str(self.token), **more}

    def add(self, *options: str, within: str = "", **environment: str) -> Node:
        folder = self.home / str(len(self.nodes))
        folder.mkdir()
        options = options or (f"--address={self.address}",)
        told = {"RAY_AUTH_MODE": "token", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
        told |= {"RAY_health_check_timeout_ms": "60000", **environment}  # slow is not dead, on a machine at work
        self.nodes.append(Node(list(options), folder, self.environment(**told), within))
        return self.nodes[-1]

    def beside(self, work: Callable[[], Result], **how: str) -> Result:
        """What `work` returns while a node of this kind is up: again where it died, as on a machine at work it may."""
        for _ in range(4):
            node = self.add(**how)
            try:
                done = work()
                if node.process.poll() is None:
                    return done
            finally:
                node.kill()
        raise AssertionError(node.log.read_text())

    def close(self) -> None:
        for node in reversed(self.nodes):
            end(node.family())


@contextlib.contextmanager
def cluster() -> Iterator[Nodes]:
    """A head of one CPU, in a folder with a short name."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e", ignore_cleanup_errors=True) as folder:
        nodes = None
        try:
            nodes = Nodes(Path(folder))
            yield nodes
        finally:
            if nodes:
                nodes.close()
