"""From what was downloaded, or what one has, to a data set in its place: drawn, read through, moved at once.

Each maker gets a Job and puts all of the data set below `job.scratch`; only when it is whole does it get to its place.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlcse_tune.config import Modality
from nlcse_tune.data import layouts
from nlcse_tune.data.archive import unpack
from nlcse_tune.data.check import THREADS
from nlcse_tune.data.contents import check_sts, check_text, check_translations
from nlcse_tune.data.decode import READERS
from nlcse_tune.data.download import Progress, check_room, silent
from nlcse_tune.data.placing import check_free, join, put, staged
from nlcse_tune.data.registry import DataSet
from nlcse_tune.data.wikipedia import articles_in, sample
from nlcse_tune.errors import DataError, plural

SEED = 42
SHOWN = 20  # broken files that a message names
_ARCHIVES = (".tar", ".tar.gz", ".tgz")
_DUMPS = (".xml", ".xml.bz2", ".parquet")
_TASK_FOLDERS = ("STS", "SICK", "MR", "CR", "SUBJ", "MPQA", "SST", "TREC", "MRPC")
Classes = Mapping[str, Sequence[Path]]  # the files of each class or speaker


@dataclass(frozen=True)
class Recipe:
    """How a data set is drawn: by seed, or the classes of a list; `skip_corrupt` leaves out what cannot be read."""

    seed: int = SEED
    classes: tuple[str, ...] | None = None
    skip_corrupt: bool = False

    def words(self, dataset: DataSet) -> str:
        """As the manifest has it; empty where nothing is drawn."""
        if dataset.classes is None:
            return f"seed {self.seed}" if dataset.name.startswith("wiki-") else ""
        each = f" x {dataset.each}" if dataset.each else ""
        listed = hashlib.sha256("\n".join(sorted(self.classes or ())).encode()).hexdigest()[:8]
        chosen = f"{len(self.classes)} classes of list {listed}" if self.classes else f"{dataset.classes} classes"
        return f"{chosen}{each}, seed {self.seed}"


@dataclass(frozen=True)
class Job:
    """One data set to make in `scratch`, of `given`, a file or a folder; one that is a file is called `file`."""

    dataset: DataSet
    given: Path
    recipe: Recipe
    scratch: Path
    file: str
    told: Progress = silent


def check_given(dataset: DataSet, given: Path) -> None:
    """DataError unless what a data set is to be made of exists."""
    if not os.path.exists(given):  # Path.exists raises for a name that is too long
        raise DataError(f"{given}: no such file or folder{'. ' * bool(dataset.by_hand)}{dataset.by_hand}")


def make(
    dataset: DataSet,
    given: Path,
    target: Path,
    recipe: Recipe,
    record: Callable[[Path, Sequence[str]], None],
    told: Progress = silent,
) -> None:
    """Makes the data set of what is `given` and puts it at `target`.

    `record` is called with where the data set lies by then, under the name that it will have, and the files that were
    left out. DataError for what is wrong with it, StorageError on a full disk; then all at `target` is as it was.
    """
    check_given(dataset, given)
    check_free(dataset, target)
    with staged(target, given) as staging:
        made = staging / target.name
        scratch = staging if dataset.kind in ("text", "triplets") else made
        scratch.mkdir(exist_ok=True)
        job = Job(dataset, given, recipe, scratch, target.name, told)
        skipped = _MAKERS.get(dataset.name, _make_text)(job)
        check_free(dataset, target)
        (join if dataset.joined else put)(made, target, lambda place: record(place, skipped))


def _given(job: Job, suffixes: Sequence[str]) -> list[Path]:
    """The files to make it of: the one that was named, or those of a folder that end so."""
    if job.given.is_file():
        return [job.given]
    files = (path for path in job.given.iterdir() if path.is_file())
    found = sorted(path for path in files if path.name.lower().endswith(tuple(suffixes)))
    if not found:
        raise DataError(f"{job.given}: no file in it ends in {', '.join(suffixes)}; of such {job.dataset.name} is made")
    return found


def _make_text(job: Job) -> list[str]:
    (file, *_) = _given(job, (Path(job.dataset.place).suffix,))
    check_text(job.dataset, file)
    check_room(job.scratch, file.stat().st_size)
    shutil.copyfile(file, job.scratch / job.file)
    return []


def _make_wikipedia(job: Job) -> list[str]:
    language = job.dataset.name.removeprefix("wiki-")
    articles = (article for file in _given(job, _DUMPS) for article in articles_in(file))
    lines = sample(articles, job.dataset.items or 0, job.recipe.seed, language, job.told, str(job.given))
    (job.scratch / job.file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return []


def _make_flickr30k(job: Job) -> list[str]:
    (file, *_) = _given(job, (".token",))
    lines = "".join(f"{caption}\n" for caption in layouts.captions(file))
    (job.scratch / job.file).write_text(lines, encoding="utf-8")
    return []


def _make_senteval(job: Job) -> list[str]:
    (archive, *_) = _given(job, _ARCHIVES)
    unpacked = job.scratch / "unpacked"
    unpack(archive, unpacked, job.dataset.unpacks)
    # The folder that holds STS/, whatever the archive calls it.
    roots = [path.parent for path in unpacked.rglob("STS") if path.is_dir()]
    if not roots:
        raise DataError(f"{archive}: the archive holds no folder STS, so it is not SentEval's")
    root = min(sorted(roots), key=lambda path: len(path.parts))
    for folder in (root / name for name in _TASK_FOLDERS if (root / name).is_dir()):
        folder.replace(job.scratch / folder.name)
    shutil.rmtree(unpacked)
    _check_sets(job, archive)
    return []


def _check_sets(job: Job, archive: Path) -> None:
    """DataError unless every set of the archive's folders is there and can be read: they take the place of others."""
    try:
        lacking = [text for text in check_sts(job.scratch).warnings if _is_about(text, job.scratch)]
    except DataError as error:
        lacking = [str(error)]
    if lacking:
        told = "\n".join(text.replace(f"{job.scratch}/", "") for text in lacking)
        raise DataError(f"{archive}: not all of the sets in it can be used:\n{told}")


