"""What a data set or folder holds, read to its end and counted: all that can be said of it without a manifest."""

from pathlib import Path
from typing import NamedTuple

from nlcse_tune.config import STS_TASKS
from nlcse_tune.data.check import check_side, modalities_in
from nlcse_tune.data.lines import MissingDataError, count_warning, csv_rows, read_lines
from nlcse_tune.data.registry import LANGUAGES, DataSet
from nlcse_tune.data.sts import load_dev, load_multilingual_dev, load_task
from nlcse_tune.data.transfer import TRANSFER_TASKS, load_transfer
from nlcse_tune.errors import DataError


class Contents(NamedTuple):
    """What a check has counted, one line per set, and what is missing or odd."""

    counts: list[str]
    warnings: list[str]


def contents_of(dataset: DataSet, place: Path) -> Contents | None:
    """What lies where a data set belongs; None where nothing does. DataError for what is no such data set."""
    if not (place.is_file() if dataset.kind in ("text", "triplets") else place.is_dir()):
        return None
    if dataset.kind in ("text", "triplets"):
        return Contents([f"{check_text(dataset, place):,} items"], [])
    if dataset.kind == "evaluation":
        return check_sts(place)
    if dataset.kind == "translations":
        return check_translations(place)
    if not any(place.iterdir()):
        return None
    if dataset.kind not in modalities_in(place):
        raise DataError(
            f"{place}: holds no {dataset.kind} files in folders of classes, so it is not {dataset.name}; move it away, "
            "then give the same command again"
        )
    return check_folder(place)


def check_folder(folder: Path) -> Contents:
    """What there is in a folder of images or audio, by class, or else in one in SentEval's layout."""
    if not (modalities := modalities_in(folder)):
        return check_sts(folder)
    contents = Contents([], [])
    for modality in modalities:
        count, problems = check_side(modality, folder)
        contents.counts.append(count)
        contents.warnings.extend(problems)
    return contents


def check_sts(folder: Path) -> Contents:
    """What there is in a folder in SentEval's layout. DataError for a broken file."""
    contents = Contents([], [])
    for task in (*STS_TASKS, "sts-dev", *TRANSFER_TASKS):
        try:
            if task in TRANSFER_TASKS:
                what, counts = "items", tuple(map(len, load_transfer(str(folder), task)))
            else:
                subsets = load_task(str(folder), task, warn=False) if task in STS_TASKS else [load_dev(str(folder))]
                what, counts = "scored pairs", (sum(map(len, subsets)),)
        except MissingDataError as error:
            contents.warnings.append(f"{task}: {error}")
            continue
        contents.counts.append(f"{task}: {' + '.join(map(str, counts))} {what}")
        if warning := count_warning(task, counts):
            contents.warnings.append(warning)
    return contents


def check_translations(folder: Path) -> Contents:
    """What there is of STS-B dev in other languages. DataError for a broken file."""
    contents = Contents([], [])
    for language in LANGUAGES:
        try:
            contents.counts.append(f"{language}: {len(load_multilingual_dev(folder, language))} scored pairs")
        except MissingDataError as error:
            contents.warnings.append(str(error))
    return contents


def check_text(dataset: DataSet, path: Path) -> int:
    """Items of a training text, lines or rows under a header; DataError unless they are as many as they must be."""
    count = len(read_lines(path)) if dataset.kind == "text" else sum(1 for _ in csv_rows(path)) - 1
    if dataset.items is not None and count != dataset.items:
        raise DataError(
            f"{path}: {count} items, but {dataset.name} has {dataset.items}: it is another file or a damaged one; "
            f"move it away and run `{dataset.command}`"
        )
    return count
