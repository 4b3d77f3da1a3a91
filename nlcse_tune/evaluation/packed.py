"""Linear layers on a CPU with their weights packed once, for oneDNN, in place of anew for every batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nlcse_tune.evaluation.embed import Embedder
from nlcse_tune.names import Precision


@contextmanager
def packed(model: Embedder, precision: Precision) -> Iterator[None]:
    """Within it `model` embeds faster and to the same vectors, rounding aside; its weights take their memory twice.

    Nothing changes on a GPU, in bf16, or where torch lacks these operators of its compiler's, or they give something
    else: their names are no promise of torch's.
    """
    layers = [layer for layer in model.modules() if type(layer) is nn.Linear and layer.weight.dtype == torch.float32]
    if model.device.type == "cpu" and precision == "fp32" and layers and _works(layers[0]):
        for layer in layers:
            vars(layer)["forward"] = _forward(layer)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def _forward(layer: nn.Linear) -> "partial[Tensor]":
    """What the layer does, with its weights as they are now."""
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), None)
    return partial(_linear, weight, None if layer.bias is None else layer.bias.detach())


def _linear(weight: Tensor, bias: Tensor | None, inputs: Tensor) -> Tensor:
    return cast(Tensor, torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], ""))


def _works(layer: nn.Linear) -> bool:
    inputs = torch.linspace(-1, 1, 6 * layer.in_features).view(2, 3, -1)
    try:
        with torch.inference_mode():
            found, expected = _forward(layer)(inputs), F.linear(inputs, layer.weight, layer.bias)
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True)
