"""What a run under way says of itself, every few seconds. Imports no Ray."""

import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import torch

from nlcse_tune.errors import StorageError
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.records import now
from nlcse_tune.records.progress import RunProgress
from nlcse_tune.training.context import Progress

PERIOD = 2.0  # seconds


class Pulse:
    """Called after each step; hands a RunProgress to `tell` every PERIOD seconds, and with each new dev score."""

    def __init__(self, spec: RunSpec, device: str, tell: Callable[[RunProgress], None]) -> None:
        self.spec, self.device, self.tell = spec, device, tell
        self.began, self.host = now(), socket.gethostname()
        self.start: tuple[float, int] | None = None  # clock and step of this attempt's first call
        self.last = (0.0, 0, 0.0)  # clock, step and seconds of training at the last beat
        self.scores = 0

    def __call__(self, progress: Progress) -> None:
        clock = time.monotonic()
        if self.start is None:
            self.start, self.last = (clock, progress.step), (clock, progress.step, progress.train_seconds)
        elif clock - self.last[0] < PERIOD and len(progress.curve) == self.scores:
            return
        told = self.beat(progress, clock)
        self.last, self.scores = (clock, progress.step, progress.train_seconds), len(progress.curve)
        with suppress(StorageError):  # a full disk ends a run where it loses something
            self.tell(told)

    def beat(self, progress: Progress, clock: float) -> RunProgress:
        """How far the run is. Without a word with the device: losses are those of the newest dev evaluation."""
        assert self.start is not None
        _, step, seconds = self.last
        steps, trained = progress.step - step, progress.train_seconds - seconds
        speed = steps / trained if steps and trained > 0 else None
        since, done = clock - self.start[0], progress.step - self.start[1]
        newest = progress.curve[-1] if progress.curve else None
        cuda = self.device.startswith("cuda")
        return RunProgress(
            run_id=self.spec.run_id, label=self.spec.label, step=progress.step, total=progress.total,
            dev_before=progress.dev_before, dev=newest.score if newest else None,
            best_dev=progress.best.score if progress.best else None,
            best_step=progress.best.step if progress.best else None,
            text_loss=newest.text_loss if newest else None, side_loss=newest.side_loss if newest else None,
            steps_per_second=speed,
            sentences_per_second=speed * self.spec.config.text.batch_size if speed else None,
            seconds_left=(progress.total - progress.step) * since / done if done else None,
            gpu_bytes=torch.cuda.max_memory_reserved(self.device) if cuda else None,
            began=self.began, time=now(), host=self.host, process=os.getpid(),
        )  # fmt: skip
