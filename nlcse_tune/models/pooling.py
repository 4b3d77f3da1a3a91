"""How token states become one sentence vector: SimCSE's poolers, and three that sentence-transformers has besides.

B sentences, T tokens, D width, L layers.
"""

import torch
from torch import Tensor

from nlcse_tune.config import Pooler

NEEDS_ALL_LAYERS = ("avg_first_last", "avg_top2")
NEEDS_FIRST_STATE = ("cls", "cls_before_pooler")  # and no other state of the last layer


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean of `states` (B, T, D) over the tokens where `mask` (B, T) is 1 -> (B, D)."""
    weights = mask.unsqueeze(-1).to(states.dtype)
    return (states * weights).sum(1) / weights.sum(1).clamp(min=1)


def pool(pooler: Pooler, states: tuple[Tensor, ...], mask: Tensor) -> Tensor:
    """One vector per sentence, before any MLP.

    `states` are the hidden states (B, T, D) of the embedding layer and each Transformer layer, or of the last alone
    where the pooler needs no other; `mask` is (B, T), padded on the right. "First" is the first Transformer layer, as
    in SimCSE's models.py; `weighted` is the mean with weights 1, 2, 3, ... by position (Muennighoff 2022, SGPT).
    """
    match pooler:
        case "cls" | "cls_before_pooler":
            return states[-1][:, 0]
        case "avg":
            return masked_mean(states[-1], mask)
        case "avg_first_last":
            return masked_mean((states[1] + states[-1]) / 2, mask)
        case "avg_top2":
            return masked_mean((states[-2] + states[-1]) / 2, mask)
        case "max":
            return states[-1].masked_fill(mask.unsqueeze(-1) == 0, -torch.inf).amax(1)
        case "last":
            return states[-1][torch.arange(len(mask), device=mask.device), mask.sum(1) - 1]
        case "weighted":
            weights = (mask * torch.arange(1, mask.shape[1] + 1, device=mask.device)).float()
            weights = (weights / weights.sum(1, keepdim=True)).to(states[-1].dtype)
            return (states[-1] * weights.unsqueeze(-1)).sum(1)
