"""A Prometheus that collects the metrics of a running Ray, for as long as somebody wants it. Imports no Ray.

It listens on this machine alone and keeps its data in a private folder that goes with it.
"""

import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.files import write_text, yaml_text
from nlcse_tune.launch.dashboard import Dashboard

PORT = 9090  # where Ray's dashboard looks for a Prometheus, unless RAY_PROMETHEUS_HOST says otherwise
SCRAPE = "5s"
STARTS_WITHIN = 120.0  # seconds
SERVICE_DISCOVERY = "/api/prometheus/sd"  # of Ray's dashboard: the metrics' addresses of all nodes


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    process: subprocess.Popen[bytes]
    folder: Path
    port: int
    dashboard: Dashboard

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def follow(self) -> None:
        """Learns which nodes there are now; Prometheus reads that by itself."""
        write_text(self.folder / "targets.json", json.dumps(self.dashboard.get(SERVICE_DISCOVERY)))

    def has_ended(self) -> bool:
        return self.process.poll() is not None


@contextmanager
def collecting(dashboard: Dashboard) -> Iterator[Prometheus]:
    """A Prometheus for the Ray of this dashboard, ended at the end; ConfigError where the machine has none."""
    program = shutil.which("prometheus")
    if program is None:
        raise ConfigError(
            "--metrics: there is no program `prometheus` here; install it (Debian and Ubuntu: `apt install "
            "prometheus`), or point one of your own at the file that docs/monitoring.md names"
        )
    with tempfile.TemporaryDirectory(prefix="nlcse-prometheus-") as name:  # mode 0700
        folder, port = Path(name), _free_port()
        jobs = [{"job_name": "ray", "file_sd_configs": [{"files": [str(folder / "targets.json")]}]}]
        write_text(
            folder / "prometheus.yml", yaml_text({"global": {"scrape_interval": SCRAPE}, "scrape_configs": jobs})
        )
        # The token that the dashboard asks for goes by this process: it is in no file and no argument.
        write_text(folder / "targets.json", json.dumps(dashboard.get(SERVICE_DISCOVERY)))
        command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
        command += [f"--web.listen-address=127.0.0.1:{port}"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            _wait(process, folder, port)
            yield Prometheus(process, folder, port, dashboard)
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def _wait(process: "subprocess.Popen[bytes]", folder: Path, port: int) -> None:
    """Until it answers questions, which is later than that it listens; RunError with its last words where not."""
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until and process.poll() is None:
        with suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5):
            return
        time.sleep(0.1)
    said = (folder / "log").read_text(errors="replace").strip().splitlines() or ["it said nothing"]
    raise RunError(f"prometheus did not start on port {port}: {said[-1]}")


def _free_port() -> int:
    """PORT, or where that is taken another."""
    for port in (PORT, 0):
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise RunError("no port of 127.0.0.1 is free; end what listens there")
