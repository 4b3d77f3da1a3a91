"""Dropout whose masks depend on the run's seed, the step and the item, and on nothing else.

Torch draws a mask for the rows it is given, so another micro-batch or number of workers means other masks. Here
every mask is drawn for the *global* batch from a generator keyed by (seed, stream, step), and the rows at hand are
cut out of it: micro-batching and data parallelism never change results, and a gradient-cached replay sees the masks
of the first pass. 16 random bits an element instead of 32 make it faster than torch's own on a CPU (LOG.md,
2026-11-21). Under torch.compile a mask is one opaque node of the graph, so masks and their order are the eager ones.
On CUDA no mask is drawn at all: `models/fused.py` has kernels that compute them from the same three and the place.

R rows at hand (views x items), G rows of the global batch.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.library import custom_op
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import bidirectional_mask_function, sdpa_mask

from nlcse_tune.models.keyed import Attention, KeptScaled

ATTENTION = "nlcse_keyed"  # the name under which transformers finds `attention` below


@dataclass
class MaskSource:
    """Where the masks of one forward pass come from."""

    generator: torch.Generator
    rows: Tensor  # (R,) positions of the rows at hand in the global batch
    total: int  # G

    def __post_init__(self) -> None:
        self.drawn = torch.zeros((), dtype=torch.int64, device=self.rows.device)  # masks so far; see `_keep_node`
        self.fused, self.calls = _kernels(self.rows.device.type), 0
        if self.fused is not None:  # filled, because a copy from the host would wait for the device
            self.seed = torch.full((), self.generator.initial_seed(), dtype=torch.int64, device=self.rows.device)

    def key(self) -> Any:
        """What the next mask is keyed by: a `fused.Key`."""
        assert self.fused is not None
        self.calls += 1
        return self.fused.Key(self.seed, self.rows, self.calls - 1)

    def keep(self, shape: Sequence[int], p: float) -> Tensor:
        """A boolean mask of shape (R, ...), True with probability 1 - p, to within 2**-16."""
        everyone = (self.total, *shape[1:])
        size = math.prod(everyone)
        bits = torch.empty((size + 3) // 4, dtype=torch.int64, device=self.rows.device)
        bits.random_(-(2**63), None, generator=self.generator)
        halves = bits.view(torch.int16)[:size].view(everyone)
        if len(self.rows) < self.total:
            halves = halves.index_select(0, self.rows)
        return halves >= round(p * 65536) - 32768


@cache
def _kernels(device_type: str) -> ModuleType | None:
    """`models/fused.py` on a GPU whose torch brought Triton; imported only there, because it takes a second."""
    if device_type != "cuda" or find_spec("triton") is None:
        return None
    from nlcse_tune.models import fused

    return fused


_current: MaskSource | None = None


@contextmanager
def masks_from(source: MaskSource) -> Iterator[None]:
    """Within it, KeyedDropout and `attention` draw from `source`."""
    global _current
    before, _current = _current, source
    try:
        yield
    finally:
        _current = before


def current_masks() -> MaskSource | None:
    """Where masks come from now."""
    return _current


def _on_gpu() -> Any:
    """The source of masks, a MaskSource, where it has kernels for them."""
    return None if _current is None or _current.fused is None else _current


@custom_op("nlcse::keep", mutates_args=("drawn",))
def _keep_node(drawn: Tensor, shape: Sequence[int], p: float) -> Tensor:
    """`MaskSource.keep` as a node of a compiled graph."""
    # For the compiler: nodes that write one tensor are neither merged, reordered nor computed again in the backward.
    drawn += 1
    assert _current is not None
    return _current.keep(shape, p)


@_keep_node.register_fake
def _(drawn: Tensor, shape: Sequence[int], p: float) -> Tensor:
    return torch.empty(shape, dtype=torch.bool, device=drawn.device)


def _keep(shape: Sequence[int], p: float) -> Tensor:
    if _current is None:
        raise RuntimeError("a training forward pass needs `masks_from(...)` around it")
    if (source := _on_gpu()) is not None:
        return source.fused.keep_weights(shape, p, source.key())  # type: ignore[no-any-return]
    if torch.compiler.is_compiling():
        return _keep_node(_current.drawn, shape, p)  # type: ignore[no-any-return]
    return _current.keep(shape, p)


class KeyedDropout(nn.Dropout):
    """nn.Dropout that takes its masks from the surrounding `masks_from`."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return input
        if (source := _on_gpu()) is not None:
            return source.fused.dropout(input, self.p, source.key())  # type: ignore[no-any-return]
        keep, scale = _keep(input.shape, self.p), 1 / (1 - self.p)
        if torch.compiler.is_compiling():  # it fuses by itself
            return torch.where(keep, input * scale, 0.0)
        return KeptScaled.apply(input, keep, scale)  # type: ignore[no-any-return]


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, Tensor | None]:
    """Attention over (R, heads, T, width): fused, but by hand where its dropout is keyed and no kernel serves it."""
    if dropout == 0:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, is_causal=False, **kwargs
        )
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if (source := _on_gpu()) is not None and source.fused.serves(query, key, value, attention_mask):
        return source.fused.attention(query, key, value, attention_mask, dropout, scale, source.key()), None
    keep = _keep((*query.shape[:3], key.shape[2]), dropout)
    if query.device.type == "cpu" and query.dtype == torch.float32 and not torch.compiler.is_compiling():
        return Attention.apply(query, key, value, attention_mask, keep, scale, dropout), None
    scores = query @ key.transpose(2, 3) * scale
    if attention_mask is not None:
        scores = scores.masked_fill(~attention_mask, torch.finfo(scores.dtype).min)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    kept = torch.where(keep, weights, 0.0)
    mixed = (kept @ value) * (1 / (1 - dropout))  # the rescaling, on the smaller tensor
    return mixed.transpose(1, 2).contiguous(), None


def padding_mask(*, allow_is_bidirectional_skip: bool = False, **asked: Any) -> Tensor | None:
    """transformers' mask; in training it is not asked whether any token is padding, which waits for the device.

    There a mask of keys is (R, 1, 1, T), which the kernels serve.
    """
    given: Tensor | None = asked["attention_mask"]
    plain = asked["mask_function"] is bidirectional_mask_function and asked["q_length"] == asked["kv_length"]
    if _on_gpu() is not None and given is not None and plain:
        return given[:, None, None, :].bool()
    return sdpa_mask(allow_is_bidirectional_skip=allow_is_bidirectional_skip and _current is None, **asked)


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, padding_mask)


def key_dropout(model: nn.Module) -> None:
    """Makes every dropout in `model` a keyed one, that of a Transformer's attention included."""
    for module in list(model.modules()):
        if isinstance(module, PreTrainedModel):
            module.set_attn_implementation(ATTENTION)
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, KeyedDropout(child.p))