def _is_about(warning: str, folder: Path) -> bool:
    """Whether a file is missing in one of the folders that there are; other numbers than the official ones may be."""
    return any(f"{path}/" in warning for path in folder.iterdir())


def _make_translations(job: Job) -> list[str]:
    for file in _given(job, (".csv",)):
        shutil.copyfile(file, job.scratch / file.name)
    if missing := check_translations(job.scratch).warnings:
        raise DataError("\n".join(missing))
    return []


def _make_cifar10(job: Job) -> list[str]:
    root = _root(job, lambda folder: any(folder.rglob("batches.meta.txt")))
    layouts.write_cifar10(root, job.scratch, job.told)
    shutil.rmtree(job.scratch / _UNPACKED, ignore_errors=True)
    return []


def _make_side(job: Job) -> list[str]:
    """Classes drawn, every file of them read, the whole ones copied."""
    if job.dataset.by_hand and job.given.is_file():
        raise DataError(f"{job.given}: is a file, and folders of classes are wanted. {job.dataset.by_hand}")
    classes = layouts.CLASSES[job.dataset.name]
    root = _root(job, lambda folder: any(classes(folder).values()))
    chosen = draw(classes(root), job, job.given)
    files = [file for found in chosen.values() for file in found]
    problems = unreadable("image" if job.dataset.kind == "image" else "audio", files, job)
    check_room(job.scratch, sum(file.stat().st_size for file in files))
    for number, (name, found) in enumerate(chosen.items(), start=1):
        (job.scratch / name).mkdir()
        for file in found:
            if file not in problems:
                shutil.copyfile(file, job.scratch / name / file.name)
        job.told(f"{job.dataset.name}: classes copied", number, len(chosen))
    shutil.rmtree(job.scratch / _UNPACKED, ignore_errors=True)
    return [str(file.relative_to(root)) for file in problems]


_UNPACKED = ".unpacked"


