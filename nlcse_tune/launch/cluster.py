"""Ray's settings, and starting a Ray of our own."""

import inspect
import logging
import os
import random
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

# Read when ray is imported. Under `uv run` Ray would rebuild the project's environment for every worker process
# (over 60 s each); Train's API answers 500 unless tracking is on (docs/ray.md, points 13 and 14).
ENVIRONMENT = {
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_TRAIN_ENABLE_STATE_TRACKING": "1",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C ends the search at once: the records are all it needs
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "100000",  # our driver says how many, and what waits is what an autoscaler sees
    # Workers of a run start together or not at all, so to wait for room is no deadlock; after 60 s Train would give up.
    "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "1000000",
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
    "RAY_worker_niceness": "0",  # Ray's 15 leaves a run 3% of a core beside busy processes (LOG.md)
    "RAY_health_check_timeout_ms": "60000",  # else a node that is busy for 5 times 10 s is taken for dead, and ended
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
}
for _name, _value in (ENVIRONMENT | OWN_ENVIRONMENT).items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray._private import services  # noqa: E402
from ray._private.authentication import authentication_token_setup as tokens  # noqa: E402
from ray.job_config import JobConfig  # noqa: E402

from nlcse_tune.errors import RunError, end_in_order, this_command, verbose  # noqa: E402
from nlcse_tune.errors import first_line as one_line  # noqa: E402
from nlcse_tune.launch.session import session_folder  # noqa: E402

OBJECT_STORE_BYTES = 256 * 1024**2  # runs exchange configurations and scores; Ray's default is 30% of the memory
STARTS = 3  # attempts
PAUSE = 10.0  # seconds between them
VITAL = ("gcs_server", "raylet", "dashboard")  # a raylet ends when one of its agents does
AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port", "runtime_env_agent_port")


class OwnRay:
    """A Ray that this process starts for itself, in a private folder, and can start again when it has died."""

    def __init__(self, note: Callable[[str], None], study: str = "") -> None:
        self.note, self.study, self.session = note, study, ExitStack()
        self.folder: Path | None = None

    def start(self) -> None:
        """RunError where it does not start within three attempts."""
        for attempt in range(1, STARTS + 1):
            self.folder = self.session.enter_context(session_folder())
            try:
                self._init(self.folder)
                return
            except Exception as error:  # Ray raises bare ones
                why = first_line(error)
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
        own |= job(self.study) | output()
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


def job(study: str) -> dict[str, Any]:
    """What Ray's list of jobs says of this one."""
    return {"job_config": JobConfig(metadata={"study": study, "command": this_command()})}


def alive_nodes() -> list[dict[str, Any]]:
    """The cluster's nodes that are up, as Ray lists them."""
    return [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]


def output() -> dict[str, Any]:
    """How much Ray prints."""
    return {"log_to_driver": verbose(), "logging_level": logging.INFO if verbose() else logging.ERROR}


def first_line(error: Exception) -> str:
    line = one_line(error).removesuffix(".")
    return "its dashboard did not come up in time" if "dashboard." in line else line  # else: the file it quotes
