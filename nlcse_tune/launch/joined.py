"""A Ray to run on: a cluster that others started, joined; where no address says so, one of our own."""

import math
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlcse_tune.errors import RunError, end_in_order
from nlcse_tune.launch.cluster import ENVIRONMENT, OwnRay, first_line, job, output  # before ray's import
from nlcse_tune.launch.travel import terms
from nlcse_tune.versions import COMMIT, commit

import grpc  # isort: skip
import ray  # isort: skip
from ray._private import services  # isort: skip
from ray._private.authentication import authentication_token_setup as tokens  # isort: skip

PACKAGE = Path(__file__).parents[1]
PATIENCE = 30.0  # seconds for a joined cluster's head to come back; after 60 Ray ends every process that knows it
WHO = "/ray.rpc.NodeInfoGcsService/GetClusterId"  # what every process that joins asks the head first
OF_A_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # set where Ray itself started this process as a job


class JoinedRay:
    """A cluster that others started: it is not ours to start again, nor to stop."""

    def __init__(self, address: str, study: str = "") -> None:
        """Joins it; RunError where that fails."""
        self.address, self.study = address, study
        if "://" in address:
            raise RunError(
                f"--address {address}: a search cannot be driven through Ray's client; give --address HOST:PORT (the "
                "head's, 6379 unless it was started otherwise) or auto on a machine of the cluster"
            )
        self._join([])

    def bring(self, inputs: list[Path]) -> None:
        """Leaves it and joins it anew, since what travels is said when one joins."""
        ray.shutdown()
        self._join(inputs)

    def _join(self, inputs: list[Path]) -> None:
        try:
            self.head = services.canonicalize_bootstrap_address(self.address) or self.address
            _connect(self.head)  # else Ray would try for minutes
            _show_token(self.head)
            ray.init(address=self.head, runtime_env=runtime_env(inputs), **job(self.study), **output())
            end_in_order()
        except RunError:
            raise
        except Exception as error:  # Ray raises bare ones, too
            raise RunError(
                f"Ray at {self.address} could not be joined: {first_line(error)}; check the address, and on the "
                "cluster's head whether `ray status` knows it"
            ) from error
        node: Any = ray._private.worker.global_worker.node
        self.raylet = f"{node.node_ip_address}:{node.node_manager_port}"
        self.looked, self.silent_since = time.monotonic(), math.inf

    def died(self) -> str | None:
        """What of it has not answered for a while: Ray itself would end this process without a word.

        A head may come back, the node that this process is on does not.
        """
        if (now := time.monotonic()) > self.looked + 1:
            self.looked = now
            try:
                _connect(self.raylet)
            except OSError:
                return "node on this machine"
            try:
                _connect(self.head)
                self.silent_since = math.inf
            except OSError:
                self.silent_since = min(self.silent_since, now)
        return "head" if now - self.silent_since > PATIENCE else None

    def revive(self, part: str) -> None:
        raise RunError(
            f"the Ray cluster at {self.address} is lost: its {part} does not answer; when it is up again, the same "
            "command goes on from the records"
        )

    def stop(self) -> None:
        if self.died() is None:  # else it would wait for the head until Ray ends this process, before a word is said
            ray.shutdown()


def runtime_env(inputs: list[Path]) -> dict[str, Any]:
    """What Ray brings to each worker: our settings, this package as it is here (no more of its checkout), `inputs`.

    Ray's own environment of a job has the package already, and refuses to be told twice.
    """
    told = ENVIRONMENT | terms() | ({COMMIT: at} if (at := commit()) else {})
    modules = [*([] if OF_A_JOB in os.environ else [PACKAGE]), *inputs]
    return {"env_vars": told} | ({"py_modules": [str(path) for path in modules]} if modules else {})


def _show_token(head: str) -> None:
    """Turns token authentication on where the head asks for a token; RunError where there is none, or it is not its.

    Ray asks a head with a wrong token for minutes, a line each second, and then ends the process.
    """
    if _answers(head, {}):
        return
    raylet: Any = ray._raylet
    loader = raylet.AuthenticationTokenLoader.instance()
    loader.reset_cache()
    has = loader.has_token(ignore_auth_mode=True)
    if has and _answers(head, loader.get_token_for_http_header(ignore_auth_mode=True)):
        tokens._enable_token_auth()
        return
    raise RunError(
        f"Ray at {head} asks for a token, and {'the one here is not its' if has else 'there is none here'}: run `ray "
        "get-auth-token` on the cluster's head, and put what it prints into ~/.ray/auth_token or $RAY_AUTH_TOKEN here"
    )


def _answers(head: str, token: dict[str, str]) -> bool:
    """Whether the head answers whoever shows `token`; so it seems, too, where it answers nobody in this way."""
    with grpc.insecure_channel(head) as channel:
        try:
            channel.unary_unary(WHO)(b"", metadata=tuple(token.items()), timeout=5)
        except grpc.RpcError as error:
            return bool(error.code() != grpc.StatusCode.UNAUTHENTICATED)
    return True


def _connect(address: str) -> None:
    """OSError or ValueError where nothing listens at `host:port`."""
    host, port = address.rsplit(":", 1)
    socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()


@contextmanager
def open_ray(address: str | None, note: Callable[[str], None], study: str = "") -> Iterator[OwnRay | JoinedRay | None]:
    """Joins the cluster at `address` (or `$RAY_ADDRESS`), else starts one here; leaves or stops it at the end.

    The `study` is for Ray's list of jobs. A Ray that this process already runs in is used and left running: None.
    """
    if ray.is_initialized():
        yield None
        return
    address = address or os.environ.get("RAY_ADDRESS")
    opened = JoinedRay(address, study) if address else OwnRay(note, study)
    try:
        if isinstance(opened, OwnRay):
            opened.start()
        yield opened
    finally:
        opened.stop()
