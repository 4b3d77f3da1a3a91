"""Every loss against values worked out here in float64, one anchor and one logarithm at a time."""

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from nlcse_tune.config import SideLoss
from nlcse_tune.evaluation import geometry
from nlcse_tune.models.losses import (
    SIDE_LOSSES,
    info_nce,
    simclr,
    supcon,
    supcon_as_released,
    supcon_khosla,
    uniformity,
)  # fmt: skip

Array = np.ndarray
N, D, TAU = 6, 5, 0.07
MIXES = {
    "all the same": [3, 3, 3, 3, 3, 3],
    "all different": [9, 2, 7, 4, 0, 5],
    "mixed": [4, 1, 4, 4, 9, 1],
    "one class but one": [2, 2, 2, 2, 2, 8],
}


def vectors(seed: int, n: int = N) -> Array:
    return np.random.default_rng(seed).normal(size=(n, D))


def cos(a: Array, b: Array) -> float:
    return float(
        sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))
    )


def info_nce_by_hand(a: Array, b: Array, hard: Array | None, tau: float, weight: float) -> float:
    """Eq. 2 and 3, a sum at a time."""
    total = 0.0
    for i in range(len(a)):
        denominator = 0.0
        for j in range(len(a)):
            denominator += math.exp(cos(a[i], b[j]) / tau)
            if hard is not None:
                denominator += math.exp(cos(a[i], hard[j]) / tau + (weight if i == j else 0.0))
        total -= math.log(math.exp(cos(a[i], b[i]) / tau) / denominator)
    return total / len(a)


def supcon_by_hand(a: Array, b: Array, labels: list[int], tau: float) -> float:
    """Eq. 4 and 6: same-class pairs over different-class pairs; nothing for an anchor with an empty denominator."""
    total = 0.0
    for i in range(len(a)):
        numerator = sum(math.exp(cos(a[i], b[j]) / tau) for j in range(len(a)) if labels[j] == labels[i])
        denominator = sum(math.exp(cos(a[i], b[j]) / tau) for j in range(len(a)) if labels[j] != labels[i])
        total += -math.log(numerator / denominator) if denominator else 0.0
    return total / len(a)


def khosla_by_hand(a: Array, b: Array, labels: list[int], tau: float) -> float:
    """L_out of Khosla et al.: outer sum over all 2N anchors i, inner over P(i), denominators over A(i)."""
    views, classes = [*a, *b], [*labels, *labels]
    total = 0.0
    for i in range(len(views)):
        others = [j for j in range(len(views)) if j != i]
        denominator = sum(math.exp(cos(views[i], views[j]) / tau) for j in others)
        positives = [j for j in others if classes[j] == classes[i]]
        total -= sum(math.log(math.exp(cos(views[i], views[j]) / tau) / denominator) for j in positives) / len(
            positives
        )
    return total / len(views)


def as_released_by_hand(a: Array, b: Array, labels: list[int], tau: float) -> float:
    """Cross-entropy whose right column is the rank of the label among the batch's sorted distinct labels."""
    ranks = {label: rank for rank, label in enumerate(sorted(set(labels)))}
    total = 0.0
    for i in range(len(a)):
        denominator = sum(math.exp(cos(a[i], b[j]) / tau) for j in range(len(a)))
        total -= math.log(math.exp(cos(a[i], b[ranks[labels[i]]]) / tau) / denominator)
    return total / len(a)


def tensors(*arrays: Array) -> list[Tensor]:
    return [torch.tensor(array) for array in arrays]


@pytest.mark.parametrize("weight", [0.0, 0.9])
@pytest.mark.parametrize("hard", [False, True])
def test_info_nce_against_worked_values(hard: bool, weight: float) -> None:
    a, b, c = vectors(0), vectors(1), vectors(2)
    expected = info_nce_by_hand(a, b, c if hard else None, 0.05, weight)
    got = info_nce(*tensors(a, b, *([c] if hard else [])), temperature=0.05, hard_negative_weight=weight)
    assert float(got) == pytest.approx(expected, rel=1e-12)


def test_simclr_against_worked_values() -> None:
    a, b = vectors(3), vectors(4)
    assert float(simclr(*tensors(a, b), temperature=TAU)) == pytest.approx(
        info_nce_by_hand(a, b, None, TAU, 0), rel=1e-12
    )


