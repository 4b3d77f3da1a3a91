"""`--out` as an address: a folder of this machine that mirrors a store, and a store that has all that counts.

All else in the package works with paths. What it writes below the mirror is put into the store before anything relies
on it (files.py calls the mirror); what others wrote there is brought down when a command or a run begins. Imports
pyarrow only once a store is spoken to.
"""

import re
import time
from functools import cache
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from nlcse_tune.errors import ConfigError
from nlcse_tune.files import keep_with, keeper_of, keepers
from nlcse_tune.paths import cache_folder
from nlcse_tune.storage.mirror import Mirror

_refreshed: dict[Path, float] = {}  # folders, each with when it was brought down last
_SECRET = re.compile(r"key|secret|token|password|sas|sig", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether a text is an address, `s3://bucket/path`, and no path."""
    return "://" in text


def folder_of(out: str | Path) -> Path:
    """The folder that `--out` means on this machine: itself, or the mirror of an address. Asks no store.

    ConfigError for an address with a password in it: it would stand in records, logs and lists of processes.
    """
    text = str(out)
    if not is_address(text):
        return Path(out)
    if text.startswith("file://"):
        return Path(urlsplit(text).path)
    return _mirror(checked(text), cache_folder()).folder


@cache
def _mirror(address: str, cache: Path) -> Mirror:
    mirror = Mirror(address, cache)
    keep_with(mirror)
    return mirror


def checked(address: str) -> str:
    """The address in one spelling; ConfigError where it holds a secret, or names nothing."""
    parts = urlsplit(address)
    if parts.password is not None or any(_SECRET.search(name) for name, _ in parse_qsl(parts.query)):
        hidden = f"{parts.scheme}://...{parts.path}"
        raise ConfigError(f"--out {hidden}: holds a secret, which would end up in logs; put it into the environment")
    if not f"{parts.netloc}{parts.path}".strip("/"):
        raise ConfigError(f"--out {address}: names no bucket or host; give for instance s3://bucket/path")
    plain = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
    return f"{plain}?{parts.query}" if parts.query else plain


def address_of(folder: Path) -> str | None:
    """The address of the store that a folder of this machine belongs to; None where it is a folder like any other."""
    keeper = keeper_of(folder)
    return keeper.address if keeper is not None else None


def here(text: str) -> str:
    """A name below an address that this process has opened, as the path in its mirror; any other text as it is."""
    for mirror in keepers():
        if text.startswith(f"{mirror.plain}/"):
            return str(mirror.folder / text.removeprefix(f"{mirror.plain}/"))
    if is_address(text):
        raise ConfigError(f"{text}: lies in no store that this command was told of; add --out with its address")
    return text


def refresh(folder: Path, *, every: float = 0.0) -> None:
    """Brings down what a store has, for a command that reads it; nothing where `folder` is one like any other.

    All of it, or what lies in the folder of a study; at most once in `every` seconds.
    """
    if (keeper := keeper_of(folder)) is None or time.monotonic() < _refreshed.get(folder, -every) + every:
        return
    keeper.refresh(None if folder == keeper.folder else folder)
    _refreshed[folder] = time.monotonic()


def probe(address: str) -> None:
    """Writes, reads, lists and deletes a small file there: StorageError, saying what to do, where one cannot be done.

    For each machine that is to work on it; on a machine whose environment has no credentials, say.
    """
    if (keeper := keeper_of(folder_of(address))) is not None:
        keeper.probe()