def _root(job: Job, holds: Callable[[Path], bool]) -> Path:
    """The folder with the publisher's layout: the given one, beside whatever archives, or else what one unpacks to."""
    if job.given.is_file():
        return _unpacked(job)
    archives = any(path.name.lower().endswith(_ARCHIVES) for path in job.given.iterdir() if path.is_file())
    with suppress(DataError):
        archives = archives and not holds(job.given)
    return _unpacked(job) if archives else job.given


def _unpacked(job: Job) -> Path:
    (archive, *_) = _given(job, _ARCHIVES)
    check_room(job.scratch, 2 * archive.stat().st_size)
    unpack(archive, job.scratch / _UNPACKED, job.dataset.unpacks)
    return job.scratch / _UNPACKED


def draw(found: Classes, job: Job, where: Path) -> dict[str, list[Path]]:
    """The classes and files of the recipe. What is drawn of a class hangs on seed and name alone, not on the others.

    DataError names every class of the list that is missing, or that holds too few files.
    """
    dataset, recipe = job.dataset, job.recipe
    wanted = recipe.classes or _drawn_classes(sorted(found), job, where)
    if missing := [name for name in wanted if not found.get(name)]:
        raise DataError(
            f"{where}: {len(missing)} of {len(wanted)} classes are missing or empty: {', '.join(missing)}; "
            f"unpack them there, or leave them out of the list. {dataset.by_hand}".rstrip()
        )
    each = dataset.each
    if each and (few := [f"{name} ({len(found[name])})" for name in wanted if len(found[name]) < each]):
        raise DataError(f"{where}: fewer than {each} files in {', '.join(few)}; is the folder whole?")
    chosen = {}
    for name in sorted(wanted):
        files = sorted(found[name])
        if each:
            picks = np.random.default_rng([recipe.seed, *name.encode()]).choice(len(files), each, replace=False)
            files = [files[place] for place in sorted(picks.tolist())]
        chosen[name] = files
    return chosen


def _drawn_classes(names: Sequence[str], job: Job, where: Path) -> list[str]:
    count = job.dataset.classes or len(names)
    if len(names) < count or not names:
        raise DataError(
            f"{where}: {plural(len(names), 'folder')} of classes, and {job.dataset.name} needs {count or 'some'}. "
            f"{job.dataset.by_hand}".rstrip()
        )
    picks = np.random.default_rng(job.recipe.seed).choice(len(names), count, replace=False)
    return [names[place] for place in sorted(picks.tolist())]


def unreadable(modality: Modality, files: Sequence[Path], job: Job) -> dict[Path, str]:
    """What is wrong with each file that cannot be used; DataError lists them, unless they are to be left out."""
    problems: dict[Path, str] = {}
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1)) as pool:
        for number, (file, problem) in enumerate(zip(files, pool.map(_reader(modality), files), strict=True), start=1):
            if problem:
                problems[file] = problem
            if number % 100 == 0 or number == len(files):
                job.told(f"{job.dataset.name}: files read", number, len(files))
    if problems and not job.recipe.skip_corrupt:
        told = list(problems.values())
        more = f"\nand {len(told) - SHOWN:,} more" if len(told) > SHOWN else ""
        raise DataError(
            f"{len(told):,} of {len(files):,} files cannot be used:\n"
            + "\n".join(told[:SHOWN])
            + more
            + f"\nmend them, or run `nlcse-tune data prepare {job.dataset.name} --from {job.given} --skip-corrupt`, "
            "which leaves them out"
        )
    return problems


def _reader(modality: Modality) -> Callable[[Path], str | None]:
    def problem(file: Path) -> str | None:
        try:
            READERS[modality](file)
        except DataError as error:
            return str(error)
        return None

    return problem


_MAKERS: dict[str, Callable[[Job], list[str]]] = {
    "senteval": _make_senteval, "flickr30k": _make_flickr30k, "stsb_multi_mt": _make_translations,
    "cifar10": _make_cifar10,    "imagenet60": _make_side, "librispeech50": _make_side, "fsdd": _make_side,
    **{f"wiki-{language}": _make_wikipedia for language in ("de", "fr", "ru", "zh")},
}  # fmt: skip
