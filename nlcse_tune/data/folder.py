"""A side's folder: which files it holds, of which classes, and whether a loss can learn from them."""

from collections.abc import Sequence
from pathlib import Path

from nlcse_tune.config import SideConfig
from nlcse_tune.data.registry import how_to_get
from nlcse_tune.errors import DataError

CONTRASTING = ("supcon", "supcon_khosla", "supcon_as_released")  # losses that contrast an item with other classes
NAMED = 5  # of many, these are told


def list_folder(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[int]]:
    """Files of a class-per-folder tree with their labels, in sorted order. DataError names each empty class."""
    if not folder.is_dir():
        how = how_to_get(folder)
        raise DataError(f"{folder}: no such folder; set side.data to one that holds a folder for each class{how}")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files, labels, empty = [], [], []
    for label, name in enumerate(classes):
        own = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in suffixes)
        files += own
        labels += [label] * len(own)
        if not own:
            empty.append(name)
    if not files:
        raise DataError(f"{folder}: no files ending in {', '.join(suffixes)} in the folders of its classes")
    if empty:
        raise DataError(
            f"{folder}: no files ending in {', '.join(suffixes)} in the folder of {some(empty)}: copy what is missing, "
            "or remove what is no class (a name that starts with a dot is left out)"
        )
    return files, labels


def some(items: Sequence[str]) -> str:
    """The first few by name, the others by number."""
    more = f" and {len(items) - NAMED:,} more" if len(items) > NAMED else ""
    return ", ".join(items[:NAMED]) + more


def check_labels(config: SideConfig, labels: Sequence[int]) -> None:
    """DataError unless items with these labels fill a batch and have the classes that the side's loss contrasts."""
    if len(labels) < config.batch_size:
        raise DataError(
            f"{config.data}: {len(labels)} items do not fill one batch; side.batch_size is {config.batch_size}"
        )
    if config.loss in CONTRASTING and len(set(labels)) < 2:
        raise DataError(
            f"{config.data}: holds one class, and side.loss {config.loss} learns from items of different classes; "
            "give two or more folders of files, or set side.loss=simclr, which needs no classes"
        )
