"""What the loop may ask of whoever launched it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from nlcse_tune.records import DevPoint, RunRecord


class Progress(BaseModel):
    """How far a run has come; saved in its restart point."""

    step: int = 0
    total: int = 0
    dev_before: float | None = None
    curve: list[DevPoint] = []
    best: DevPoint | None = None
    best_model: str | None = None  # its digest
    events: list[str] = []
    train_seconds: float = 0.0
    evaluate_seconds: float = 0.0
    stopped: str | None = None


@dataclass
class RunContext:
    """One worker of a run, in this process and alone unless a launcher says otherwise."""

    folder: Path  # where the run keeps its checkpoints; shared by its workers
    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    # Called by every worker after each dev evaluation; only the leader has the record so far. StopRun ends the run.
    report: Callable[[RunRecord | None], None] = lambda record: None
    # Called by every worker after each step: it must cost next to nothing and never wait for the device.
    stepped: Callable[[Progress], None] = lambda progress: None
    # Called by the leader once a restart point, and the best model that it needs, lie whole in `folder`.
    kept: Callable[[], None] = lambda: None
    events: tuple[str, ...] = ()  # what the record is to say of how this attempt came about

    @property
    def leads(self) -> bool:
        """Whether this worker evaluates and writes."""
        return self.rank == 0


class StopRun(Exception):
    """Raised by a launcher's `report` to end a run early and in order; the message says why."""
