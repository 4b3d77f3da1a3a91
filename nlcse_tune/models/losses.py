"""The contrastive losses of the paper: pure functions of tensors, mean over anchors.

B items of a global batch, D width. Every similarity is a cosine, divided by the temperature tau.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from nlcse_tune import plugins


def cosines(left: Tensor, right: Tensor, temperature: float) -> Tensor:
    """sim(left_i, right_j) / tau, (B, D) and (B, D) -> (B, B); computed in at least fp32."""
    dtype = torch.promote_types(left.dtype, torch.float32)
    return F.normalize(left.to(dtype), dim=-1) @ F.normalize(right.to(dtype), dim=-1).T / temperature


def info_nce(
    view1: Tensor,
    view2: Tensor,
    hard_negatives: Tensor | None = None,
    *,
    temperature: float,
    hard_negative_weight: float = 0.0,
) -> Tensor:
    """Text loss: Eq. 2, or Eq. 3 where `hard_negatives` are given. All (B, D) -> scalar.

    Row i of `view2` is the positive of anchor `view1[i]`; its other rows and all of `hard_negatives` are negatives.
    `hard_negative_weight` is added to the logit of an anchor's *own* hard negative, as SimCSE's option does.
    """
    logits = cosines(view1, view2, temperature)  # (B, B)
    if hard_negatives is not None:
        hard = cosines(view1, hard_negatives, temperature)  # (B, B)
        own = torch.eye(len(hard), dtype=hard.dtype, device=hard.device)
        logits = torch.cat([logits, hard + hard_negative_weight * own], dim=1)  # (B, 2B)
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def uniformity(vectors: Tensor) -> Tensor:
    """L_uniform of Wang & Isola 2020 with t = 2, over the distinct pairs of a batch: (B, D) -> scalar.

    log E exp(-2 |x - y|^2) of vectors of length 1, at most 0; the lower, the more uniformly they lie.
    """
    similar = cosines(vectors, vectors, 1.0)  # |x - y|^2 = 2 - 2 cos
    others = (4 * similar - 4).fill_diagonal_(-torch.inf)
    return others.logsumexp((0, 1)) - math.log(len(vectors) * (len(vectors) - 1))


def simclr(view1: Tensor, view2: Tensor, labels: Tensor | None = None, *, temperature: float) -> Tensor:
    """Eq. 5 (images) and Eq. 7 (audio): (B, D), (B, D) -> scalar. Eq. 2 with the side's tau; labels play no part."""
    return info_nce(view1, view2, temperature=temperature)


def supcon(view1: Tensor, view2: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Eq. 4 (images) and Eq. 6 (audio): (B, D), (B, D), (B,) -> scalar.

    The numerator sums the anchor's own second view and all second views of its class; the denominator sums the
    second views of *other* classes only, so the loss can be negative. The paper leaves open what an anchor gives
    whose class fills the batch (its denominator is empty): here 0, and the mean stays over all B anchors.
    """
    logits = cosines(view1, view2, temperature)
    same = labels[:, None] == labels[None, :]  # the diagonal is the anchor's own pair
    has_negative = ~same.all(dim=1)
    lowest = torch.finfo(logits.dtype).min
    positive = torch.logsumexp(logits.masked_fill(~same, lowest), dim=1)
    # An anchor without negatives gets a finite stand-in before `where` drops it: a NaN there would leak
    # through the gradient of the branch not taken.
    negative = torch.logsumexp(logits.masked_fill(same & has_negative[:, None], lowest), dim=1)
    return torch.where(has_negative, negative - positive, torch.zeros_like(positive)).mean()


def supcon_khosla(view1: Tensor, view2: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """L_out of Khosla et al. 2020 (Eq. 2 there): (B, D), (B, D), (B,) -> scalar.

    All 2B views are anchors; positives are the other views of the anchor's class, averaged *outside* the log;
    the denominator is every view but the anchor itself.
    """
    views = torch.cat([view1, view2])  # (2B, D)
    logits = cosines(views, views, temperature)
    itself = torch.eye(len(views), dtype=torch.bool, device=views.device)
    classes = torch.cat([labels, labels])
    positives = (classes[:, None] == classes[None, :]) & ~itself  # never empty: the other view is one
    log_probability = logits - torch.logsumexp(logits.masked_fill(itself, -torch.inf), dim=1, keepdim=True)
    mean_positive = log_probability.masked_fill(~positives, 0).sum(1) / positives.sum(1)
    return -mean_positive.mean()


def supcon_as_released(view1: Tensor, view2: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """What the released code computes under `--new_supcon`: (B, D), (B, D), (B,) -> scalar.

    It takes the rank of an anchor's label among the batch's sorted distinct labels as the *column* that cross-entropy
    should find: the position of an item that is of the anchor's class only by accident (3.6% of anchors with 60
    classes and B = 48; the anchor's own second view still rarer). Kept to reproduce the paper's tables.
    """
    logits = cosines(view1, view2, temperature)
    # By counting the smaller ones where they stand first: `torch.unique` waits for the device to know its size.
    first = ~(labels[:, None] == labels[None, :]).tril(-1).any(1)
    rank = ((labels[None, :] < labels[:, None]) & first).sum(1)
    return F.cross_entropy(logits, rank)


SIDE_LOSSES: dict[str, Callable[..., Tensor]] = {
    "simclr": simclr, "supcon": supcon, "supcon_khosla": supcon_khosla, "supcon_as_released": supcon_as_released,
}  # fmt: skip


def side_loss(name: str) -> Callable[..., Tensor]:
    """A side loss by its name in a study: one of SIDE_LOSSES, or an installed package's, which is imported."""
    return SIDE_LOSSES[name] if name in SIDE_LOSSES else _watched(plugins.find("side.loss", name))


def _watched(plugin: plugins.Plugin) -> Callable[..., Tensor]:
    """A package's loss. RunError, which names it, where it raises or returns what no run can go on with."""
    function, rule = plugin.load(), "must return one finite number with a gradient"

    def loss(view1: Tensor, view2: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
        with plugin.blamed():
            value = function(view1, view2, labels, temperature=temperature)
        if not isinstance(value, Tensor) or value.shape != ():
            got = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise plugin.wrong(rule, got)
        if not value.isfinite():
            raise plugin.wrong(rule, f"{value.item():g}")
        if not value.requires_grad:
            raise plugin.wrong(rule, "one without a gradient")
        return value

    return loss
