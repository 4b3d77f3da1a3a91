"""What workers of one run tell each other: embeddings forward, gradients back, and where to go on from.

V views, b items of this worker, B items of the global batch, D width.
"""

from collections.abc import Iterable
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


def from_leader(value: T, world_size: int, device: str) -> T:
    """The leading worker's value, on every worker."""
    if world_size == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device(device))
    return box[0]


def share(items: int, rank: int, world_size: int) -> slice:
    """Which of `items` are this worker's; shares differ by one at most."""
    small, larger = divmod(items, world_size)
    start = rank * small + min(rank, larger)
    return slice(start, start + small + (rank < larger))


def gather_embeddings(local: Tensor, items: int, world_size: int) -> Tensor:
    """(V, b, D) of each worker -> (V, B, D) of the global batch, detached; B = `items`."""
    if world_size == 1:
        return local.detach()
    views, _, width = local.shape
    sizes = [share(items, rank, world_size) for rank in range(world_size)]
    most = max(size.stop - size.start for size in sizes)
    padded = local.new_zeros(views, most, width)
    padded[:, : local.shape[1]] = local.detach()
    everyone = [torch.empty_like(padded) for _ in range(world_size)]
    dist.all_gather(everyone, padded)
    return torch.cat([part[:, : size.stop - size.start] for part, size in zip(everyone, sizes, strict=True)], dim=1)


def sum_gradients(parameters: Iterable[nn.Parameter], world_size: int) -> None:
    """Adds up each worker's share of the gradient, in place, as one flat message."""
    if world_size == 1:
        return
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    for gradient, summed in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
        gradient.copy_(summed.view_as(gradient))
