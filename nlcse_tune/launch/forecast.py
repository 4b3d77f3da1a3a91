"""How long all that is expected will take, from measured speed. Imports neither Ray nor torch."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import RunRecord
from nlcse_tune.records.progress import RunProgress


@dataclass
class UnderWay:
    """A run that began and has not ended; moments are of this process's clock, in seconds."""

    spec: RunSpec
    begun: float
    placed: float | None = None
    progress: RunProgress | None = None
    heard: float = 0.0  # when `progress` came

    def left(self, clock: float) -> float | None:
        """Seconds to its end; None where its speed is not known yet."""
        if self.progress is None or self.progress.seconds_left is None:
            return None
        return max(0.0, self.progress.seconds_left - (clock - self.heard))


class Forecast(Watcher):
    """The runs under way, and the seconds until everything has ended."""

    def __init__(self) -> None:
        self.batches: list[int] = []  # runs still to end, those under way among the first
        self.at_a_time = 1
        self.under_way: dict[str, UnderWay] = {}
        self.took: dict[str, tuple[float, bool]] = {}  # seconds of each run that ended, and whether it was to its end

    def expected(self, batches: Sequence[int], at_a_time: int) -> None:
        self.batches, self.at_a_time = list(batches), max(1, at_a_time)

    def begun(self, spec: RunSpec) -> None:
        self.under_way[spec.run_id] = UnderWay(spec, time.monotonic())

    def placed(self, spec: RunSpec) -> None:
        if (run := self.under_way.get(spec.run_id)) is not None:
            run.placed, run.progress = time.monotonic(), None

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        if (run := self.under_way.get(spec.run_id)) is not None:
            run.progress, run.heard = progress, time.monotonic()

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        run = self.under_way.pop(spec.run_id, None)
        if run is not None and record is not None and run.placed is not None:
            self.took[spec.run_id] = (time.monotonic() - run.placed, record.status == "completed")
        if self.batches:
            self.batches[0] = max(0, self.batches[0] - 1)

    def seconds_left(self) -> float | None:
        """Until all that is expected has ended; None while no run's speed is known.

        Each run to come takes as long as those before it did on the mean, of a later batch as those that were not
        stopped early, and begins where room is first.
        """
        clock, runs = time.monotonic(), list(self.under_way.values())
        estimates = [(clock - (r.placed or r.begun) + left, left) for r in runs if (left := r.left(clock)) is not None]
        whole = [took for took, completed in self.took.values() if completed] + [took for took, _ in estimates]
        every = [took for took, _ in self.took.values()] + [took for took, _ in estimates]
        if not every:
            return None
        lefts = [left if (left := r.left(clock)) is not None else max(0.0, fmean(every) - _since(r)) for r in runs]
        slots = sorted([*lefts, *[0.0] * (self.at_a_time - len(lefts))])
        for i, batch in enumerate(self.batches):
            for _ in range(batch if i else max(0, batch - len(runs))):
                slots = sorted([slots[0] + (fmean(whole or every) if i else fmean(every)), *slots[1:]])
            slots = [slots[-1]] * len(slots)
        return max(slots)


def _since(run: UnderWay) -> float:
    return time.monotonic() - run.placed if run.placed is not None else 0.0
