"""Dropout and attention under masks that are given, without what a graph of elementary steps would keep or pass over.

R rows, H heads, T states that look, S that are looked at, W width of a head.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

BLOCK = 2**16  # weights (elements) that are held at a time: a core's cache holds them


class KeptScaled(torch.autograd.Function):
    """`x` times `scale` where `keep` says so, zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, keep: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(keep)
        ctx.scale = scale
        return _kept(x, keep).mul_(scale)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return _kept(gradient, *ctx.saved_tensors).mul_(ctx.scale), None, None


class Attention(torch.autograd.Function):
    """softmax(q k' scale) with dropout, times v: a few rows at a time, their weights made again in the backward."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None, keep: Tensor, scale: float, p: float
    ) -> Tensor:
        """(R, H, T, W), (R, H, S, W) twice, `seen` broadcast to and `keep` (R, H, T, S) -> (R, T, H, W)."""
        ctx.save_for_backward(query, key, value, seen, keep)
        ctx.scale, ctx.rescale = scale, 1 / (1 - p)
        out = query.new_empty(query.shape[0], query.shape[2], query.shape[1], query.shape[3])
        for rows in _blocks(keep):
            weights = _weights(query[rows], key[rows], None if seen is None else seen[rows], scale)
            mixed = _kept(weights, keep[rows]) @ value[rows]
            torch.mul(mixed.transpose(1, 2), ctx.rescale, out=out[rows])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, seen, keep = ctx.saved_tensors
        of_query, of_key, of_value = (torch.empty_like(tensor) for tensor in (query, key, value))
        for rows in _blocks(keep):
            q, k = query[rows], key[rows]
            weights = _weights(q, k, None if seen is None else seen[rows], ctx.scale)
            of_mixed = gradient[rows].transpose(1, 2) * ctx.rescale
            of_value[rows] = _kept(weights, keep[rows]).transpose(2, 3) @ of_mixed
            of_weights = _kept(of_mixed @ value[rows].transpose(2, 3), keep[rows])
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype).mul_(ctx.scale)
            of_query[rows] = of_scores @ k
            of_key[rows] = of_scores.transpose(2, 3) @ q
        return of_query, of_key, of_value, None, None, None, None


def _blocks(keep: Tensor) -> Iterator[slice]:
    rows = max(1, BLOCK // keep[0].numel())
    return (slice(start, start + rows) for start in range(0, len(keep), rows))


def _weights(query: Tensor, key: Tensor, seen: Tensor | None, scale: float) -> Tensor:
    scores = query @ key.transpose(2, 3)
    scores *= scale
    if seen is not None:
        scores.masked_fill_(~seen, torch.finfo(scores.dtype).min)
    return scores.softmax(-1)


def _kept(x: Tensor, keep: Tensor) -> Tensor:
    """Zero where `keep` is not. As bytes: a product with booleans takes twice as long, `where` four times (LOG.md)."""
    return x * keep.view(torch.uint8)
