"""Starting Ray, or joining it; what it has; whether a search can run on it."""

import inspect
import logging
import math
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

# Read when ray is imported. Under `uv run` Ray would rebuild the project's environment for every worker process
# (over 60 s each); the dashboard's Train page is empty unless tracking is on (docs/ray.md, points 13 and 14).
ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the search at once: the records are all it needs
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_INSUFFICENT_RESOURCE_THRESHOLD_S": "3600",
}
# What a Ray of our own is started with, not what its workers or a joined cluster's are told. Ray's own patience is too
# short for a machine at work; and its node takes the address 127.0.0.1, so that nobody else's machine reaches it.
OWN_ENVIRONMENT = {
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S": "180",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
for _name, _value in (ENVIRONMENT | OWN_ENVIRONMENT).items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray._private import services  # noqa: E402
from ray._private.authentication import authentication_token_setup as tokens  # noqa: E402

from nlcse_tune.errors import RunError, end_in_order, verbose  # noqa: E402
from nlcse_tune.launch.session import session_folder  # noqa: E402
from nlcse_tune.launch.spec import Launch, Resources  # noqa: E402

OBJECT_STORE_BYTES = 256 * 1024**2  # runs exchange configurations and scores; Ray's default is 30% of the memory
STARTS = 3  # attempts
PAUSE = 10.0  # seconds between them
PATIENCE = 30.0  # seconds for a joined cluster's head to come back; after 60 Ray ends every process that knows it
VITAL = ("gcs_server", "raylet", "dashboard")  # a raylet ends when one of its agents does
AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


class JoinedRay:
    """A cluster that others started: it is not ours to start again."""

    def __init__(self, address: str) -> None:
        """Joins it; RunError where that fails."""
        self.address = address
        try:
            if ":" in address:
                _connect(address)  # else Ray would try for minutes
            ray.init(address=address, runtime_env={"env_vars": ENVIRONMENT}, **_output())
            end_in_order()
        except Exception as error:  # Ray raises bare ones, too
            raise RunError(
                f"Ray at {address} could not be joined: {_first_line(error)}; check the address, and on the cluster's "
                "head whether `ray status` knows it"
            ) from error
        self.head = ray.get_runtime_context().gcs_address if "://" not in address else address
        self.looked, self.silent_since = time.monotonic(), math.inf

    def died(self) -> str | None:
        """Its head, where nothing has answered there for a while: Ray itself would end this process without a word."""
        if (now := time.monotonic()) > self.looked + 1:
            self.looked = now
            try:
                _connect(self.head)
                self.silent_since = math.inf
            except OSError:
                self.silent_since = min(self.silent_since, now)
        return "head" if now - self.silent_since > PATIENCE else None

    def revive(self, part: str) -> None:
        raise RunError(
            f"the Ray cluster at {self.address} is lost: its {part} has not answered for {PATIENCE:g} s; when it is up "
            "again, the same command goes on from the records"
        )

    def stop(self) -> None:
        if self.died() is None:  # else it would wait for the head until Ray ends this process, before a word is said
            ray.shutdown()


class OwnRay:
    """A Ray that this process starts for itself, in a private folder, and can start again when it has died."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self.note, self.session = note, ExitStack()
        self.folder: Path | None = None

    def start(self) -> None:
        """RunError where it does not start within three attempts."""
        for attempt in range(1, STARTS + 1):
            self.folder = self.session.enter_context(session_folder())
            try:
                self._init(self.folder)
                return
            except Exception as error:  # Ray raises bare ones
                why = _first_line(error)
                self.stop()
                if attempt == STARTS:
                    raise RunError(
                        f"Ray did not start in {STARTS} attempts: {why}; the load is {os.getloadavg()[0]:.0f} on "
                        f"{os.cpu_count()} CPUs: wait until the machine has less to do, or join a running cluster "
                        "with --address; the same command goes on"
                    ) from error
                self.note(f"Ray did not start: {why}; attempt {attempt + 1} of {STARTS} follows")
                time.sleep(PAUSE)

    def _init(self, folder: Path) -> None:
        _keep_token_private()
        # Without its dashboard Ray Train cannot find out which workers to clean up, and the next run hangs
        # (docs/ray.md, point 1).
        own: dict[str, Any] = {"include_dashboard": True, "object_store_memory": OBJECT_STORE_BYTES}
        own |= {"_temp_dir": str(folder), "_node_ip_address": "127.0.0.1"}
        own |= _output()
        with _agents_ports_known():
            ray.init(address="local", runtime_env={"env_vars": ENVIRONMENT}, **own)
            end_in_order()

    def stop(self) -> None:
        """Ends it, dead or alive, with all its processes, and deletes its folder."""
        ray.shutdown(wait_for_processes=True)
        self.session.close()

    def revive(self, part: str) -> None:
        """Starts it again where a part of it is dead."""
        self.note(f"Ray's {part} died; Ray is started again, and the runs under way go on")
        self.stop()
        self.start()

    def died(self) -> str | None:
        """The part of it that is dead, None while it lives."""
        node = ray._private.worker._global_node
        dead = [kind for kind, _ in node.dead_processes() if kind in VITAL] if node else ["driver's connection"]
        return dead[0] if dead else None


@contextmanager
def open_ray(address: str | None, note: Callable[[str], None]) -> Iterator[OwnRay | JoinedRay | None]:
    """Joins the cluster at `address` (or `$RAY_ADDRESS`), else starts one here; leaves or stops it at the end.

    A Ray that this process already runs in is used and left running: None.
    """
    if ray.is_initialized():
        yield None
        return
    address = address or os.environ.get("RAY_ADDRESS")
    opened = JoinedRay(address) if address else OwnRay(note)
    try:
        if isinstance(opened, OwnRay):
            opened.start()
        yield opened
    finally:
        opened.stop()


@contextmanager
def _agents_ports_known() -> Iterator[None]:
    """Around the start of a node: the ports of its agents are chosen here.

    A raylet waits 15 s for each port that its agents choose and write to a file, which no setting changes, and ends
    where it does not come (ray#65983): on a machine at work an agent needs longer for its imports alone.
    """
    start_raylet = services.start_raylet

    def with_ports(*args: Any, **settings: Any) -> Any:
        asked = inspect.signature(start_raylet).bind(*args, **settings).arguments
        asked |= dict(zip(AGENT_PORTS, _free_ports(len(AGENT_PORTS)), strict=True))
        # Of this port Ray's command for the raylet says nothing, so it looks for the file; the agent writes it again.
        listen = asked["dashboard_agent_listen_port"]
        raylet: Any = ray._raylet
        raylet.persist_port(asked["session_dir"], asked["node_id"], raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME, listen)
        return start_raylet(**asked)

    services.start_raylet = with_ports
    try:
        yield
    finally:
        services.start_raylet = start_raylet


def _free_ports(count: int) -> list[int]:
    """Ports that are free, below those that the system gives to whoever asks: they are taken only seconds later."""
    free: list[int] = []
    for port in random.SystemRandom().sample(range(10_000, 30_000), 1000):
        with closing(socket.socket()) as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            free.append(port)
        if len(free) == count:
            break
    return free


def _keep_token_private() -> None:
    """Makes Ray's token where there is none; the file in which Ray keeps it is its owner's alone."""
    if os.environ.get("RAY_AUTH_MODE") == "disabled" or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
        return
    path = Path.home() / ".ray" / "auth_token"
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)  # before there is anything to read in it
        tokens.generate_and_save_token()
    path.chmod(0o600)


def _output() -> dict[str, Any]:
    """How much Ray prints."""
    return {"log_to_driver": verbose(), "logging_level": logging.INFO if verbose() else logging.ERROR}


def _connect(address: str) -> None:
    """OSError or ValueError where nothing listens at `host:port`, a scheme before it or none."""
    host, port = address.rpartition("://")[2].rsplit(":", 1)
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0].removesuffix(".")
    return "its dashboard did not come up in time" if "dashboard." in line else line  # else: the file it quotes


def fit(launch: Launch) -> tuple[Resources, int]:
    """What a run will ask for, and how many run at a time.

    A GPU for each worker where there are GPUs, one CPU unless said otherwise. RunError where not even one run fits,
    since Ray would wait for ever (ray#17359).
    """
    alive: list[dict[str, Any]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [(float(has.get("CPU", 0)), float(has.get("GPU", 0))) for has in alive]
    cpus, gpus = (sum(sizes) for sizes in zip(*nodes, strict=True))
    cpus_each = 1.0 if launch.cpus_per_worker is None else launch.cpus_per_worker
    gpus_each = float(gpus > 0) if launch.gpus_per_worker is None else launch.gpus_per_worker
    resources = Resources(launch.workers, cpus_each, gpus_each)
    if (possible := resources.concurrent(nodes)) < 1:
        each = "; ".join(f"{n} CPUs and {g} GPUs" for n, g in sorted({(f"{n:g}", f"{g:g}") for n, g in nodes}))
        split = f" on {len(nodes)} nodes ({each}; a worker needs its own on one node)" if len(nodes) > 1 else ""
        raise RunError(
            f"a run asks for {resources}, and the cluster has {cpus:g} CPUs and {gpus:g} GPUs in all{split}; "
            "ask for fewer with --workers, --cpus-per-worker or --gpus-per-worker, or join a larger cluster (--address)"
        )
    return resources, min(possible, launch.concurrent or possible)
