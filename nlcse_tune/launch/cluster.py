"""Starting Ray, or joining it; what it has; whether a search can run on it."""

import logging
import os
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
for _name, _value in ENVIRONMENT.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402

from nlcse_tune.errors import RunError, verbose  # noqa: E402
from nlcse_tune.launch.spec import Launch, Resources  # noqa: E402

OBJECT_STORE_BYTES = 256 * 1024**2  # runs exchange configurations and scores; Ray's default is 30% of the memory


def start(address: str | None) -> None:
    """Joins the cluster at `address` (or `$RAY_ADDRESS`), else starts one here; RunError where that fails."""
    address = address or os.environ.get("RAY_ADDRESS")
    # Without its dashboard Ray Train cannot find out which workers to clean up, and the next run hangs
    # (docs/ray.md, point 1).
    own: dict[str, Any] = {} if address else {"include_dashboard": True, "object_store_memory": OBJECT_STORE_BYTES}
    own |= {"log_to_driver": verbose(), "logging_level": logging.INFO if verbose() else logging.ERROR}
    try:
        ray.init(address=address or "local", runtime_env={"env_vars": ENVIRONMENT}, **own)
    except (ConnectionError, RuntimeError, ValueError) as error:
        where = f"at {address} " if address else ""
        raise RunError(f"Ray {where}did not start: {error}") from error


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
