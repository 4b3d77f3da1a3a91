"""Driving the layers of a BERT-like encoder by their parts, so that nothing is computed that nobody reads.

Two savings, and neither changes what comes out. Where only the first state of each row is read, the last layer is
asked for that one alone: of its products with weights only the keys and values stay whole, 2 in 12. And on a CPU
sentences are trained without their padding, under the dropout masks of the padded batch.

R rows, T states of each, N states that are not padding, D width.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from nlcse_tune.models.dropout import MaskSource, attention, current_masks, masks_from


@dataclass(frozen=True)
class Packing:
    """Where in a padded batch the states are that are not padding, and the masks of its rows."""

    places: Tensor  # (N,) row * T + position, rising
    rows: int  # R
    width: int  # T
    source: MaskSource

    @classmethod
    def of(cls, mask: Tensor, source: MaskSource) -> "Packing":
        rows, width = mask.shape
        return cls(mask.flatten().nonzero().squeeze(1), rows, width, source)

    @property
    def positions(self) -> Tensor:
        """(N,) of each state in its row."""
        return self.places % self.width

    def packed(self, states: Tensor) -> Tensor:
        """(R, T, D) -> (N, D)."""
        return states.flatten(0, 1).index_select(0, self.places)

    def padded(self, states: Tensor) -> Tensor:
        """(N, D) -> (R, T, D), zero where there is padding."""
        whole = states.new_zeros(self.rows * self.width, states.shape[-1])
        return whole.index_copy(0, self.places, states).view(self.rows, self.width, -1)

    def firsts(self, states: Tensor) -> Tensor:
        """(N, D) -> the first of each row, (R, 1, D)."""
        return states[(self.positions == 0).nonzero()]

    @contextmanager
    def masks_of_states(self) -> Iterator[None]:
        """Within it, masks are drawn as for (R, T, ...) and cut to (N, ...)."""
        columns = torch.arange(self.width)
        places = (self.source.rows[:, None] * self.width + columns).flatten()[self.places]
        with masks_from(MaskSource(self.source.generator, places, self.source.total * self.width)):
            yield


def first_states(layers: Any, states: Tensor) -> Tensor:
    """Through a stack's layers, nothing masked: (R, T, D) -> the first state of each row, (R, D)."""
    *below, last = layers.layer
    for layer in below:
        states = _layer(layer, states, states)
    return _layer(last, states[:, :1], states)[:, 0]


def text_states(backbone: PreTrainedModel, ids: Tensor, mask: Tensor, *, first_alone: bool) -> Tensor:
    """Sentences through a whole encoder: (R, T), (R, T) -> its last states, (R, T, D), or the first of each, (R, 1, D).

    Trained on a CPU they go without their padding; elsewhere the host would have to wait for the device to find it.
    """
    source = current_masks() if backbone.training and ids.device.type == "cpu" else None
    packing = Packing.of(mask, source) if source and not torch.compiler.is_compiling() else None
    seen = _seen(mask)
    *below, last = backbone.encoder.layer  # type: ignore[union-attr, misc]
    with packing.masks_of_states() if packing else nullcontext():
        states = _embedded(backbone, ids, packing)
        for layer in below if first_alone else [*below, last]:
            states = _layer(layer, states, states, seen, packing)
    if not first_alone:
        return packing.padded(states) if packing else states
    if packing is None:
        return _layer(last, states[:, :1], states, seen)
    return _layer(last, packing.firsts(states), packing.padded(states), seen)


def _seen(mask: Tensor) -> Tensor | None:
    """What attention may look at, (R, 1, 1, T); None where that is all, if it costs nothing to know."""
    if mask.device.type == "cpu" and not torch.compiler.is_compiling() and bool(mask.all()):
        return None
    return mask[:, None, None, :].bool()


def _embedded(backbone: Any, ids: Tensor, packing: Packing | None) -> Tensor:
    """The states below the first layer, (R, T, D) or (N, D)."""
    if packing is None:
        states: Tensor = backbone.embeddings(input_ids=ids)
    else:
        first = backbone.embeddings.position_embeddings.padding_idx  # RoBERTa and its kin count from here + 1
        positions = packing.positions + (0 if first is None else first + 1)
        states = backbone.embeddings(input_ids=packing.packed(ids[..., None]), position_ids=positions[:, None])[:, 0]
    return backbone.embeddings_project(states) if hasattr(backbone, "embeddings_project") else states  # ELECTRA's


def _layer(
    layer: Any, asked: Tensor, states: Tensor, seen: Tensor | None = None, packing: Packing | None = None
) -> Tensor:
    """What one layer makes of the states `asked`, which look at all `states` that are `seen`."""
    own = layer.attention.self
    mixed = _mixed(own, (own.query(asked), own.key(states), own.value(states)), seen, packing)
    between = layer.attention.output(mixed, asked)
    return layer.output(layer.intermediate(between), between)  # type: ignore[no-any-return]


def _mixed(own: Any, of: tuple[Tensor, ...], seen: Tensor | None, packing: Packing | None) -> Tensor:
    """The attention of all heads, each row to itself, from queries, keys and values."""
    if packing is not None:
        with masks_from(packing.source):
            return packing.packed(_mixed(own, tuple(map(packing.padded, of)), seen, None))
    query, key, value = (tensor.view(*tensor.shape[:2], own.num_attention_heads, -1).transpose(1, 2) for tensor in of)
    mixed, _ = attention(own, query, key, value, seen, dropout=own.dropout.p if own.training else 0.0)
    return mixed.flatten(2)
