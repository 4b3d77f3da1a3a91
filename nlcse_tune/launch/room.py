"""What a run asks for, and how many runs have room: on what is up now, and on what an autoscaler may add."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil  # type: ignore[import-untyped]

from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.files import read_yaml
from nlcse_tune.launch.cluster import alive_nodes  # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import Launch, Resources

import ray  # isort: skip
from ray.autoscaler.v2.utils import is_autoscaler_v2  # isort: skip
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # isort: skip

LOOK = 5.0  # seconds between two looks at what is up
ANSWER = 120.0  # seconds for the head to say what its autoscaler was told
UNLIMITED = 1000  # nodes of a kind, where an autoscaler has no bound
HEAD = "node:__internal_head__"  # a resource that the head alone has

Sizes = tuple[float, float]  # CPUs and GPUs


class Kind(NamedTuple):
    """Nodes of one kind that an autoscaler may start, and at most how many."""

    sizes: Sizes
    most: int


class Room:
    """How many runs there may be at a time: called again and again, since nodes come and go."""

    def __init__(self, launch: Launch, *, changes: bool) -> None:
        """`changes` where the cluster is not this process's own.

        A GPU for each worker where there are GPUs, one CPU unless said otherwise. RunError where not even one run would
        ever fit, since Ray would wait for ever (ray#17359); where an autoscaler can make room, runs that wait are
        what tells it.
        """
        self.launch, self.changes = launch, changes
        self.kinds = _kinds() if changes else []
        self.looked, self.up, self.head = time.monotonic(), _up(), [_sizes(head["Resources"]) for head in _heads()]
        cpus = 1.0 if launch.cpus_per_worker is None else launch.cpus_per_worker
        gpus = float(self._all()[1] > 0) if launch.gpus_per_worker is None else launch.gpus_per_worker
        self.resources = Resources(launch.workers, cpus, gpus)
        # An autoscaler on Kubernetes tells nobody what it may start: there one's own word is taken.
        self.blind = bool(changes and launch.concurrent and not self.kinds and is_autoscaler_v2())
        if not self.blind and self._possible() < 1:
            raise RunError(
                f"a run asks for {self.resources}, and {self._words()}; ask for fewer with --workers, "
                "--cpus-per-worker or --gpus-per-worker, or join a larger cluster (--address)"
            )

    def __call__(self) -> int:
        """Runs at a time, at least one."""
        if self.changes and time.monotonic() > self.looked + LOOK:
            self.looked, self.up = time.monotonic(), _up()
        asked = self.launch.concurrent
        return max(1, asked if asked and self.blind else min(self._possible(), asked or UNLIMITED**2))

    def _possible(self) -> int:
        """Runs at a time when all is up that may be."""
        return max(self.resources.concurrent(self.up), self.resources.concurrent(self._grown()))

    def _grown(self) -> list[Sizes]:
        """Every node that there may be at a time: what is up where nothing is started, else the head and each kind."""
        started = [kind.sizes for kind in self.kinds for _ in range(kind.most)]
        return [*self.head, *started] if started else self.up

    def _all(self) -> Sizes:
        return _sum(self._grown())

    def _words(self) -> str:
        cpus, gpus = self._all()
        grown = self._grown()
        each = "; ".join(f"{n:g} CPUs and {g:g} GPUs" for n, g in sorted(set(grown)))
        split = f" on {len(grown)} nodes ({each}; a worker needs its own on one node)" if len(grown) > 1 else ""
        verb = "grows to at most" if self.kinds else "has"
        return f"the cluster {verb} {cpus:g} CPUs and {gpus:g} GPUs in all{split}"


def _heads() -> list[dict[str, Any]]:
    return [node for node in alive_nodes() if HEAD in node["Resources"]]


def _up() -> list[Sizes]:
    return [_sizes(node["Resources"]) for node in alive_nodes()]


def _sizes(has: Any) -> Sizes:
    return float(has.get("CPU", 0)), float(has.get("GPU", 0))


def _sum(nodes: list[Sizes]) -> Sizes:
    return sum(cpus for cpus, _ in nodes), sum(gpus for _, gpus in nodes)


def _kinds() -> list[Kind]:
    """What an autoscaler may start: as it reports to the head or, where it does not, as it was told there."""
    if (config := ray._private.state.state.get_cluster_config()) is not None:
        return [_kind(group.resources, group.max_count) for group in config.node_group_configs if group.max_count]
    if not (heads := _heads()):
        return []
    how: Any = {"num_cpus": 0, "scheduling_strategy": NodeAffinitySchedulingStrategy(heads[0]["NodeID"], soft=False)}
    ask: Any = ray.remote(**how)(told_autoscaler)
    try:
        kinds: list[Kind] = ray.get(ask.remote(ray.get_runtime_context().gcs_address), timeout=ANSWER)
    except Exception:  # it is better to know less than to refuse to run
        return []
    return kinds


def told_autoscaler(head: str) -> list[Kind]:
    """On the head: what the autoscaler of the cluster at `head` was told, from the file that `ray up` leaves there."""
    port = head[head.rindex(":") :]  # the host may go by several names
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        files = [word.partition("=")[2] for word in words if word.startswith("--autoscaling-config=")]
        heads = [word for word in words if word.startswith("--gcs-address=") and word.endswith(port)]
        if files and files[0] and heads:
            with suppress(ConfigError):
                told = read_yaml(Path(files[0]))
                kinds, most = told.get("available_node_types", {}).values(), told.get("max_workers", UNLIMITED)
                each = [_kind(kind.get("resources", {}), min(kind.get("max_workers", 0), most)) for kind in kinds]
                return [kind for kind in each if kind.most]
    return []


def _kind(resources: Any, most: int) -> Kind:
    return Kind(_sizes(resources), UNLIMITED if most < 0 else most)
