"""One address, through the file systems that Ray itself uses (pyarrow's); what they do not know, through fsspec.

Imported where an address is used, and nowhere else: pyarrow takes a moment.
"""

import re
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import pyarrow
from pyarrow import fs

from nlcse_tune.errors import ConfigError, StorageError

T = TypeVar("T")
PAUSES = (1.0, 2.0, 4.0, 8.0)  # seconds between attempts; a library's own attempts (S3: three, 6 s in all) lie within
CHUNK = 16 * 2**20
WHOLE = ("s3", "gcs", "abfs")  # an object appears there at once when it is complete; elsewhere it is moved there
# What no second attempt changes, in the words of S3; others raise PermissionError.
DENIED = ("ACCESS_DENIED", "INVALID_ACCESS_KEY_ID", "INVALID_CLIENT_TOKEN_ID", "SIGNATURE_DOES_NOT_MATCH", "EXPIRED")
DENIED_ADVICE = "check the credentials in this machine's environment (AWS_*, GOOGLE_APPLICATION_CREDENTIALS, ...)"


class Info(NamedTuple):
    """Of a file in a store."""

    size: int
    second: int | None  # since 1970, when it was written, by the store's clock; None where it does not say


class Store:
    """The files below an address. Names are relative to it, with slashes.

    Each call is tried again for some seconds where it fails for what may pass. StorageError, which names the address
    and what to do, where it goes on failing.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.files, self.base = _open(address)
        self.whole = self.files.type_name in WHOLE

    def list(self, below: str = "") -> dict[str, Info]:
        """Every file below a folder, at any depth; none where there is no such folder."""
        base = self._path(below)
        found = self._tried("listed", lambda: self.files.get_file_info(fs.FileSelector(
            base, recursive=True, allow_not_found=True
        )))  # fmt: skip
        if not found:
            self._tried("listed", self._check_bucket)
        cut = len(self.base) + 1 if self.base else 0
        return {info.path[cut:]: _info(info) for info in found if info.type == fs.FileType.File}

    def _check_bucket(self) -> None:
        """To list a bucket that is not there is no error to pyarrow, and gives nothing."""
        bucket = self.base.split("/")[0]
        if self.files.type_name in WHOLE and self.files.get_file_info(bucket).type == fs.FileType.NotFound:
            raise OSError(f"NO_SUCH_BUCKET {bucket}")

    def info(self, name: str) -> Info | None:
        """Of one file; None where it is not there."""
        found = self._tried("read", lambda: self.files.get_file_info(self._path(name)))
        return _info(found) if found.type == fs.FileType.File else None

    def read(self, name: str) -> bytes | None:
        """The bytes of a small file; None where it is not there."""

        def once() -> bytes:
            with self.files.open_input_stream(self._path(name)) as stream:
                return bytes(stream.read())

        with suppress(FileNotFoundError):
            return self._tried("read", once)
        return None

    def get(self, name: str, target: Path) -> bool:
        """Copies a file to `target`; False where it is not there."""

        def once() -> bool:
            with self.files.open_input_stream(self._path(name)) as stream, target.open("wb") as local:
                while chunk := stream.read(CHUNK):
                    local.write(chunk)
            return True

        with suppress(FileNotFoundError):
            return self._tried("read", once)
        return False

    def put(self, source: Path | bytes, name: str, *, patient: bool = True) -> None:
        """Writes a file: a reader, or a kill, meets the former one or this one, never a part of it.

        HDFS alone cannot put a file in another's place: there is a moment without either.
        """
        self._tried("written", lambda: self._put(source, self._path(name)), patient=patient)

    def _put(self, source: Path | bytes, path: str) -> None:
        if self.whole:
            self._write(source, path)
            return
        folder, _, own = path.rpartition("/")
        beside = f"{folder}/.{own}.{secrets.token_hex(8)}"
        self.files.create_dir(folder, recursive=True)
        self._write(source, beside)
        try:
            self.files.move(beside, path)
        except OSError:
            self.files.delete_file(path)
            self.files.move(beside, path)

    def _write(self, source: Path | bytes, path: str) -> None:
        chunks = _chunks(source)
        first = next(chunks, b"")  # before anything is written: to close a stream is to say that it is complete
        with self.files.open_output_stream(path) as stream:
            stream.write(first)
            for chunk in chunks:
                stream.write(chunk)

    def delete(self, *names: str, patient: bool = True) -> None:
        """Deletes files; those that are not there are no error."""
        for path in map(self._path, names):
            with suppress(FileNotFoundError):
                self._tried("deleted", partial(self.files.delete_file, path), patient=patient)

    def delete_below(self, name: str) -> None:
        """Deletes a folder with all that is in it."""
        with suppress(FileNotFoundError):
            self._tried("deleted", lambda: self.files.delete_dir(self._path(name)))

    def move(self, source: str, target: str) -> None:
        """Moves a file; on S3 and GCS that is a copy and a deletion."""
        if not self.whole:
            self._tried("written", lambda: self.files.create_dir(self._path(target).rpartition("/")[0], recursive=True))
        with suppress(FileNotFoundError):
            self._tried("moved", lambda: self.files.move(self._path(source), self._path(target)))

    def _path(self, name: str) -> str:
        return "/".join(filter(None, (self.base, name))) or "/"

    def _tried(self, done: str, action: Callable[[], T], *, patient: bool = True) -> T:
        pauses = list(PAUSES if patient else ())
        while True:
            try:
                return action()
            except FileNotFoundError:
                raise
            except (OSError, pyarrow.ArrowException) as error:
                why, passing = _reason(error, self.address)
                if not (passing and pauses):
                    raise StorageError(f"{self.address}: cannot be {done}: {why}") from error
                time.sleep(pauses.pop(0))


def _chunks(source: Path | bytes) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _info(found: Any) -> Info:
    return Info(int(found.size or 0), None if found.mtime is None else int(found.mtime.timestamp()))


def _reason(error: Exception, address: str) -> tuple[str, bool]:
    """Why an attempt failed, with the next step, and whether another one may succeed."""
    text = " ".join(str(error).split())
    if "NO_SUCH_BUCKET" in text:
        return "there is no such bucket; make it, or check the address", False
    if isinstance(error, PermissionError) or any(word in text for word in DENIED):
        return f"access is denied; {DENIED_ADVICE}", False
    found = re.search(r"AWS Error (\w+) during \w+ operation: ([^;(]*)", text)
    why = ": ".join(found.groups()).strip() if found else text[:200]
    return f"{why.removesuffix('.')}; see to the network and the store, the same command goes on", True


def _open(address: str) -> tuple[fs.FileSystem, str]:
    """The file system of an address and the path in it; ConfigError where nothing here knows it."""
    with _opening(address):
        try:
            files, path = fs.FileSystem.from_uri(_with_limit(address))
        except pyarrow.ArrowInvalid as error:
            if "Unrecognized filesystem" not in str(error):
                raise
            import fsspec

            theirs, path = fsspec.core.url_to_fs(address)
            files = fs.PyFileSystem(fs.FSSpecHandler(theirs))
    return files, path.rstrip("/")


@contextmanager
def _opening(address: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError, pyarrow.ArrowException) as error:
        why = " ".join(str(error).split())[:200].removesuffix(".")
        raise ConfigError(
            f"--out {address}: cannot be opened: {why}; give a folder, or an address that pyarrow.fs or fsspec knows"
        ) from error


def _with_limit(address: str) -> str:
    """GCS would be tried for 15 minutes."""
    if not address.startswith(("gs://", "gcs://")) or "retry_limit_seconds" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}retry_limit_seconds=30"
