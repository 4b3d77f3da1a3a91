"""Two optimizers over one encoder: groups, schedules, clipping, and gradients that never meet."""

import math
from pathlib import Path

import pytest
import torch

from nlcse_tune.config import TextConfig
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.optim import make_optimizer, parameter_groups
from tests.training.tiny import IMAGES, build, halves, tiny

SIDE = {**IMAGES, "batch_size": 4}


def test_every_parameter_is_in_one_group_and_biases_and_layernorms_do_not_decay() -> None:
    encoder, _, _ = build(tiny(SIDE))
    decayed, exempt = parameter_groups(encoder, 0.1)
    ids = {group["weight_decay"]: {id(p) for p in group["params"]} for group in (decayed, exempt)}  # type: ignore[attr-defined]
    names = {id(p): name for name, p in encoder.named_parameters()}
    assert ids.keys() == {0.1, 0.0}
    assert sorted(names[i] for group in ids.values() for i in group) == sorted(names.values())
    for i, name in names.items():
        assert (i in ids[0.0]) == (name.endswith(".bias") or "LayerNorm" in name), name


@pytest.mark.parametrize("warmup", [0.0, 0.2])
@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_rise_over_the_warm_up_and_end_at_zero(schedule: str, warmup: float) -> None:
    steps, peak = 20, 3e-5
    rising = round(warmup * steps)
    optimizer, scheduler = make_optimizer(torch.nn.Linear(2, 2), TextConfig(warmup=warmup), schedule, steps)
    rates = []
    for _ in range(steps):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()

    def expected(step: int) -> float:
        if step < rising:
            return step / rising
        share = (step - rising) / (steps - rising)
        return 1 - share if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * share))

    assert rates == pytest.approx([peak * expected(step) for step in range(steps)])
    assert scheduler.get_last_lr()[0] == pytest.approx(0, abs=1e-12)


def test_decay_shrinks_matrices_and_leaves_biases() -> None:
    layer = torch.nn.Linear(3, 3)
    before = layer.weight.detach().clone(), layer.bias.detach().clone()
    optimizer, _ = make_optimizer(layer, TextConfig(weight_decay=0.5, learning_rate=0.1), "linear", 10)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), before[0] * (1 - 0.1 * 0.5))
    assert torch.equal(layer.bias, before[1])


def test_gradients_of_the_halves_never_mix(tmp_path: Path) -> None:
    """Each half leaves alone what only the other has, decay and moments included, and shares the layers."""
    encoder, (text, side) = halves(tiny(SIDE, text__weight_decay=0.1, side__weight_decay=0.1), RunContext(tmp_path))
    text_only = {n for n, _ in encoder.named_parameters() if n.startswith(("backbone.embeddings.", "head."))}
    side_only = {n for n, _ in encoder.named_parameters() if n.startswith("side.")}
    shared = {n for n, _ in encoder.named_parameters()} - text_only - side_only
    assert shared == {n for n, _ in encoder.named_parameters() if n.startswith("backbone.encoder.layer.")}

    def moved(half: object, step: int) -> tuple[set[str], set[str]]:
        before = {n: p.detach().clone() for n, p in encoder.named_parameters()}
        half.step(step)  # type: ignore[attr-defined]
        parameters = dict(encoder.named_parameters())
        return (
            {n for n, p in parameters.items() if not torch.equal(p, before[n])},
            {n for n, p in parameters.items() if p.grad is not None},
        )

    for step in range(2):
        changed, graded = moved(text, step)
        assert graded == text_only | shared
        assert changed <= graded
        assert "head.0.weight" in changed
        changed, graded = moved(side, step)
        assert graded == side_only | shared
        assert changed <= graded
        assert {"side.head.0.weight", "side.embedding.cls_token"} <= changed
    names = {id(p): n for n, p in encoder.named_parameters()}
    assert {names[id(p)] for p in text.optimizer.state} == text_only | shared
    assert {names[id(p)] for p in side.optimizer.state} == side_only | shared


def test_each_half_clips_its_own_gradient(tmp_path: Path) -> None:
    encoder, both = halves(tiny(SIDE, train__max_grad_norm=0.01), RunContext(tmp_path))
    for half in both:
        half.step(0)
        norm = torch.stack([p.grad.norm() for p in encoder.parameters() if p.grad is not None]).norm()
        assert float(norm) == pytest.approx(0.01, rel=1e-3)


def test_omega_scales_the_side_loss_and_its_gradient_before_clipping(tmp_path: Path) -> None:
    def step(weight: float) -> tuple[float, torch.Tensor]:
        encoder, both = halves(tiny({**SIDE, "weight": weight}, train__max_grad_norm=1e9), RunContext(tmp_path))
        loss = float(both[1].step(0))
        assert encoder.side is not None
        gradient = encoder.side.head[0].weight.grad  # type: ignore[union-attr]
        assert gradient is not None
        return loss, gradient  # type: ignore[return-value]

    (whole, gradient), (tenth, small) = step(1.0), step(0.1)
    assert tenth == pytest.approx(0.1 * whole, rel=1e-5)
    torch.testing.assert_close(small, 0.1 * gradient, rtol=1e-3, atol=1e-9)
