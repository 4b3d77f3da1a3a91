"""What a run or a command under way says of itself on disk, for whoever watches: never read to decide anything."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from nlcse_tune.errors import DataError
from nlcse_tune.records import Stored

FINISHED = "finished"  # the outcome of a command that did all that it was to do


class Numbers(Stored):
    """Configurations of a study in the order in which its searches began them: 1, 2, 3, for people."""

    configurations: tuple[str, ...] = ()

    @classmethod
    def give(cls, path: Path, configuration: str, earlier: Iterable[str]) -> int:
        """The configuration's number; a new one is added to the file `path`, after those `earlier` where it has none.

        A file that cannot be read is made anew: nothing but names rests on it.
        """
        kept = None
        with suppress(DataError):
            kept = cls.read(path)
        known = kept.configurations if kept else tuple(dict.fromkeys(earlier))
        if configuration not in known:
            known = (*known, configuration)
            cls(configurations=known).write(path, durable=False)
        return known.index(configuration) + 1


class RunProgress(Stored):
    """How far a run is, as its leading worker wrote it some seconds ago; gone once the run has its record."""

    advice = "it is written anew within seconds"

    run_id: str
    label: str
    step: int
    total: int
    dev_before: float | None = None
    dev: float | None = None  # the newest
    best_dev: float | None = None
    best_step: int | None = None
    text_loss: float | None = None  # mean since the dev evaluation before the newest
    side_loss: float | None = None
    steps_per_second: float | None = None  # lately, dev evaluations not counted
    sentences_per_second: float | None = None
    seconds_left: float | None = None  # dev evaluations counted, at the speed of this attempt
    gpu_bytes: int | None = None  # the most that torch held of the device's memory
    began: str  # this attempt
    time: str
    host: str
    process: int


class Call(Stored):
    """A command that works on a study's folder."""

    advice = "the next command writes it anew"

    command: str  # as it was typed
    kind: Literal["search", "seeds", "train"]
    study: str
    host: str
    process: int
    began: str
    ended: str | None = None
    outcome: str | None = None  # in a few words, once it has ended
    runs: int = 0  # wanted of this call, as far as is known
    done: int = 0  # of them
    at_a_time: int = 0
    seconds_left: float | None = None  # until all have ended, from measured speed
    heard: str = ""  # when its process wrote this last, which it does every few seconds
    address: str | None = None  # of the Ray cluster that was joined
    dashboard: str | None = None  # its address; never with a token

    @property
    def whole(self) -> bool:
        """Whether it came to its own end."""
        return self.outcome == FINISHED

    def is_same(self, other: "Call | StopRequest") -> bool:
        """Whether both are of one command."""
        return (self.host, self.process, self.began) == (other.host, other.process, other.began)


class StopRequest(Stored):
    """That one command end in order: it says which, so that it stops no later one."""

    advice = "delete it"

    host: str
    process: int
    began: str
    by: str  # the host of whoever asks
    time: str
