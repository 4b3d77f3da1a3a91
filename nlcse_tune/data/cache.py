"""What is derived from data once and shared by all runs of a machine: files below `paths.cache_folder()`.

N arrays of a table.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nlcse_tune.errors import StorageError
from nlcse_tune.files import in_turn, replacing
from nlcse_tune.paths import cache_folder

SHAPES = ".shapes.npy"
_CHUNK = 256  # arrays that are made before they are written
_THREADS = 8  # at most: a picture can take half a gigabyte
_LEFT = 100_000_000  # bytes that a disk keeps free
_SAID_FROM = 500_000_000  # bytes; less is made in seconds
_log = logging.getLogger(__name__)


class NoRoomError(StorageError):
    """The disk has too little room for what was about to be written."""


def cached(kind: str, key: str, suffix: str, make: Callable[[Path], None], beside: str | None = None) -> Path:
    """The file that `make` writes atomically of all that `key` says: by one process of this machine, once.

    Made anew where it, or the one with the suffix `beside` that is made with it, was deleted.
    """
    name = f"{kind}/{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}{suffix}"
    try:
        return _made_once(cache_folder() / name, make, beside)
    except NoRoomError:  # gigabytes for each process are no way out
        raise
    except StorageError:  # a home that cannot be written to: for this process alone
        return _made_once(Path(_private_folder().name) / name, make, beside)


def _made_once(path: Path, make: Callable[[Path], None], beside: str | None) -> Path:
    whole = [path, *([path.with_suffix(beside)] if beside else [])]
    if not all(file.is_file() for file in whole):
        with in_turn(path.with_suffix(".lock")):
            if not all(file.is_file() for file in whole):
                make(path)
    return path


@cache
def _private_folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="nlcse-cache-")


@dataclass(frozen=True)
class ArrayTable:
    """N arrays end to end in a memory-mapped file."""

    values: NDArray[Any]  # (all,)
    shapes: NDArray[np.int64]  # (N, dimensions)
    starts: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, item: int) -> NDArray[Any]:
        """Array `item`, read-only."""
        start, shape = self.starts[item], self.shapes[item]
        own: NDArray[Any] = self.values[start : start + shape.prod()].reshape(shape)
        return own


@dataclass(frozen=True)
class Recipe:
    """How the arrays of a table are made."""

    key: str  # all that they hang on
    what: str  # for people
    count: int  # N
    dtype: DTypeLike
    make: Callable[[int], NDArray[Any]]  # one of them; asked for by several threads
    shape: Callable[[int], Sequence[int]]  # about what it will have, which says how much room is needed; quick


def cached_table(kind: str, recipe: Recipe) -> ArrayTable:
    """The table of a recipe, made once on a machine; made anew where its files are damaged."""
    for _ in range(2):
        path = cached(kind, recipe.key, ".bin", lambda path: _make(path, recipe), beside=SHAPES)
        with suppress(ValueError, OSError, EOFError):  # of a file that is cut off, or gone again
            shapes: NDArray[np.int64] = np.load(path.with_suffix(SHAPES))
            values = np.memmap(path, recipe.dtype, mode="r")
            ends = np.cumsum(shapes.prod(axis=1))
            if len(values) == ends[-1]:
                return ArrayTable(values, shapes, ends - shapes.prod(axis=1))
        with in_turn(path.with_suffix(".lock")):
            path.unlink(missing_ok=True)
    raise StorageError(f"{path}: not readable after it was written; see to the disk, then try again")


def _make(path: Path, recipe: Recipe) -> None:
    """Writes both files of a table, the shapes first: once there are values there is all."""
    threads = min(_THREADS, os.cpu_count() or 1)
    with ThreadPoolExecutor(threads) as pool:
        chunks = [range(start, min(start + _CHUNK, recipe.count)) for start in range(0, recipe.count, _CHUNK)]
        size = sum(sum(map(prod, pool.map(recipe.shape, chunk))) for chunk in chunks)
        _check_room(path, recipe.what, size * np.dtype(recipe.dtype).itemsize)
        shapes = []
        with replacing(path) as temporary, temporary.open("wb") as stream:
            for chunk in chunks:
                for array in pool.map(recipe.make, chunk):
                    np.ascontiguousarray(array, dtype=recipe.dtype).tofile(stream)
                    shapes.append(array.shape)
            with replacing(path.with_suffix(SHAPES)) as beside, beside.open("wb") as other:
                np.save(other, np.array(shapes, dtype=np.int64))


def _check_room(path: Path, what: str, needed: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < needed + _LEFT:
        raise NoRoomError(
            f"{path.parent}: {free / 1e9:.1f} GB free, and {what} take {needed / 1e9:.1f} GB there; free space, or "
            "choose another NLCSE_CACHE"
        )
    if needed > _SAID_FROM:
        _log.warning("%s: writing %s, %.1f GB, once for all runs of this machine", path.parent, what, needed / 1e9)
