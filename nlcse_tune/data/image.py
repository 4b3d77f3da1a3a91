"""Images: a folder per class, decoded and made smaller once, two SimCLR views each (§3.3)."""

from functools import cached_property
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from nlcse_tune.data import decode, synthetic, views
from nlcse_tune.data.cache import Recipe
from nlcse_tune.data.decode import DECODING, SIZE
from nlcse_tune.data.side import VIEWS, FolderData, Room


class ImageData(FolderData):
    """Pictures with labels: JPEG and PNG files, or textured shapes by class; an item is uint8 (height, width, 3)."""

    modality = "image"
    synthetic = (synthetic.IMAGE_CLASSES, synthetic.IMAGES_PER_CLASS)
    shape = (3, SIZE, SIZE)

    @staticmethod
    def read(path: Path) -> NDArray[np.uint8]:
        return decode.reduced(decode.picture(path))

    @staticmethod
    def make(label: int, item: int) -> NDArray[np.uint8]:
        return synthetic.image(label, item)

    @staticmethod
    def noise(own: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
        return rng.integers(0, 256, own.shape, dtype=np.uint8)

    def recipe(self) -> Recipe:
        return Recipe(
            key=f"{DECODING}\n{PIL.__version__}\n{self.content()}",
            what=f"the pixels of {len(self):,} pictures in {self.data}",
            count=len(self),
            dtype=np.uint8,
            make=self.open,
            shape=self._shape,
        )

    def _shape(self, item: int) -> tuple[int, ...]:
        if self.files is None:
            return synthetic.IMAGE_PIXELS, synthetic.IMAGE_PIXELS, 3
        width, height = decode.reduced_size(*decode.picture_size(self.files[item]))
        return height, width, 3

    def _drawn(self, item: int, rng: np.random.Generator) -> list[views.Drawn]:
        """Both views of an item."""
        height, width, _ = self.table.shapes[item].tolist()
        return [views.draw(width, height, rng) for _ in range(VIEWS)]

    def render(self, item: int, rng: np.random.Generator, out: Tensor) -> None:
        for drawn, view in zip(self._drawn(item, rng), out, strict=True):
            views.render(self.table[item], drawn, view)

    @cached_property
    def _largest(self) -> tuple[int, int]:
        """(height, width) of the room that every crop has."""
        sizes = np.unique(self.table.shapes, axis=0).tolist()
        heights, widths = zip(*(views.largest_box(width, height) for height, width, _ in sizes), strict=True)
        return max(heights), max(widths)

    def room(self, items: int, *, pinned: bool) -> Room:
        """Crops, uint8 (V, items, height, width, 3), of which none is larger, and numbers (V, items, NUMBERS)."""
        height, width = self._largest
        return (
            torch.empty(VIEWS, items, height, width, 3, dtype=torch.uint8, pin_memory=pinned),
            torch.empty(VIEWS, items, views.NUMBERS, pin_memory=pinned),
        )

    def fill(self, room: Room, place: int, item: int, rng: np.random.Generator) -> None:
        crops, numbers = (tensor.numpy()[:, place] for tensor in room)
        for drawn, crop, row in zip(self._drawn(item, rng), crops, numbers, strict=True):
            top, left, height, width = drawn.box
            crop[:height, :width] = self.table[item][top : top + height, left : left + width]
            row[:] = drawn.numbers()

    def render_all(self, room: Room, device: torch.device | str) -> Tensor:
        crops, numbers = room
        return views.render_all(crops.flatten(0, 1), numbers.flatten(0, 1), device)