SUPERVISED = {
    "supcon": (supcon, supcon_by_hand),
    "supcon_khosla": (supcon_khosla, khosla_by_hand),
    "supcon_as_released": (supcon_as_released, as_released_by_hand),
}


@pytest.mark.parametrize("mix", MIXES)
@pytest.mark.parametrize("name", SUPERVISED)
def test_supervised_side_losses_against_worked_values(name: str, mix: str) -> None:
    function, by_hand = SUPERVISED[name]
    a, b, labels = vectors(5), vectors(6), MIXES[mix]
    got = function(*tensors(a, b), torch.tensor(labels), temperature=TAU)
    assert float(got) == pytest.approx(by_hand(a, b, labels, TAU), rel=1e-11, abs=1e-12)


def test_supcon_has_the_value_of_two_worked_items() -> None:
    """Orthogonal unit vectors, tau 1, two classes: -log(e / 1) for each anchor."""
    eye = torch.eye(2, dtype=torch.float64)
    assert float(supcon(eye, eye, torch.tensor([0, 1]), temperature=1.0)) == pytest.approx(-1.0, rel=1e-12)


def test_uniformity_against_worked_values_and_an_evaluations() -> None:
    """log E exp(-2 |x - y|^2) over pairs of different anchors, and its gradient by finite differences."""
    a = vectors(3)
    pairs = [math.exp(-2 * (2 - 2 * cos(a[i], a[j]))) for i in range(N) for j in range(N) if i != j]
    got = uniformity(torch.from_numpy(a))
    assert float(got) == pytest.approx(math.log(sum(pairs) / len(pairs)), abs=1e-12)
    units = a / np.linalg.norm(a, axis=1, keepdims=True)
    assert float(got) == pytest.approx(geometry.uniformity(units.astype(np.float32)), abs=1e-5)
    assert torch.autograd.gradcheck(uniformity, torch.from_numpy(a).requires_grad_())


def test_side_loss_finds_each_loss_by_its_name() -> None:
    a, b, labels = *tensors(vectors(5), vectors(6)), torch.tensor(MIXES["mixed"])
    assert set(SIDE_LOSSES) == set(get_args(SideLoss))
    assert SIDE_LOSSES["simclr"](a, b, labels, temperature=TAU) == simclr(a, b, temperature=TAU)
    for name, (function, _) in SUPERVISED.items():
        assert SIDE_LOSSES[name] is function  # type: ignore[index]


def cases(labels: list[int]) -> dict[str, Callable[..., Tensor]]:
    classes = torch.tensor(labels)
    return {
        "info_nce": partial(info_nce, temperature=0.3),
        "hard negatives": lambda a, b: info_nce(a, b, a.flip(0) * 2 + b, temperature=0.3, hard_negative_weight=0.5),
        "simclr": partial(simclr, temperature=0.3),
        **{name: partial(function, labels=classes, temperature=0.3) for name, (function, _) in SUPERVISED.items()},
    }


@pytest.mark.parametrize("name", cases([0]))
@pytest.mark.parametrize("mix", MIXES)
def test_gradients_by_gradcheck(name: str, mix: str) -> None:
    a, b = (t.requires_grad_() for t in tensors(vectors(7), vectors(8)))
    assert torch.autograd.gradcheck(cases(MIXES[mix])[name], (a, b))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", cases([0]))
@pytest.mark.parametrize("mix", [*MIXES, "one item"])
def test_losses_and_gradients_are_finite_for_every_mix_of_labels(name: str, mix: str, dtype: torch.dtype) -> None:
    labels = MIXES.get(mix, [3])
    for a, b in (
        (vectors(9, len(labels)), vectors(10, len(labels))),
        (np.ones((len(labels), D)), np.ones((len(labels), D))),  # a collapsed encoder
    ):
        views = [torch.tensor(array, dtype=dtype, requires_grad=True) for array in (a, b)]
        function = cases(labels)[name]
        loss = function(*views)
        loss.backward()  # type: ignore[no-untyped-call]
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)
        for view in views:
            assert view.grad is not None
            assert torch.isfinite(view.grad).all()


def test_losses_do_not_depend_on_the_length_of_the_vectors() -> None:
    a, b = tensors(vectors(11), vectors(12))
    for name, function in cases(MIXES["mixed"]).items():
        if name != "hard negatives":
            assert float(function(a * 7, b * 0.1)) == pytest.approx(float(function(a, b)), rel=1e-10), name
