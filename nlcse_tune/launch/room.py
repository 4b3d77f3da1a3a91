"""What a run asks for, and how many runs have room: on what is up now, and on what an autoscaler may add."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from nlcse_tune.errors import RunError
from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import Launch, Resources

import ray  # isort: skip

LOOK = 5.0  # seconds between two looks at a cluster that others started
UNLIMITED = 1000  # nodes, where an autoscaler has no bound


class Cluster(NamedTuple):
    """CPUs and GPUs of each node: of those that are up, and of all that there may be at a time."""

    nodes: list[tuple[float, float]]
    ceiling: list[tuple[float, float]]
    most: tuple[float, float]  # of both, in all


def look() -> Cluster:
    """What Ray says now. An autoscaler's ceiling is in what it reports to the head; without one it is what is up."""
    alive: list[dict[str, Any]] = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    nodes = [_sizes(has) for has in alive]
    config = ray._private.state.state.get_cluster_config()
    if config is None or not any(group.max_count for group in config.node_group_configs):
        return Cluster(nodes, nodes, _sum(nodes))
    groups = [(_sizes(group.resources), group.max_count) for group in config.node_group_configs]
    grown = [size for size, most in groups for _ in range(UNLIMITED if most < 0 else most)]
    # The head is often no group's; and what is up is up.
    ceiling = [*grown, *(size for size in nodes if size not in grown)]
    cpus, gpus = _sum(ceiling)
    limits = config.max_resources
    return Cluster(nodes, ceiling, (min(cpus, limits.get("CPU", cpus)), min(gpus, limits.get("GPU", gpus))))


def _sizes(has: Any) -> tuple[float, float]:
    return float(has.get("CPU", 0)), float(has.get("GPU", 0))


def _sum(nodes: list[tuple[float, float]]) -> tuple[float, float]:
    return sum(cpus for cpus, _ in nodes), sum(gpus for _, gpus in nodes)


def fit(launch: Launch) -> tuple[Resources, int]:
    """What a run will ask for, and how many there may be at a time.

    A GPU for each worker where there are GPUs, one CPU unless said otherwise. RunError where not even one run would
    fit, since Ray would wait for ever (ray#17359). Where an autoscaler can make room, runs that wait are what tells it.
    """
    has = look()
    cpus_each = 1.0 if launch.cpus_per_worker is None else launch.cpus_per_worker
    gpus_each = float(has.most[1] > 0) if launch.gpus_per_worker is None else launch.gpus_per_worker
    resources = Resources(launch.workers, cpus_each, gpus_each)
    if (possible := _possible(resources, has)) < 1:
        raise RunError(
            f"a run asks for {resources}, and {_words(has)}; ask for fewer with --workers, --cpus-per-worker or "
            "--gpus-per-worker, or join a larger cluster (--address)"
        )
    return resources, min(possible, launch.concurrent or possible)


def _possible(resources: Resources, has: Cluster) -> int:
    """Runs at a time when all is up that may be."""
    within = resources.concurrent([has.most]) if has.ceiling != has.nodes else UNLIMITED**2
    return max(resources.concurrent(has.nodes), min(resources.concurrent(has.ceiling), within))


def _words(has: Cluster) -> str:
    cpus, gpus = has.most
    nodes, scales = set(has.ceiling), has.ceiling != has.nodes
    each = "; ".join(f"{n:g} CPUs and {g:g} GPUs" for n, g in sorted(nodes))
    many = f"{len(has.ceiling)} nodes" if len(has.ceiling) < UNLIMITED else "any number of nodes"
    split = f" on {many} ({each}; a worker needs its own on one node)" if len(has.ceiling) > 1 else ""
    if scales:
        return f"the cluster grows to at most {cpus:g} CPUs and {gpus:g} GPUs{split}"
    return f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs in all{split}"


def room(launch: Launch, resources: Resources) -> Callable[[], int]:
    """How many runs there may be at a time, looked at anew every few seconds: nodes come and go. At least one."""
    looked, found = 0.0, 1

    def now() -> int:
        nonlocal looked, found
        if time.monotonic() > looked + LOOK:
            looked, found = time.monotonic(), max(1, _possible(resources, look()))
        return min(found, launch.concurrent or found)

    return now
