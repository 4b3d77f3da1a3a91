"""Keyed dropout and attention on CUDA: the Triton kernels of `models/kernels.py`, launched and given gradients.

A mask is a function of the seed of the forward pass, the number of the mask within it, the row's number in the global
batch and the place within the row (`Key`): rows at hand, micro-batches and workers change nothing. Attention's weights
never exist as a tensor; what is kept of them for the backward is a bit for each and the log of each query's sum, and
of other dropouts nothing. Under torch.compile each launch is one opaque node of the graph.

R rows at hand, H heads, T queries and S keys of a row, D width of a head, W bytes of a query's mask.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor
from torch.library import custom_op

from nlcse_tune.models import kernels

LOG2_E = 1.4426950408889634
WIDTHS = (16, 32, 64, 128)  # of a head, that the attention kernels serve
TYPES = (torch.bfloat16, torch.float16, torch.float32)
OLDEST = (8, 0)  # compute capability: on an older card's matrix units the compiler makes nothing good of them
BITS_BLOCK = 1024


class Key(NamedTuple):
    """What a mask is keyed by, beside the place of an element within its row."""

    seed: Tensor  # () int64 on the device, where no launch waits for it
    rows: Tensor  # (R,) int64, numbers of the rows at hand in the global batch
    call: int  # how many masks the forward pass drew before


class Tiles(NamedTuple):
    """How the work on one head is cut up; so cut, compiled kernels spill next to no register (LOG.md, 2026-11-22)."""

    queries: int
    keys: int
    keys_with_sums: int  # of `attention_keys`, which holds two sums for each
    warps: int
    precision: str  # of fp32 products

    @classmethod
    def of(cls, keys: int, width: int, dtype: torch.dtype, capability: tuple[int, int]) -> "Tiles":
        if dtype == torch.float32:
            exact = torch.get_float32_matmul_precision() == "highest"
            return cls(32, 32, 32, 8 if exact else 4, "ieee" if exact else "tf32")
        if keys <= 32:
            return cls(32, 32, 32, 4, "ieee")
        return cls(64, 64, 64 if capability >= (9, 0) else 32, 4 if width <= 64 else 8, "ieee")


def threshold(p: float) -> int:
    """Which of 65,536 numbers drop an element: those below."""
    return round(p * 65536)


def lanes(keys: int) -> int:
    """W: a power of two that is at least `keys` / 8."""
    return int(triton.next_power_of_2(-(-keys // 8)))


def capability(device: torch.device) -> tuple[int, int]:
    """The card's compute capability; that of the newest kind served for a CPU, where kernels are interpreted."""
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (9, 0)


def stages(dtype: torch.dtype) -> int:
    """Tiles that are on their way at a time."""
    return 1 if dtype == torch.float32 else 2


def _launch(kernel: Any, grid: tuple[int, int], on: Tensor, *arguments: Any, **options: Any) -> None:
    with torch.cuda.device_of(on):  # type: ignore[no-untyped-call]
        kernel[grid](*arguments, **options)


# --- what is launched; under torch.compile as a node of the graph ---------------------------------------------------


def _dropout(x: Tensor, seed: Tensor, rows: Tensor, call: int, p: float) -> Tensor:
    x = x.contiguous()
    out = torch.empty_like(x)
    size = x.numel() // len(x)
    grid = (len(x), triton.cdiv(size, 8 * kernels.LANES.value))
    _launch(kernels.dropout, grid, x, x, out, seed, rows, size, call, threshold(p), 1 / (1 - p))
    return out


def _keep_bits(seed: Tensor, rows: Tensor, call: int, p: float, heads: int, queries: int, keys: int) -> Tensor:
    bits = torch.empty(len(rows), heads, queries, lanes(keys), dtype=torch.uint8, device=rows.device)
    size = queries * lanes(keys)
    grid = (len(rows) * heads, triton.cdiv(size, BITS_BLOCK))
    _launch(kernels.keep_bits, grid, rows, bits, seed, rows, size, call, threshold(p), heads, BITS_BLOCK)
    return bits


def _attend(q: Tensor, k: Tensor, v: Tensor, pad: Tensor | None, bits: Tensor, p: float, scale: float) -> list[Tensor]:
    """Out (R, T, H, D), and the log2 of each query's sum (R, H, T)."""
    rows, queries, heads, width = q.shape
    tiles = Tiles.of(k.shape[1], width, q.dtype, capability(q.device))
    out, lse = torch.empty_like(q), torch.empty(rows, heads, queries, dtype=torch.float32, device=q.device)
    _launch(
        kernels.attention_forward, (rows * heads, triton.cdiv(queries, tiles.queries)), q,
        q, k, v, pad, bits, out, lse, queries, k.shape[1], scale * LOG2_E, 1 / (1 - p),
        heads, width, bits.shape[-1], tiles.queries, tiles.keys, pad is not None, tiles.precision,
        num_warps=tiles.warps, num_stages=stages(q.dtype),
    )  # fmt: skip
    return [out, lse]


