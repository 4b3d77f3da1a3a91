"""Two optimizers over the same parameters, each with its own moments and schedule (Algorithm 1)."""

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler
from transformers import get_scheduler

from nlcse_tune.config import SideConfig, TextConfig


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Every parameter once: matrices and tables with decay, biases and LayerNorm without."""
    norms = {id(p) for module in model.modules() if isinstance(module, nn.LayerNorm) for p in module.parameters()}
    exempt = [p for name, p in model.named_parameters() if id(p) in norms or name.endswith("bias")]
    exempt_ids = {id(p) for p in exempt}
    decayed = [p for p in model.parameters() if id(p) not in exempt_ids]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": exempt, "weight_decay": 0.0}]


def make_optimizer(
    model: nn.Module, config: TextConfig | SideConfig, schedule: str, steps: int
) -> tuple[torch.optim.Optimizer, LRScheduler]:
    """AdamW over all of `model`, fused where the device has it, and its `schedule` (linear, cosine) to zero.

    A parameter that a half never touches has no gradient there, and AdamW leaves it, its decay and its moments
    alone: the two halves meet only in the parameters that they share.
    """
    fused = next(model.parameters()).device.type in ("cpu", "cuda")
    groups = parameter_groups(model, config.weight_decay)
    optimizer = torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.999), eps=1e-8, fused=fused)
    return optimizer, get_scheduler(schedule, optimizer, round(config.warmup * steps), steps)
