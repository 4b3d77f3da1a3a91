"""What the loop asks of side data, whatever the modality.

V = 2 views of each of a batch's B items, b of them this worker's, make its R = V b rows, view by view: row v * b + i is
view v of item i.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlcse_tune.config import SYNTHETIC, Modality, SideConfig
from nlcse_tune.data import synthetic
from nlcse_tune.data.cache import ArrayTable, Recipe, cached_table
from nlcse_tune.data.decode import NOISE, SUFFIXES
from nlcse_tune.data.folder import list_folder

VIEWS = 2
Room = tuple[Tensor, ...]


class SideData(ABC):
    """Labelled items, each giving two views.

    On a CPU an item's views are made one by one (`render`), on another device those of a batch at once (`render_all`).
    """

    shape: tuple[int, int, int]  # (C, H, W) of a view
    labels: NDArray[np.int64]  # (items,)

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def render(self, item: int, rng: np.random.Generator, out: Tensor) -> None:
        """Makes both views of an item, as the embedding wants them, in `out`, float (V, C, H, W) on the CPU.

        Every random choice comes from `rng`.
        """

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """Both views of an item, float (V, C, H, W)."""
        views = torch.empty(VIEWS, *self.shape)
        self.render(item, rng, views)
        return views

    @abstractmethod
    def room(self, items: int, *, pinned: bool) -> Room:
        """Memory of the host for what a device needs to make the views of so many items."""

    @abstractmethod
    def fill(self, room: Room, place: int, item: int, rng: np.random.Generator) -> None:
        """Puts in its place what a device needs to make the views of an item; draws from `rng` as `render` does."""

    @abstractmethod
    def render_all(self, room: Room, device: torch.device | str) -> Tensor:
        """The views (R, C, H, W) of all items in a room, on the device; nothing waits for it."""

    def labels_of(self, items: NDArray[np.int64], generator: Callable[[int], np.random.Generator]) -> NDArray[np.int64]:
        """The labels of a batch's items (B,), as views are made of them with the generator of each place."""
        labels: NDArray[np.int64] = self.labels[items]
        return labels


class FolderData(SideData):
    """The files of a folder that holds a folder per class, or "synthetic" items."""

    modality: ClassVar[Modality]
    synthetic: ClassVar[tuple[int, int]]  # classes, items of each

    def __init__(self, data: str | Path, *, noise: bool = False) -> None:
        """`noise` puts noise in the place of each item, of its size and with its label (`side.control`)."""
        classes, each = self.synthetic
        self.data, self.is_noise = str(data), noise
        if data == SYNTHETIC:
            self.files, labels = None, np.repeat(np.arange(classes), each).tolist()
        else:
            self.files, labels = list_folder(Path(data), SUFFIXES[self.modality])
        self.kinds = self.labels = np.asarray(labels, dtype=np.int64)  # a control deals the labels anew
        self._table: ArrayTable | None = None

    @classmethod
    def of(cls, config: SideConfig) -> Self:
        """The data of a side, with the settings that its modality has."""
        return cls(config.data, noise=config.control == "noise")

    def open(self, item: int) -> Any:
        """An item as `read` or `make` gives it, or noise in its place."""
        own = self.read(self.files[item]) if self.files else self.make(int(self.kinds[item]), item)
        return self.noise(own, np.random.default_rng([NOISE, item])) if self.is_noise else own

    @staticmethod
    @abstractmethod
    def read(path: Path) -> Any:
        """The item in a file."""

    @staticmethod
    @abstractmethod
    def make(label: int, item: int) -> Any:
        """A synthetic item."""

    @staticmethod
    @abstractmethod
    def noise(own: Any, rng: np.random.Generator) -> Any:
        """Noise of an item's size."""

    @property
    def table(self) -> ArrayTable:
        """What is computed of each item once on a machine, and memory-mapped by all runs; the first use makes it."""
        if self._table is None:
            self._table = cached_table(self.modality, self.recipe())
        return self._table

    @abstractmethod
    def recipe(self) -> Recipe:
        """How the table is made."""

    def content(self) -> str:
        """A text that changes with any of the items: more than the folder's fingerprint, which has no times."""
        items = synthetic.VERSION if self.files is None else "\n".join(map(_version, self.files))
        return f"noise {NOISE}\n{items}" if self.is_noise else items


def _version(path: Path) -> str:
    """A line that changes with the file."""
    try:
        state = path.stat()
    except OSError:  # a link to nowhere: its reader will say so
        return str(path)
    # The last cannot be set: unpacked archives have the first three of what they take the place of.
    return repr((str(path), state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns))


def sent(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the host on the device; nothing waits for it."""
    pinned = tensor.pin_memory() if torch.device(device).type == "cuda" else tensor
    return pinned.to(device, non_blocking=True)
