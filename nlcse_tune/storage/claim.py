"""One at a time, on a store: no store has locks, so whoever works on a folder writes a claim there and renews it.

Whoever comes writes its own claim first and lists them then: of two that come at once at least one sees the other, and
goes. A claim that was not renewed for a while is of a dead process. Its age is told by the store's clock alone.
"""

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nlcse_tune.errors import RunError, StorageError, this_command
from nlcse_tune.storage.store import Info, Store

RENEWED = 10.0  # seconds between renewals
STALE = 60.0  # seconds after the last one from which on a claim counts no more
LOST = 40.0  # seconds after which its holder ends by itself: well before anybody else may begin


class Claim:
    """A claim on `what`, which lies as a file of its own below the folder `name` of a store."""

    def __init__(self, store: Store, name: str, what: str, *, shared: bool) -> None:
        self.store, self.folder, self.what, self.shared = store, name, what, shared
        self.name = f"{name}/{uuid.uuid4().hex}.json"
        self.renewed, self.ended = _clock(), threading.Event()

    @contextmanager
    def held(self) -> Iterator[None]:
        """RunError, naming the holder, where there is a living claim of another that is not shared as this one is."""
        self._write()
        try:
            self._refuse_beside_others()
            thread = threading.Thread(target=self._renew, daemon=True)
            thread.start()
            try:
                yield
            finally:
                self.ended.set()
                thread.join()
        finally:
            with suppress(StorageError):  # it is stale in a minute
                self.store.delete(self.name, patient=False)

    def check(self) -> None:
        """StorageError where it was not renewed for so long that others may hold its folder soon."""
        if (silent := _clock() - self.renewed) > LOST:
            raise StorageError(
                f"{self.store.address}: not reached for {silent:.0f} s, so that the hold on {self.what} may be lost to "
                "another command; see to the network, then give the same command again: it goes on from the store"
            )

    def _write(self, *, patient: bool = True) -> None:
        began = _clock()
        own = {"host": socket.gethostname(), "process": os.getpid(), "command": this_command(), "shared": self.shared}
        self.store.put(json.dumps(own | _place()).encode(), self.name, patient=patient)
        self.renewed = began

    def _renew(self) -> None:
        while not self.ended.wait(RENEWED):
            with suppress(StorageError):
                self.check()  # asleep too long: it is no more to be renewed
                self._write(patient=False)

    def _refuse_beside_others(self) -> None:
        claims = self.store.list(self.folder)
        own = claims.pop(self.name, None)
        for name, info in claims.items():
            claim = _read(self.store, name)
            if claim is None or _is_dead(claim, info, own):
                self.store.delete(name)
            elif not (self.shared and claim.get("shared")):
                raise RunError(
                    f"{self.what} is in use by process {claim.get('process')} on {claim.get('host')} "
                    f"({claim.get('command')}); wait for it, or choose another --out (a process that was killed on "
                    f"another machine holds it for {STALE:.0f} s more at most)"
                )


def _read(store: Store, name: str) -> dict[str, Any] | None:
    """A claim; None where it is gone by now."""
    if (text := store.read(name)) is None:
        return None
    with suppress(ValueError):
        if isinstance(claim := json.loads(text), dict):
            return claim
    return {}


def _is_dead(claim: dict[str, Any], info: Info, own: Info | None) -> bool:
    if own is not None and own.second is not None and info.second is not None and own.second - info.second > STALE:
        return True
    here = _place()
    if not here or any(claim.get(key) != here[key] for key in ("boot", "processes")):
        return False
    return _started(claim.get("process")) != claim.get("started")


def _place() -> dict[str, str]:
    """What tells whether a process id of another claim means a process that can be looked at from here (Linux).

    A host's name is not enough: containers may share it, and even a start of the machine, and yet not see each other.
    """
    with suppress(OSError):
        return {
            "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            "processes": os.readlink("/proc/self/ns/pid"),
            "started": _started(os.getpid()) or "",
        }
    return {}


def _started(process: object) -> str | None:
    """When a process of this machine started, in clock ticks; None where there is none, or a zombie, of this id."""
    with suppress(OSError):
        state, *rest = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    return None


def _clock() -> float:
    """Seconds, those of a machine asleep too."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()
