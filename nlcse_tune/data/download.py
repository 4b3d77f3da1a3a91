"""One file from an address, whole or not at all: it goes on where an earlier call was cut, and waits when told to.

`huggingface_hub` 2.4 goes on within one call only: after a kill it begins again, and a Wikipedia is 5 GB. So the hub's
files come this way too; data/hub.py asks it where they are.
"""

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO

from nlcse_tune.errors import DataError, RunError, StorageError
from nlcse_tune.files import writing

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much
TRIES = 5  # one after another that bring nothing
FIRST_WAIT = 1.0  # seconds, doubled with each
LONGEST_WAIT = 300.0  # seconds; a server that asks for more is told of, not waited for
TIMEOUT = 30.0  # seconds without a byte
CHUNK = 1 << 20  # bytes
MB = 10**6
SPARE = 100 * MB  # bytes left free on a disk
_AGAIN = {408, 425, 429, 500, 502, 503, 504}
_BROKEN_OFF = (OSError, http.client.HTTPException)  # of the network: a disk that is full is a StorageError by then


@dataclass(frozen=True)
class Remote:
    """A file to download; what is not known beforehand is None."""

    name: str
    url: str
    size: int | None = None
    sha256: str | None = None


class _Cut(Exception):
    """The connection ended before the file did."""


def silent(what: str, done: int, total: int) -> None:
    """A Progress that nobody sees."""


def check_room(folder: Path, size: int) -> None:
    """StorageError unless `size` bytes more fit where `folder` is, or will be."""
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
    if (free := shutil.disk_usage(there).free) < size + SPARE:
        raise StorageError(
            f"{folder}: {size / MB:,.0f} MB are to come and {free / MB:,.0f} MB are free; free space, or choose "
            "another --data"
        )


def download(remote: Remote, target: Path, told: Progress = silent) -> str:
    """Puts the file at `target` and returns its sha256.

    RunError where the server refuses it, or asks to be left alone for long: what has come is kept, and the same call
    goes on from there. StorageError on a full disk, before or on the way; DataError for other bytes than must come.
    """
    part = target.with_name(f"{target.name}.part")
    with writing(target, "--data"):
        target.parent.mkdir(parents=True, exist_ok=True)
    if remote.size is not None:
        check_room(target.parent, remote.size - _size(part))
    _receive_all(remote, part, told)
    digest = _checked(remote, part)
    with writing(target, "--data"):
        part.replace(target)
        _mark(part).unlink(missing_ok=True)
    return digest


def _receive_all(remote: Remote, part: Path, told: Progress) -> None:
    """Asks again, from where it was cut, until the file is whole."""
    failed = 0
    while remote.size is None or _size(part) != remote.size:
        had = _size(part)
        try:
            _receive(remote, part, told)
            return
        except urllib.error.HTTPError as error:
            wait, why = _refused(remote, part, error), f"{error.code} {error.reason}"
        except (*_BROKEN_OFF, _Cut) as error:
            wait, why = None, f"{type(error).__name__.lstrip('_')}: {error}"
        failed = 0 if _size(part) > had and _may_go_on(remote, part) else failed + 1
        if failed >= TRIES or (wait or 0) > LONGEST_WAIT:
            asked = f", and it asks to wait for {wait:.0f} s" if wait else ""
            kept = "what has come is kept, and the same command goes on from there"
            then = kept if _may_go_on(remote, part) else "the same command begins anew"
            raise RunError(
                f"{remote.url}: cannot be downloaded ({why}){asked}; {then}; or fetch the file elsewhere and give it "
                "to `nlcse-tune data prepare`"
            )
        time.sleep(FIRST_WAIT * 2**failed / 2 if wait is None else wait)


def _refused(remote: Remote, part: Path, error: urllib.error.HTTPError) -> float | None:
    """Seconds that the server asks to wait, if it says; RunError where it will not give the file then either."""
    if error.code == 416:  # what is here is not the beginning of what is there
        part.unlink(missing_ok=True)
    elif error.code not in _AGAIN:
        raise RunError(f"{remote.url}: {error.code} {error.reason}{_advice(error.code)}") from None
    return _asked_to_wait(error)


