"""The folder of this machine that mirrors a store, and what is done to both.

What of the mirror is in the store as it is here is told by a file's time of change: whole seconds, as the store has
them, and SEALED beyond. What was written here since has a time of its own: others of this machine may be about to put
it into the store, and leave it alone.
"""

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from nlcse_tune.errors import StorageError
from nlcse_tune.files import writing
from nlcse_tune.paths import BEST, CHECKPOINTS, LAST, POOLING_FILE

if TYPE_CHECKING:
    from nlcse_tune.storage.claim import Claim
    from nlcse_tune.storage.store import Info, Store

SEALED = 123_000_000  # nanoseconds
YOUNG = 3.0  # seconds during which a file of the store may change again without a change of its time
AT_A_TIME = 8  # transfers
LINK = f"{BEST}.link"  # in a store, the name of the folder that `best` leads to; no store knows links


class Mirror:
    """`address`, and the folder of this machine that stands for it."""

    def __init__(self, address: str, cache: Path) -> None:
        self.address, self.plain = address, address.partition("?")[0]
        digest = hashlib.blake2b(address.encode(), digest_size=8).hexdigest()
        self.folder = cache.resolve() / "stores" / digest
        self.claims: list[Claim] = []
        self.sent: dict[str, float] = {}  # when what changes all the time was sent last
        self.sending: threading.Thread | None = None
        self.turn = threading.Lock()  # of those who start it or wait for it
        self.known: dict[str, set[str]] = {}  # models and restart points that each run's folder had, here and there
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            marker = self.folder / ".address"
            marker.write_text(f"{address}\n", encoding="utf-8")
            os.utime(marker, ns=(SEALED, SEALED))
        if not _sealed(marker):
            raise StorageError(f"{cache}: keeps times of change in seconds alone; set NLCSE_CACHE to a local folder")

    @cached_property
    def store(self) -> "Store":
        from nlcse_tune.storage.store import Store

        return Store(self.address)

    # -- what is written here goes there

    def put(self, path: Path, *, every: float | None = None) -> None:
        """Puts a file into the store; one that changes all the time at most `every` so many seconds, and unwatched."""
        if (name := self._name(path)) is None:
            return
        if every is None:
            self.check()
            self._wait()
            self._put(path, name)
            return
        with self.turn:
            due = time.monotonic() > self.sent.get(name, -every) + every
            if due and not (self.sending and self.sending.is_alive()):
                self.sent[name] = time.monotonic()
                self.sending = threading.Thread(target=self._put_unwatched, args=(path, name), daemon=True)
                self.sending.start()

    def _put(self, path: Path, name: str) -> None:
        before = path.stat()
        self.store.put(path, name)
        info = self.store.info(name)
        if info is not None and _same(before, path.stat()):
            self._seal(path, name, info)

    def _put_unwatched(self, path: Path, name: str) -> None:
        with suppress(StorageError, OSError):
            self.store.put(path.read_bytes(), name, patient=False)

    def _wait(self) -> None:
        """For what is being sent: it must not come after what is done now."""
        with self.turn:
            if self.sending is not None:
                self.sending.join()

    def push(self, folder: Path) -> None:
        """Puts a run's models, then its restart points, then the link, and deletes there what was deleted here.

        In this order, so that a kill at any moment leaves a restart point with its model.
        """
        self.check()
        models = sorted(path for path in folder.glob(f"{BEST}-*/**/*") if path.is_file() and path.name != POOLING_FILE)
        files = [*models, *sorted(folder.glob(f"{BEST}-*/{POOLING_FILE}")), *sorted(folder.glob(f"{LAST}-*.pt"))]
        names = {path: self._relative(path) for path in files}
        known = self.known.setdefault(self._relative(folder), set())
        for path, name in names.items():
            if not _sealed(path):
                self._put(path, name)
        self._push_link(folder)
        self.store.delete(*(known - set(names.values())))
        self.known[self._relative(folder)] = set(names.values())

    def _push_link(self, folder: Path) -> None:
        link, target = folder / LINK, (folder / BEST).readlink().name if (folder / BEST).is_symlink() else None
        if target is not None and (not link.exists() or link.read_text().strip() != target):
            link.write_text(f"{target}\n")
            self._put(link, self._relative(link))

    def tidy(self, folder: Path) -> None:
        """Deletes of a run's models and restart points there what is not here: the run is at its end."""
        for name in self.store.list(self._relative(folder)):
            if _is_large(name, models=True) and not (self.folder / name).exists():
                self.store.delete(name)

    def release(self, folder: Path) -> None:
        """Deletes here what is large: nobody of this machine works on the run any more."""
        for path in [path for path in folder.rglob("*") if path.is_file() and _is_large(self._relative(path))]:
            path.unlink(missing_ok=True)

    def delete(self, path: Path, *, whole_folder: bool = False) -> None:
        """Deletes in the store what was deleted here."""
        self._wait()
        (self.store.delete_below if whole_folder else self.store.delete)(self._relative(path))

    def move(self, source: Path, target: Path) -> None:
        """Moves in the store what was moved here, and brings into it what was not in it yet."""
        old, new = self._relative(source), self._relative(target)
        names = [old] if target.is_file() else list(self.store.list(old))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda name: self.store.move(name, new + name.removeprefix(old)), names))

    # -- what is written there comes here

    def fetch(self, path: Path, *, mine: bool = False) -> None:
        """Makes a file what it is in the store; one that is `mine` alone even where it was written here and not put."""
        here = path.exists()
        if not here or mine or _sealed(path):
            name = self._relative(path)
            info = self.store.info(name)
            self._agree({} if info is None else {name: info}, [name] if here else [], mine=mine)

    def refresh(self, below: Path | None = None, *, large: bool = False, mine: bool = False) -> None:
        """Makes all in a folder what it is in the store, models and restart points only where `large`.

        What is `mine` alone to work on is made so even where it was written here and did not come into the store.
        """
        below = below or self.folder
        # Before the store is asked: what another process of this machine brings into it meanwhile is not gone from it.
        here = [self._relative(path) for path in below.rglob("*") if path.is_file() and (mine or _sealed(path))]
        there = {name: info for name, info in self.store.list(self._relative(below)).items() if _is_kept(name)}
        wanted = {name: info for name, info in there.items() if large or not _is_large(name)}
        self._agree(wanted, [name for name in here if _is_kept(name) and name not in there], mine=mine)
        if large:
            self.known[self._relative(below)] = {name for name in there if _is_large(name, models=True)}
        self._link(below)

    def _agree(self, there: "dict[str, Info]", gone: Iterable[str], *, mine: bool = False) -> None:
        wanted = [name for name, info in there.items() if self._differs(self.folder / name, info, mine=mine)]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(lambda name: self._get(name, there[name]), wanted))
        for path in (self.folder / name for name in gone if name not in there):
            if path.is_file() and (mine or _sealed(path)):
                path.unlink(missing_ok=True)
                self._drop_empty(path.parent)

    def _drop_empty(self, folder: Path) -> None:
        """A folder below `checkpoints` says by itself that there is a run."""
        with suppress(OSError):
            while folder != self.folder:
                if (folder / BEST).is_symlink() and not (folder / BEST).exists():
                    (folder / BEST).unlink()
                folder.rmdir()
                folder = folder.parent

    def _differs(self, path: Path, info: "Info", *, mine: bool) -> bool:
        with suppress(FileNotFoundError):
            found = path.stat()
            if not _sealed(path):
                return mine
            return found.st_size != info.size or found.st_mtime_ns // 10**9 != info.second
        return True

    def _get(self, name: str, info: "Info") -> None:
        path = self.folder / name
        incoming = path.with_name(f".incoming.{secrets.token_hex(8)}")
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            if self.store.get(name, incoming):
                self._seal(incoming, name, info)
                incoming.replace(path)
        finally:
            incoming.unlink(missing_ok=True)

    def _seal(self, path: Path, name: str, info: "Info") -> None:
        """Notes that a file here is the one in the store.

        A small one that changed just now may change once more within its second, and is fetched again next time. What
        is large is known by digests.
        """
        young = info.second is None or (info.second > time.time() - YOUNG and not _is_large(name))
        second = (info.second or 1) - young
        os.utime(path, ns=(second * 10**9 + SEALED,) * 2)

    def _link(self, below: Path) -> None:
        """Makes the links to best models anew."""
        for file in below.rglob(LINK):
            best, target = file.with_name(BEST), file.read_text().strip()
            if _sealed(file) and (not best.is_symlink() or best.readlink().name != target):
                fresh = file.with_name(f".{BEST}.link")
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(target)
                fresh.replace(best)
        for best in below.rglob(BEST):
            if best.is_symlink() and not best.exists():
                best.unlink(missing_ok=True)

    # -- one at a time

    @contextmanager
    def claim(self, path: Path, what: str, *, shared: bool) -> Iterator[None]:
        """Holds in the store what the lock file `path` is for here, and brings down what it is for."""
        from nlcse_tune.storage.claim import Claim

        claim = Claim(self.store, self._relative(path), what, shared=shared)
        with claim.held():
            self.claims.append(claim)
            try:
                own = path.parent if path.name == "lock" else path.with_name(path.name[1:].removesuffix(".lock"))
                self.refresh(own, mine=not shared)
                yield
            finally:
                self.claims.remove(claim)
                self._wait()

    def check(self) -> None:
        """StorageError where a claim of this process may be lost."""
        for claim in self.claims:
            claim.check()

    def probe(self) -> None:
        """StorageError where this machine cannot write, read, list or delete in the store."""
        name, text = f".probe/{secrets.token_hex(8)}", b"nlcse-tune looks whether it can write here\n"
        self.store.put(text, name)
        listed, found = self.store.list(".probe"), self.store.read(name)
        self.store.delete(name)
        if name not in listed or found != text:
            raise StorageError(f"{self.address}: what was written there is not what was read; see to the store")

    def _name(self, path: Path) -> str | None:
        name = self._relative(path)
        return name if _is_kept(name) else None

    def _relative(self, path: Path) -> str:
        name = path.relative_to(self.folder).as_posix()
        return "" if name == "." else name


def _is_kept(name: str) -> bool:
    """Whether a file of the mirror is one of the store: not what is unfinished, a lock, set aside, of Ray or of W&B."""
    parts = name.split("/")
    own = not any(part.startswith(".") for part in parts) and "lock" not in parts[3:]
    return own and parts[1:2] not in (["ray"], ["wandb"])


def _is_large(name: str, *, models: bool = False) -> bool:
    """Whether it is a restart point or of a model; its own small file, by which it is found, only if `models`."""
    parts = PurePosixPath(name).parts
    if len(parts) < 4 or parts[1] != CHECKPOINTS:
        return False
    return parts[3].startswith(f"{LAST}-") or (
        parts[3].startswith(f"{BEST}-") and (models or parts[-1] != POOLING_FILE)
    )


def _sealed(path: Path) -> bool:
    with suppress(FileNotFoundError):
        return path.stat().st_mtime_ns % 10**9 == SEALED
    return False


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_mtime_ns, one.st_size) == (other.st_ino, other.st_mtime_ns, other.st_size)
