"""Who may follow runs as they happen: the terminal, trackers, metrics. Imports neither Ray nor torch."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from nlcse_tune.errors import DataError, StorageError
from nlcse_tune.files import UNWATCHED, fetch, keeper_of
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import KeptRule, RunRecord
from nlcse_tune.records.progress import RunProgress


class Watcher:
    """Told in the driver's process what happens to runs; this one looks away.

    A watcher decides nothing, and one that raises is no reason to end a search: the pool says so once and goes on
    without it.
    """

    def __str__(self) -> str:
        return type(self).__name__

    def opened(self, paths: StudyPaths) -> None:
        """A command begins to work on a study's folder, which is locked; there may be nothing for it to run."""

    def expected(self, batches: Sequence[int], at_a_time: int) -> None:
        """So many runs are still to end, as far as is known; a batch begins when the one before has ended."""

    def begun(self, spec: RunSpec) -> None:
        """A run is given to Ray; one that was killed or lost may be begun again."""

    def placed(self, spec: RunSpec) -> None:
        """There was room for a run that had begun, and its process starts."""

    def tick(self) -> None:
        """Once a second while runs are under way: for what must be said again and again."""

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        """A run under way has come further: every few seconds at most."""

    def scored(self, spec: RunSpec, record: RunRecord) -> None:
        """A run got a dev score: the last of `record.dev_curve`, `status` being `running`."""

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        """A run ended, with its record; without one where its process died once too often or time was up."""

    def closed(self) -> None:
        """There is nothing more to come for now; a study that grows opens it again."""


class Audience:
    """Watchers, told one after the other; how far each run is, is read from its file, once a second."""

    def __init__(self, watchers: Sequence[Watcher] = (), note: Callable[[str], None] = lambda text: None) -> None:
        self.watchers, self.note = list(watchers), note
        self.looked = 0.0
        self.fetched, self.fetching = 0.0, threading.Thread()
        self.newest: dict[str, str] = {}  # time of each run's newest progress

    @contextmanager
    def joined_by(self, watcher: Watcher) -> Iterator[None]:
        """One more watcher, that can watch inside this block alone."""
        self.watchers.append(watcher)
        try:
            yield
        finally:
            with suppress(ValueError):  # it was left out
                self.watchers.remove(watcher)

    def opened(self, paths: StudyPaths) -> None:
        self._tell(lambda watcher: watcher.opened(paths))

    def expected(self, batches: Sequence[int], at_a_time: int) -> None:
        self._tell(lambda watcher: watcher.expected(batches, at_a_time))

    def begun(self, spec: RunSpec) -> None:
        with suppress(DataError):
            left = RunProgress.read(spec.paths.progress)  # by an attempt that was killed
            if left is not None:
                self.newest[spec.run_id] = left.time
        self._tell(lambda watcher: watcher.begun(spec))

    def placed(self, spec: RunSpec) -> None:
        self._tell(lambda watcher: watcher.placed(spec))

    def scored(self, spec: RunSpec, record: RunRecord) -> None:
        self._tell(lambda watcher: watcher.scored(spec, record))

    def ended(self, spec: RunSpec, record: RunRecord | None) -> None:
        self._tell(lambda watcher: watcher.ended(spec, record))

    def closed(self) -> None:
        if self.fetching.ident is not None:
            self.fetching.join()
        self._tell(lambda watcher: watcher.closed())

    def look(self, running: Iterable[RunSpec]) -> None:
        """Reads how far the runs under way are."""
        if not self.watchers or (clock := time.monotonic()) < self.looked + 1:
            return
        self.looked, running = clock, list(running)
        self._tell(lambda watcher: watcher.tick())
        self._fetch(running)
        for spec in running:
            with suppress(DataError):
                progress = RunProgress.read(spec.paths.progress)
                if progress is not None and self.newest.get(spec.run_id) != progress.time:
                    self.newest[spec.run_id] = progress.time
                    self._tell(partial(_progressed, spec, progress))

    def _fetch(self, running: Sequence[RunSpec]) -> None:
        """Now and then brings what other machines say of runs out of a store, which may take its time."""
        paths = [spec.paths.progress for spec in running if keeper_of(spec.paths.progress)]
        if paths and time.monotonic() > self.fetched + UNWATCHED and not self.fetching.is_alive():
            self.fetched = time.monotonic()
            self.fetching = threading.Thread(target=_fetch_unwatched, args=(paths,), daemon=True)
            self.fetching.start()

    def _tell(self, what: Callable[[Watcher], None]) -> None:
        for watcher in list(self.watchers):
            try:
                what(watcher)
            except Exception as error:
                self.watchers.remove(watcher)
                self.note(f"{watcher} is left out from here on: {type(error).__name__}: {error}")


@contextmanager
def watched(watchers: Sequence[Watcher], note: Callable[[str], None], *folders: StudyPaths) -> Iterator[Audience]:
    """Around a command's work on these folders, once it has locked them: whether or not there is something to run."""
    audience = Audience(watchers, note)
    try:
        for paths in folders:
            audience.opened(paths)
        yield audience
    finally:
        audience.closed()


class SeedsView(Watcher):
    """Whoever watches a seed study: called as things happen; this one looks away."""

    def note(self, text: str) -> None:
        """Something that the study does by itself."""

    def started(self, runs: int, at_a_time: int) -> None:
        """Ray is up."""

    def finished(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        """A run was trained and tested, or ended without a record."""

    def rule(self, kept: KeptRule, new: bool) -> None:
        """What `until_decided` goes by."""

    def looked(self, kept: KeptRule) -> None:
        """A look of the rule was taken."""


def _fetch_unwatched(paths: Sequence[Path]) -> None:
    with suppress(StorageError):
        fetch(*paths)


def _progressed(spec: RunSpec, progress: RunProgress, watcher: Watcher) -> None:
    watcher.progressed(spec, progress)