def _receive(remote: Remote, part: Path, told: Progress) -> None:
    """One request, for what is still missing."""
    if not _may_go_on(remote, part):
        part.unlink(missing_ok=True)
    had = _size(part)
    request = urllib.request.Request(remote.url, headers={"User-Agent": "nlcse-tune", "Accept-Encoding": "identity"})
    if had:
        request.add_header("Range", f"bytes={had}-")
        if _mark(part).is_file():  # a server whose file is another one by now then sends the whole of it
            request.add_header("If-Range", _mark(part).read_text())
    with _opened(request) as answer:
        if answer.status != 206 or not (answer.headers.get("Content-Range") or "").startswith(f"bytes {had}-"):
            had = 0
        length = _length(answer)
        total = remote.size if length is None else had + length
        if length:
            check_room(part.parent, length)
        with writing(part, "--data"):
            _note(part, answer.headers.get("ETag") or "", had)
            stream = part.open("ab" if had else "wb")
        _write(answer, stream, remote, had, total, told)
    if total is not None and _size(part) < total:
        raise _Cut(f"{_size(part):,} of {total:,} bytes came")


def _opened(request: urllib.request.Request) -> http.client.HTTPResponse:
    try:
        answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT)
    except ValueError as error:  # of an address that no program can read
        raise http.client.InvalidURL(f"it leads to an address that is none: {error}") from None
    return answer


def _length(answer: http.client.HTTPResponse) -> int | None:
    """Bytes to come, if the server says."""
    text = (answer.headers.get("Content-Length") or "").strip()
    if text and not (text.isascii() and text.isdecimal()):
        raise http.client.HTTPException(f"Content-Length must be a number, got {text[:40]!r}")
    return int(text) if text else None


def _note(part: Path, tag: str, had: int) -> None:
    """Keeps the server's strong name for the version that comes; _Cut, and nothing is kept, where it is another one."""
    if had and _mark(part).is_file() and tag.startswith('"') and tag != _mark(part).read_text():
        part.unlink()
        raise _Cut("what is there is another version by now")
    if tag.startswith('"'):
        _mark(part).write_text(tag)
    elif not had:
        _mark(part).unlink(missing_ok=True)


def _may_go_on(remote: Remote, part: Path) -> bool:
    """Whether more bytes can be told to be of the same version as those that are here: by its name or its checksum."""
    return remote.sha256 is not None or _mark(part).is_file()


def _write(
    answer: http.client.HTTPResponse, stream: BinaryIO, remote: Remote, done: int, total: int | None, told: Progress
) -> None:
    """What comes, into the file; only what the disk refuses is a StorageError."""
    try:
        while chunk := answer.read(CHUNK):
            with writing(Path(stream.name), "--data"):
                stream.write(chunk)
                stream.flush()
            done += len(chunk)
            told(f"{remote.name}, MB", done // MB, max(1, -(-(total or done) // MB)))
    finally:
        with suppress(OSError):
            stream.close()


def _checked(remote: Remote, part: Path) -> str:
    """The sha256 of what has come; DataError, and it is gone, where it is not what must come."""
    with part.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    size = _size(part)
    wrong = ""
    if remote.size is not None and size != remote.size:
        wrong = f"{size:,} bytes came, and it has {remote.size:,}"
    elif remote.sha256 is not None and digest != remote.sha256:
        wrong = f"its sha256 is {digest}, and must be {remote.sha256}"
    if wrong:
        part.unlink()
        _mark(part).unlink(missing_ok=True)
        raise DataError(
            f"{remote.url}: {wrong}: it was damaged on the way, or is another file now; nothing of it was kept. Give "
            "the same command again, or see to the publisher's page"
        )
    return digest


def _asked_to_wait(error: urllib.error.HTTPError) -> float | None:
    """Seconds by Retry-After, which has them or a date."""
    value = error.headers.get("Retry-After")
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None


def _advice(code: int) -> str:
    if code in (404, 410):
        return ": the publisher has moved or removed it; see its page (`nlcse-tune data show`)"
    return ": the server does not give it" if code in (401, 403) else ""


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _mark(part: Path) -> Path:
    """Where the server's name for this version of the file is kept."""
    return part.with_name(f"{part.name}.etag")
