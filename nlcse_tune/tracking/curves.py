"""What every tracker keeps of a run: the same curves, each step of them once."""

import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from nlcse_tune.config.fields import searchable
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, RunRecord, Stored
from nlcse_tune.records.ledger import kept_record
from nlcse_tune.records.progress import RunProgress

DEV, BEST, TEXT, SIDE = "dev/score", "dev/best", "loss/text", "loss/side"
SPEED = "speed/sentences_per_second"
CURVES = (DEV, BEST, TEXT, SIDE, SPEED)
Kind = Literal["search", "seeds", "train"]
SPEEDS = 200  # points of the curve of speeds, at most


class Point(NamedTuple):
    """One value of one curve."""

    step: int
    curve: str
    value: float


def points_of(record: RunRecord) -> Iterator[Point]:
    """All that a record has of curves; at step 0 the dev score before training."""
    if record.dev_before is not None:
        yield Point(0, DEV, record.dev_before)
    best = -math.inf
    for at in record.dev_curve:
        best = max(best, at.score)
        values = {DEV: at.score, BEST: best, TEXT: at.text_loss, SIDE: at.side_loss}
        yield from (Point(at.step, curve, value) for curve, value in values.items() if value is not None)


class Identity(Stored):
    """By what other programs know this folder's work again; a folder that takes its place has another."""

    advice = "the next command makes another, and begins its runs there anew"

    id: str


@dataclass(frozen=True)
class Work:
    """What is tracked: a command's work on a study. It travels to another process."""

    paths: StudyPaths
    kind: Kind
    fields: tuple[str, ...] = ()  # those searched

    @property
    def name(self) -> str:
        return f"{self.kind} {self.paths.study}"

    def identity(self) -> str:
        """Called under the study's lock, or by one of several `train`: the first to write is right."""
        if (known := Identity.read(self.paths.tracking)) is None:
            known = Identity(id=uuid.uuid4().hex[:12])
            known.write(self.paths.tracking)
        return known.id

    def chosen(self, since: float) -> Choice | None:
        """What a search has chosen after the moment `since`."""
        search = self.paths.search
        new = self.kind == "search" and search.is_file() and search.stat().st_mtime >= since
        return Choice.read(search) if new else None

    def values(self, spec: RunSpec) -> dict[str, Any]:
        """The hyper-parameters of a run: the searched fields that it has, and its seed."""
        flat = searchable(spec.config)
        return {field: flat[field] for field in self.fields if flat.get(field) is not None} | {"seed": spec.seed}


class Book(ABC):
    """Where the curves of one run are kept; `newest` is the last step of each, earlier calls' too.

    A run that goes on brings its old scores once more.
    """

    newest: dict[str, int]

    def add(self, points: Iterable[Point]) -> None:
        fresh = [p for p in points if p.step > self.newest.get(p.curve, -1) and math.isfinite(p.value)]
        if fresh:
            self.newest |= {point.curve: point.step for point in fresh}
            self.write(fresh)

    @abstractmethod
    def write(self, points: list[Point]) -> None:
        """Keeps points, the steps of each curve in their order."""

    @abstractmethod
    def close(self, record: RunRecord | None) -> None:
        """The run ended with `record`; without one it may go on later."""


class Tracker(Watcher, ABC):
    """A watcher that keeps a book for each run. Once closed it can be told more, as a seed study does that grows."""

    def __init__(self, work: Work) -> None:
        self.work, self.books = work, dict[str, Book]()

    @abstractmethod
    def book(self, spec: RunSpec) -> Book:
        """The run's book, an earlier call's where there is one."""

    @abstractmethod
    def behind(self, paths: StudyPaths) -> Iterable[str]:
        """Ids of runs whose books may lack something of their records: who kept them was killed."""

    def opened(self, paths: StudyPaths) -> None:
        for run_id in self.behind(paths):
            if (record := kept_record(paths.run(run_id))) is not None:
                folder = paths.folder.resolve()
                self.ended(RunSpec(folder=folder, run_id=run_id, seed=record.seed, config=record.config), record)

    def begun(self, spec: RunSpec) -> None:
        self._book(spec)

    def scored(self, spec: RunSpec, record: RunRecord) -> None:
        self._book(spec).add(points_of(record))

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        book, speed = self.books.get(spec.run_id), progress.sentences_per_second
        if book is None or speed is None:  # `train` tells this from another thread, and maybe too late
            return
        if progress.step >= book.newest.get(SPEED, 0) + progress.total / SPEEDS:
            book.add([Point(progress.step, SPEED, speed)])

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        book = self._book(spec)
        if record is not None:
            book.add(points_of(record))
        book.close(record)
        del self.books[spec.run_id]

    def closed(self) -> None:
        for book in self.books.values():
            book.close(None)
        self.books.clear()

    def _book(self, spec: RunSpec) -> Book:
        if spec.run_id not in self.books:
            self.books[spec.run_id] = self.book(spec)
        return self.books[spec.run_id]
