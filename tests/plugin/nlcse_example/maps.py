import numpy as np
import torch
from torch import Tensor


class Maps:
    """Labelled maps of 32 x 32 numbers in an .npz file."""

    shape = (1, 32, 32)  # channels, height, width of a view
    patch = 8  # height and width of what the embedding takes as one token

    def __init__(self, data: str) -> None:
        with np.load(data) as file:
            self.maps, self.labels = file["maps"], file["labels"]

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """Two random shifts of a map, (2, 1, 32, 32)."""
        shifts = rng.integers(32, size=(2, 2))
        views = [np.roll(self.maps[item], shift, axis=(0, 1)) for shift in shifts]
        return torch.from_numpy(np.stack(views)[:, None])
