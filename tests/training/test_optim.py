"""Two optimizers over one encoder: groups, schedules, clipping, and gradients that never meet."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from nlcse_tune.config import Optimizers, TextConfig
from nlcse_tune.models.losses import info_nce, supcon
from nlcse_tune.records import RunRecord
from nlcse_tune.run import run_one
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.halves import TAKE_STEP
from nlcse_tune.training.optim import make_optimizer, parameter_groups
from tests.training.tiny import IMAGES, SEED, build, halves, tiny

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
    side_only = {n for n, _ in encoder.named_parameters() if n.startswith("sides.")}
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
        assert {"sides.0.head.0.weight", "sides.0.embedding.cls_token"} <= changed
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
        assert len(encoder.sides) == 1
        gradient = encoder.sides[0].head[0].weight.grad  # type: ignore[union-attr, index]
        assert gradient is not None
        return loss, gradient  # type: ignore[return-value]

    (whole, gradient), (tenth, small) = step(1.0), step(0.1)
    assert tenth == pytest.approx(0.1 * whole, rel=1e-5)
    torch.testing.assert_close(small, 0.1 * gradient, rtol=1e-3, atol=1e-7)


def change(encoder: torch.nn.Module, before: dict[str, torch.Tensor]) -> torch.Tensor:
    """What a step did to the layers that both halves share, as one vector."""
    shared = [n for n in before if n.startswith("backbone.encoder.layer.")]
    now = dict(encoder.named_parameters())
    return torch.cat([(now[n].detach() - before[n]).flatten() for n in shared])


def after_steps(optimizers: Optimizers, weight: float, folder: Path, steps: int = 3) -> torch.Tensor:
    config = tiny({**SIDE, "weight": weight, "learning_rate": 3e-5}, train__optimizers=optimizers)
    encoder, both = halves(config, RunContext(folder))
    before = {n: p.detach().clone() for n, p in encoder.named_parameters()}
    for step in range(steps):
        TAKE_STEP[optimizers](both, step)
    return change(encoder, before)


def cosine(left: torch.Tensor, right: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(left, right, dim=0))


def test_omega_is_nearly_inert_under_two_optimizers_and_not_under_one(tmp_path: Path) -> None:
    two = [after_steps("two", weight, tmp_path) for weight in (0.05, 1.0, 100.0)]
    one = [after_steps("one", weight, tmp_path) for weight in (0.05, 1.0, 100.0)]
    assert min(cosine(two[0], two[1]), cosine(two[1], two[2])) > 0.999
    assert max(cosine(one[0], one[1]), cosine(one[1], one[2])) < 0.9


@pytest.mark.parametrize("changes", [{}, {"train__micro_batch": 3}], ids=["whole", "micro-batches"])
def test_one_optimizer_takes_the_gradient_of_the_sum(changes: dict[str, Any], tmp_path: Path) -> None:
    """Against plain autograd of L_text + omega L_side, with torch's own AdamW at the text's rate; dropout off."""
    config = tiny(
        {**SIDE, "weight": 0.3, "learning_rate": 1.0}, train__optimizers="one", encoder__dropout=0.0,
        train__max_grad_norm=0.5, text__weight_decay=0.1, **changes,
    )  # fmt: skip
    assert config.side is not None
    encoder, both = halves(config, RunContext(tmp_path))
    plain, _, _ = build(config)
    optimizer = torch.optim.AdamW(parameter_groups(plain, 0.1), lr=3e-5)
    clear = {name: torch.ones_like(p, dtype=torch.bool) for name, p in plain.named_parameters()}
    for step in range(3):
        TAKE_STEP["one"](both, step)
        text, images = both[0].load(step), both[1].load(step)
        vectors = torch.unflatten(plain(*text), 0, (2, -1))
        side = torch.unflatten(plain.forward_side(images), 0, (2, -1))
        labels = torch.from_numpy(both[1].data.labels[both[1].order[step]])  # type: ignore[attr-defined]
        loss = info_nce(*vectors, temperature=0.05) + 0.3 * supcon(*side, labels, temperature=0.07)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.5)
        for (name, got), expected in zip(encoder.named_parameters(), plain.parameters(), strict=True):
            assert (got.grad is None) == (expected.grad is None), name
            if got.grad is not None:
                torch.testing.assert_close(got.grad, expected.grad, rtol=1e-3, atol=2e-6)
                clear[name] &= expected.grad.abs() > 1e-4  # type: ignore[union-attr]  # not rounding, which Adam blows up
        for group in optimizer.param_groups:
            group["lr"] = 3e-5 * (1 - step / 10)  # of ten steps
        optimizer.step()
        for (name, got), expected in zip(encoder.named_parameters(), plain.parameters(), strict=True):
            torch.testing.assert_close(got[clear[name]], expected[clear[name]], rtol=0, atol=1e-6)
        assert sum(int(known.sum()) for known in clear.values()) > 1000
        plain.load_state_dict(encoder.state_dict())  # so that rounding does not add up
    assert not both[1].optimizer.state


def test_a_killed_run_with_one_optimizer_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    config = tiny(
        {**IMAGES, "batch_size": 4, "weight": 10.0}, train__optimizers="one", train__max_steps=6, train__eval_every=2,
        train__checkpoint_every=3, text__learning_rate=1e-3,
    )  # fmt: skip
    whole = run_one(config, SEED, RunContext(tmp_path / "whole"))

    def killing(record: RunRecord | None) -> None:
        if record is not None and record.steps == 4:
            raise KeyboardInterrupt

    folder = tmp_path / "killed"
    with pytest.raises(KeyboardInterrupt):
        run_one(config, SEED, RunContext(folder, report=killing))
    again = run_one(config, SEED, RunContext(folder))
    assert "continued from step 3" in again.events
    assert (again.dev_curve, again.best_model) == (whole.dev_curve, whole.best_model)
