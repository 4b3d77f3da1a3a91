"""How a data set gets to its place: made beside it, recorded, moved; after a kill the same command sets all right.

A data set that has its place to itself gets its record first and then comes in one motion: a record without the data
is that of nothing. One that is joined to others of one's own (evaluation sets) is not whole while the folder
`.NAME.former` is beside it, which holds what it takes the place of.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nlcse_tune.data.registry import DataSet
from nlcse_tune.errors import DataError
from nlcse_tune.files import writing


def check_free(dataset: DataSet, target: Path) -> None:
    """DataError where something is that must be moved away first; a folder may become a folder that is empty."""
    empty = target.is_dir() and not target.is_symlink() and not any(target.iterdir())
    free = target.is_dir() if dataset.joined else empty and dataset.kind not in ("text", "triplets")
    if os.path.lexists(target) and not free:
        raise DataError(f"{target}: something else is there; move it away, then give the same command again")


@contextmanager
def staged(target: Path, given: Path) -> Iterator[Path]:
    """A folder beside the place, gone at the end; what a kill left there is cleared away by the next call.

    DataError for a file of `given` that cannot be read; StorageError for what cannot be written.
    """
    scratch = target.with_name(f".{target.name}.making")
    with writing(target, "--data"):
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        try:
            yield scratch
        except OSError as error:
            if (file := _read(error, given, (scratch, target))) is None:
                raise
            raise DataError(f"{file}: cannot be read: {error.strerror or error}") from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)


def _read(error: OSError, given: Path, written: tuple[Path, ...]) -> Path | None:
    """The file of `given` that could not be read; one that was being copied is named where the disk is full, too."""
    if not isinstance(error.filename, str) or error.filename2 is not None:
        return None
    file = Path(error.filename)
    return file if file.is_relative_to(given) and not any(map(file.is_relative_to, written)) else None


def put(made: Path, target: Path, record: Callable[[Path], None]) -> None:
    """Moves what was made to its place, where its record is waiting for it."""
    record(made)
    made.replace(target)


def join(made: Path, target: Path, record: Callable[[Path], None]) -> None:
    """Moves each task's folder, or language's file, to its place beside others of one's own.

    What it takes the place of is kept until all of it is there and recorded; what fails leaves all as it was.
    """
    target.mkdir(parents=True, exist_ok=True)
    (former := _former(target)).mkdir(exist_ok=True)
    for old in former.iterdir():  # of a call that was killed: what came in its place is there
        _remove(old)
    names = sorted(path.name for path in made.iterdir())
    try:
        for name in names:
            if os.path.lexists(target / name):
                (target / name).replace(former / name)
            (made / name).replace(target / name)
        record(target)
    except BaseException:
        _undo(made, target, names)
        raise
    former.replace(made / former.name)  # from here on it is whole; the former go with the rest of what was made


def _undo(made: Path, target: Path, names: list[str]) -> None:
    for name in names:
        if not (made / name).exists():
            _remove(target / name)
        if os.path.lexists(_former(target) / name):
            (_former(target) / name).replace(target / name)
    _former(target).rmdir()


def unfinished(target: Path) -> bool:
    """Whether a kill ended what joined something to `target`."""
    return _former(target).is_dir()


def recover(target: Path) -> None:
    """Puts back what a killed call had moved away and put nothing in the place of; it stays unfinished."""
    if unfinished(target):
        with writing(target, "--data"):
            target.mkdir(parents=True, exist_ok=True)
            for old in _former(target).iterdir():
                if not os.path.lexists(target / old.name):
                    old.replace(target / old.name)


def _former(target: Path) -> Path:
    return target.with_name(f".{target.name}.former")


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
