"""What the loop asks of side data, whatever the modality.

V = 2 views of each of the B items of a batch make its R = V B rows, ordered view by view: row v * B + i is view v of
item i.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from nlcse_tune.errors import DataError

VIEWS = 2


class SideData(ABC):
    """Labelled items, each giving two views."""

    def __init__(self, labels: Sequence[int]) -> None:
        self.labels = np.asarray(labels, dtype=np.int64)  # (items,)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """Both views of an item as stored, (V, C, H, W); every random choice comes from `rng`."""

    @abstractmethod
    def normalise(self, stored: Tensor) -> Tensor:
        """Stored views (R, C, H, W) as the embedding wants them, float; runs on the training device."""


def stack_views(items: list[Tensor]) -> Tensor:
    """Views (V, C, H, W) of B items -> (R, C, H, W), view by view."""
    return torch.stack(items, dim=1).flatten(0, 1)


def list_folder(folder: Path, suffixes: tuple[str, ...]) -> tuple[list[Path], list[int]]:
    """Files of a class-per-folder tree with their labels, in sorted order."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; set side.data to one that holds a folder for each class")
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    items = [
        (path, label)
        for label, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in suffixes
    ]
    if not items:
        raise DataError(f"{folder}: no files ending in {', '.join(suffixes)} in the folders of its classes")
    return [path for path, _ in items], [label for _, label in items]
