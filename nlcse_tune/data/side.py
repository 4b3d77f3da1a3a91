"""What the loop asks of side data, whatever the modality.

V = 2 views of each of the B items of a batch make its R = V B rows, ordered view by view: row v * B + i is view v of
item i.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from nlcse_tune.config import SYNTHETIC
from nlcse_tune.errors import DataError

VIEWS = 2


class SideData(ABC):
    """Labelled items, each giving two views: those of a folder that holds a folder per class, or "synthetic" ones."""

    suffixes: ClassVar[tuple[str, ...]]  # of the files that count
    synthetic: ClassVar[tuple[int, int]]  # classes, items of each

    def __init__(self, data: str | Path) -> None:
        classes, each = self.synthetic
        if data == SYNTHETIC:
            self.files, labels = None, np.repeat(np.arange(classes), each).tolist()
        else:
            self.files, labels = _list_folder(Path(data), self.suffixes)
        self.labels = np.asarray(labels, dtype=np.int64)  # (items,)

    def __len__(self) -> int:
        return len(self.labels)

    def open(self, item: int) -> Any:
        """An item as `read` or `make` gives it."""
        return self.read(self.files[item]) if self.files else self.make(int(self.labels[item]), item)

    @staticmethod
    @abstractmethod
    def read(path: Path) -> Any:
        """The item in a file."""

    @staticmethod
    @abstractmethod
    def make(label: int, item: int) -> Any:
        """A synthetic item."""

    @abstractmethod
    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """Both views of an item as stored, (V, C, H, W); every random choice comes from `rng`."""

    @abstractmethod
    def normalise(self, stored: Tensor) -> Tensor:
        """Stored views (R, C, H, W) as the embedding wants them, float; runs on the training device."""


def stack_views(items: list[Tensor]) -> Tensor:
    """Views (V, C, H, W) of B items -> (R, C, H, W), view by view."""
    return torch.stack(items, dim=1).flatten(0, 1)


def _list_folder(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[int]]:
    """Files of a class-per-folder tree with their labels, in sorted order."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set side.data to one that holds a folder for each class")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    files, labels = [], []
    for label, name in enumerate(classes):
        own = sorted(path for path in (folder / name).rglob("*") if path.suffix.lower() in suffixes)
        files += own
        labels += [label] * len(own)
    if not files:
        raise DataError(f"{folder}: no files ending in {', '.join(suffixes)} in the folders of its classes")
    return files, labels
