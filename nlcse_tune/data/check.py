"""A run's inputs read through before anything slow starts, so that a mistake or a broken file costs seconds.

What was found whole is remembered for each version of a file (`$NLCSE_CACHE`): the runs of a search read it once.
"""

import hashlib
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

from nlcse_tune.config import SYNTHETIC, Modality, Objective, RunConfig
from nlcse_tune.config.fields import sides_read
from nlcse_tune.data import bounds
from nlcse_tune.data.catalog import remembered
from nlcse_tune.data.columns import check_rows, read_columns
from nlcse_tune.data.decode import READERS, SUFFIXES
from nlcse_tune.data.folder import NAMED, check_labels, list_folder
from nlcse_tune.data.hub import check_checkpoints
from nlcse_tune.errors import DataError, StorageError
from nlcse_tune.files import write_text
from nlcse_tune.paths import cache_folder

SAID_FROM = 1000  # files; fewer are read in a few seconds
THREADS = 8  # at most: a picture can take half a gigabyte
_BOUNDS = repr(sorted((name, value) for name, value in vars(bounds).items() if name.isupper()))
_log = logging.getLogger(__name__)


def check_inputs(configs: Iterable[RunConfig]) -> None:
    """Raises DataError for what is wrong with checkpoints, text or side of these runs; each file is read once."""
    configs = list(configs)
    check_checkpoints(configs)
    rows, listed, whole = cache(_rows), cache(_listed), cache(_check_whole)
    for config in configs:
        text = config.text
        if text.data != SYNTHETIC:
            check_rows(text, rows(text.data, text.objective))
        for side in sides_read(config).values():
            if side.data != SYNTHETIC and side.modality in SUFFIXES:  # a package reads its own data itself
                files, labels = listed(side.modality, side.data)
                check_labels(side, labels)
                whole(side.modality, side.data, files)


def modalities_in(folder: Path) -> list[Modality]:
    """Those of whose kind there are files in the folder's folders; none in SentEval's."""
    suffixes = {path.suffix.lower() for path in folder.glob("*/**/*")}
    return [modality for modality, own in SUFFIXES.items() if suffixes & set(own)]


def check_side(modality: Modality, folder: Path) -> tuple[str, list[str]]:
    """How much a side's folder holds, in words, and what is wrong with each file that cannot be used."""
    files, labels = _listed(modality, str(folder))
    sizes = Counter(labels).values()
    each = f"{min(sizes):,} to {max(sizes):,}" if min(sizes) < max(sizes) else f"{max(sizes):,}"
    classes = f"{len(sizes):,} class{'es' if len(sizes) > 1 else ''}"
    return f"{modality}: {len(files):,} files in {classes} of {each}", broken(modality, folder, files)


def broken(modality: Modality, folder: Path, files: Sequence[Path]) -> list[str]:
    """What is wrong with each of a folder's files that cannot be used; what was read whole before is not read again."""
    name = f"{modality} {folder.resolve()} {_BOUNDS}".encode(errors="surrogateescape")
    memory = cache_folder() / "whole" / hashlib.blake2b(name, digest_size=16).hexdigest()
    known: set[str] = set()
    with suppress(OSError):
        known.update(memory.read_text(encoding="utf-8").splitlines())
    versions = {file: _version(file, folder) for file in files}
    if not (new := [file for file in files if versions[file] not in known]):
        return []
    if len(new) >= SAID_FROM:
        _log.warning("%s: reading %s files once, to find broken ones before training", folder, f"{len(new):,}")
    known &= set(versions.values())
    problems: list[str] = []
    try:
        with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
            for file, problem in zip(new, pool.map(lambda file: _problem(modality, file), new), strict=True):
                if problem:
                    problems.append(problem)
                else:
                    known.add(versions[file])
    finally:  # of an interrupted pass what is known stays known
        with suppress(StorageError):
            write_text(memory, "".join(f"{version}\n" for version in sorted(known)))
    return problems


def _version(file: Path, folder: Path) -> str:
    """A line that changes with the file."""
    try:
        state = file.stat()
    except OSError:  # a link to nowhere: its reader will say so
        return ""
    return repr((file.relative_to(folder).as_posix(), state.st_size, state.st_mtime_ns, state.st_ino))


def _problem(modality: Modality, file: Path) -> str | None:
    try:
        READERS[modality](file)
    except DataError as error:
        return str(error)
    return None


def _rows(data: str, objective: Objective) -> int:
    """Rows of a text that can be read to its end."""
    path = Path(data)

    def count() -> str:
        return str(len(read_columns(path, objective)[0]))

    # A file that is not there has no version, and the reader says what to do.
    return int(remembered("rows", [path], count, under=objective + _BOUNDS) if path.is_file() else count())


def _listed(modality: Modality, data: str) -> tuple[tuple[Path, ...], tuple[int, ...]]:
    files, labels = list_folder(Path(data), SUFFIXES[modality])
    return tuple(files), tuple(labels)


def _check_whole(modality: Modality, data: str, files: Sequence[Path]) -> None:
    """DataError for files that cannot be used, the first few by name."""
    if problems := broken(modality, Path(data), files):
        more = f"\nand {len(problems) - NAMED:,} more: `nlcse-tune data check {data}` names all"
        raise DataError("\n".join(problems[:NAMED]) + (more if len(problems) > NAMED else ""))