def _attend_backward(
    grad: Tensor, q: Tensor, k: Tensor, v: Tensor, pad: Tensor | None, bits: Tensor, out: Tensor, lse: Tensor,
    p: float, scale: float,
) -> list[Tensor]:  # fmt: skip
    """dL/dq (R, T, H, D), dL/dk and dL/dv (R, S, H, D)."""
    (rows, queries, heads, width), keys = q.shape, k.shape[1]
    tiles = Tiles.of(keys, width, q.dtype, capability(q.device))
    grad, delta = grad.contiguous(), torch.empty_like(lse)
    dq, dk, dv = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    shape, last = (heads, width, bits.shape[-1], tiles.queries), (pad is not None, tiles.precision)
    factors = (queries, keys, scale * LOG2_E, 1 / (1 - p), scale)
    _launch(
        kernels.attention_queries, (rows * heads, triton.cdiv(queries, tiles.queries)), q,
        q, k, v, pad, bits, out, grad, lse, delta, dq, *factors, *shape, tiles.keys, *last,
        num_warps=tiles.warps, num_stages=stages(q.dtype),
    )  # fmt: skip
    _launch(
        kernels.attention_keys, (rows * heads, triton.cdiv(keys, tiles.keys_with_sums)), q,
        q, k, v, pad, bits, grad, lse, delta, dk, dv, *factors, *shape, tiles.keys_with_sums, *last,
        num_warps=tiles.warps, num_stages=stages(q.dtype),
    )  # fmt: skip
    return [dq, dk, dv]


def _node(launch: Callable[..., Any], outputs: Callable[..., Any]) -> Callable[..., Any]:
    """`launch`, or in a graph that is being compiled its node; `outputs` gives tensors of the same shapes and types."""
    operator = custom_op(f"nlcse::{launch.__name__.strip('_')}", launch, mutates_args=())
    operator.register_fake(outputs)
    return lambda *arguments: (operator if torch.compiler.is_compiling() else launch)(*arguments)


dropped = _node(_dropout, lambda x, *_: torch.empty_like(x, memory_format=torch.contiguous_format))
keep_bits = _node(
    _keep_bits,
    lambda seed, rows, call, p, heads, queries, keys: rows.new_empty(
        len(rows), heads, queries, lanes(keys), dtype=torch.uint8
    ),
)
attend = _node(
    _attend, lambda q, *_: [torch.empty_like(q), q.new_empty(q.shape[0], q.shape[2], q.shape[1], dtype=torch.float32)]
)
attend_backward = _node(_attend_backward, lambda grad, q, k, v, *_: [torch.empty_like(x) for x in (q, k, v)])


# --- with gradients ------------------------------------------------------------------------------------------------


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, seed: Tensor, rows: Tensor, call: int, p: float) -> Tensor:
        ctx.save_for_backward(seed, rows)
        ctx.call, ctx.p = call, p
        return dropped(x, seed, rows, call, p)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return dropped(grad, *ctx.saved_tensors, ctx.call, ctx.p), None, None, None, None


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, q: Tensor, k: Tensor, v: Tensor, pad: Tensor | None, bits: Tensor, p: float, scale: float
    ) -> Tensor:
        out, lse = attend(q, k, v, pad, bits, p, scale)
        ctx.save_for_backward(q, k, v, pad, bits, out, lse)
        ctx.p, ctx.scale = p, scale
        return out  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return *attend_backward(grad, *ctx.saved_tensors, ctx.p, ctx.scale), None, None, None, None


def dropout(x: Tensor, p: float, key: Key) -> Tensor:
    """`x` (R, ...), each element dropped with probability p, else divided by 1 - p."""
    return _Dropout.apply(x, *key, p)  # type: ignore[no-any-return]


def keep_weights(shape: torch.Size, p: float, key: Key) -> Tensor:
    """The mask of attention weights (R, H, queries, keys) that the kernels see, True with probability 1 - p."""
    bits: Tensor = keep_bits(*key, p, *shape[1:])  # (R, H, queries, W)
    number = torch.arange(8, dtype=torch.uint8, device=bits.device)[:, None]
    return ((bits[..., None, :] >> number) & 1).bool().flatten(-2)[..., : shape[-1]]


def serves(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> bool:
    """Whether `attention` is to be had for (R, H, T or S, D) and a mask of the keys, (R, 1, 1, S), or none."""
    rows, heads, keys, width = k.shape
    alike = k.shape == v.shape and (len(q), q.shape[1], q.shape[3]) == (rows, heads, width)
    alike = alike and q.dtype == k.dtype == v.dtype and q.dtype in TYPES
    of_keys = mask is None or (mask.dtype == torch.bool and mask.shape == (rows, 1, 1, keys))
    if not (alike and of_keys and width in WIDTHS and capability(q.device) >= OLDEST):
        return False
    return lanes(keys) <= Tiles.of(keys, width, q.dtype, capability(q.device)).keys


def attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, p: float, scale: float, key: Key) -> Tensor:
    """softmax(q k^T * scale), its weights dropped with probability p, times v: -> (R, T, H, D).

    `q` is (R, H, T, D), `k` and `v` (R, H, S, D). `mask` (R, 1, 1, S) is False where a key is padding; a row has at
    least one key.
    """
    pad = None if mask is None else mask.flatten(1).to(torch.uint8)
    bits = keep_bits(*key, p, q.shape[1], q.shape[2], k.shape[2])
    by_position = (x.transpose(1, 2).contiguous() for x in (q, k, v))
    return _Attention.apply(*by_position, pad, bits, p, scale)  # type: ignore[no-any-return]
