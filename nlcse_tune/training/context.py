"""What the loop may ask of whoever launched it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nlcse_tune.records import RunRecord


@dataclass
class RunContext:
    """One worker of a run, in this process and alone unless a launcher says otherwise."""

    folder: Path  # where the run keeps its checkpoints; shared by its workers
    rank: int = 0
    world_size: int = 1
    device: str = "cpu"
    # Called by every worker after each dev evaluation; only the leader has the record so far. StopRun ends the run.
    report: Callable[[RunRecord | None], None] = lambda record: None
    events: tuple[str, ...] = ()  # what the record is to say of how this attempt came about

    @property
    def leads(self) -> bool:
        """Whether this worker evaluates and writes."""
        return self.rank == 0


class StopRun(Exception):
    """Raised by a launcher's `report` to end a run early and in order; the message says why."""
