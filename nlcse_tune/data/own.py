"""A modality of one's own: what an installed package announces, as the loop takes side data (docs/own-method.md).

V = 2 views of each item, C channels, H x W pixels.
"""

import numpy as np
import torch
from torch import Tensor

from nlcse_tune import plugins
from nlcse_tune.config import SideConfig
from nlcse_tune.data.side import VIEWS, Room, SideData, sent
from nlcse_tune.errors import RunError


class OwnData(SideData):
    """The items of a package's class. RunError, which names it, where it raises or gives what it must not."""

    def __init__(self, config: SideConfig) -> None:
        self.plugin, make, self.shape, _ = plugins.own_side(config.modality)
        with self.plugin.blamed():
            self.items = make(config.data)
            labels = np.asarray(self.items.labels)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise self.plugin.wrong("`labels` must be whole numbers (N,)", f"{labels.dtype} {labels.shape}")
        self.labels = labels.astype(np.int64)

    def render(self, item: int, rng: np.random.Generator, out: Tensor) -> None:
        with self.plugin.blamed():
            views = torch.as_tensor(self.items.views(item, rng)).detach()
        if views.shape != out.shape:
            raise self._wrong(out, tuple(views.shape))
        if views.is_complex():
            raise self._wrong(out, "complex ones")
        out.copy_(views)
        if not out.isfinite().all():  # now that 1e300 has become infinite
            raise self._wrong(out, f"numbers that are not, as {out.dtype}")

    def _wrong(self, out: Tensor, got: object) -> RunError:
        return self.plugin.wrong(f"`views` must give finite numbers {tuple(out.shape)}", got)

    def room(self, items: int, *, pinned: bool) -> Room:
        """The views (V, items, C, H, W)."""
        return (torch.empty(VIEWS, items, *self.shape, pin_memory=pinned),)

    def fill(self, room: Room, place: int, item: int, rng: np.random.Generator) -> None:
        self.render(item, rng, room[0][:, place])

    def render_all(self, room: Room, device: torch.device | str) -> Tensor:
        return sent(room[0].flatten(0, 1), device)
