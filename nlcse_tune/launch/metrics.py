"""What a run under way and its driver tell Ray's metrics, for Prometheus and Grafana (docs/monitoring.md).

A gauge is set again every few seconds: Ray forgets one that is not, within half a minute. So what has ended, or was
killed, vanishes by itself, and a run in a long dev evaluation does not.

Every run has one series per gauge. Its tags are its study, its id, and its title, which says the same as the id to
people and so adds no series of its own.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import RunRecord
from nlcse_tune.records.progress import RunProgress

from ray.util.metrics import Gauge  # isort: skip

PERIOD = 5.0  # seconds between two settings of the same gauge; Ray exports every 10, and forgets after another 20
# A run's gauges, each a field of RunProgress; Prometheus knows them with `ray_` in front.
OF_RUNS = {
    "nlcse_dev": ("dev", "newest dev score, Spearman x 100"),
    "nlcse_dev_best": ("best_dev", "best dev score so far"),
    "nlcse_dev_before": ("dev_before", "dev score before the first step"),
    "nlcse_text_loss": ("text_loss", "text loss, mean since the dev evaluation before the newest"),
    "nlcse_side_loss": ("side_loss", "side loss, likewise"),
    "nlcse_step": ("step", "steps made"),
    "nlcse_step_limit": ("total", "steps that the run will have made at its end"),
    "nlcse_steps_per_second": ("steps_per_second", "lately, dev evaluations not counted"),
    "nlcse_sentences_per_second": ("sentences_per_second", "sentences trained on, likewise"),
    "nlcse_seconds_left": ("seconds_left", "until the run's end, dev evaluations counted"),
    "nlcse_gpu_memory_bytes": ("gpu_bytes", "the most that torch held of the device's memory"),
}
# The driver's gauges.
RUNS = ("nlcse_runs", "runs of this command by state", ("study", "state"))
BEST = ("nlcse_best_dev", "best dev score of any run of this command", ("study",))
STATES = ("waiting", "running", "completed", "stopped", "failed", "lost")  # waiting: for room


class Board:
    """Gauges of this process, by name, and what they are to say until something else is said."""

    def __init__(self, gauges: Mapping[str, Gauge]) -> None:
        self.gauges = gauges
        self.said: dict[tuple[str, tuple[str, ...]], tuple[float, dict[str, str]]] = {}

    def say(self, name: str, value: float | None, tags: dict[str, str]) -> None:
        """Sets a gauge, now and at each `repeat`; None leaves what it said."""
        if value is not None:
            self.said[name, tuple(tags.values())] = (float(value), tags)
            self.gauges[name].set(float(value), tags)

    def repeat(self) -> None:
        """Says all again."""
        for (name, _), (value, tags) in list(self.said.items()):
            self.gauges[name].set(value, tags)


def tags_of(spec: RunSpec) -> dict[str, str]:
    """What tells a run's series from those of other runs."""
    return {"study": spec.folder.name, "run": spec.run_id, "label": spec.title}


@contextmanager
def shown(spec: RunSpec) -> Iterator[Callable[[RunProgress], None]]:
    """Yields what shows the run's progress among Ray's metrics, until the end: in the process that trains."""
    tags = tags_of(spec)
    board = Board({name: Gauge(name, text, tuple(tags)) for name, (_, text) in OF_RUNS.items()})
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(PERIOD):
            board.repeat()

    def show(progress: RunProgress) -> None:
        for name, (field, _) in OF_RUNS.items():
            board.say(name, getattr(progress, field), tags)

    thread = threading.Thread(target=repeat, name="metrics", daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


class RunCounts(Watcher):
    """Runs by state and the best dev score, from the driver: what outlives the runs' own gauges."""

    def __init__(self) -> None:
        self.board = Board({name: Gauge(name, text, tags) for name, text, tags in (RUNS, BEST)})
        self.states: dict[str, dict[str, str]] = {}  # by study and run
        self.best: dict[str, float] = {}  # by study

    def begun(self, spec: RunSpec) -> None:
        self._say(spec, "waiting")

    def placed(self, spec: RunSpec) -> None:
        self._say(spec, "running")

    def scored(self, spec: RunSpec, record: RunRecord) -> None:
        self._say(spec, "running", record.dev_curve[-1].score)

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        self._say(spec, record.status if record else "lost", record.best_dev if record else None)

    def tick(self) -> None:
        self.board.repeat()

    def _say(self, spec: RunSpec, state: str, dev: float | None = None) -> None:
        study = spec.folder.name
        states = self.states.setdefault(study, {})
        states[spec.run_id] = state
        if dev is not None:
            self.best[study] = max(self.best.get(study, dev), dev)
        for each in STATES:
            self.board.say(RUNS[0], list(states.values()).count(each), {"study": study, "state": each})
        self.board.say(BEST[0], self.best.get(study), {"study": study})
