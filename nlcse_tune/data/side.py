"""What the loop asks of side data, whatever the modality.

V = 2 views of each of a batch's B items make its R = V B rows, view by view: row v * B + i is view v of item i.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from nlcse_tune.config import SYNTHETIC, Modality, SideConfig
from nlcse_tune.data.decode import SUFFIXES
from nlcse_tune.data.folder import list_folder

VIEWS = 2


class SideData(ABC):
    """Labelled items, each giving two views: those of a folder that holds a folder per class, or "synthetic" ones."""

    modality: ClassVar[Modality]
    synthetic: ClassVar[tuple[int, int]]  # classes, items of each

    def __init__(self, data: str | Path) -> None:
        classes, each = self.synthetic
        if data == SYNTHETIC:
            self.files, labels = None, np.repeat(np.arange(classes), each).tolist()
        else:
            self.files, labels = list_folder(Path(data), SUFFIXES[self.modality])
        self.labels = np.asarray(labels, dtype=np.int64)  # (items,)

    @classmethod
    def of(cls, config: SideConfig) -> Self:
        """The data of a side, with the settings that its modality has."""
        return cls(config.data)

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

    def labels_of(self, items: np.ndarray, generator: Callable[[int], np.random.Generator]) -> np.ndarray:
        """The labels of a batch's items (B,), as `views` makes them with the generator of each place."""
        labels: np.ndarray = self.labels[items]
        return labels

    @abstractmethod
    def normalise(self, stored: Tensor) -> Tensor:
        """Stored views (R, C, H, W) as the embedding wants them, float; runs on the training device."""


def stack_views(items: list[Tensor]) -> Tensor:
    """Views (V, C, H, W) of B items -> (R, C, H, W), view by view."""
    return torch.stack(items, dim=1).flatten(0, 1)
