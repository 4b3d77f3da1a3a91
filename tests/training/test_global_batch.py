"""Batch size means the global batch: workers, micro-batches and a full device change memory and speed, no number."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.records import RunRecord
from nlcse_tune.run import run_one
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.distributed import gather_embeddings, share
from nlcse_tune.training.halves import TAKE_STEP
from nlcse_tune.training.steps import Half
from tests.training.tiny import AUDIO, IMAGES, SEED, forked, halves, on_workers, tiny

SIDE = {**IMAGES, "loss": "supcon", "weight": 0.5}
SMALL_SIDE = {**SIDE, "batch_size": 8}
Outcome = dict[str, Any]


def outcome(context: RunContext, config: RunConfig, steps: int = 1, plain: bool = False) -> Outcome:
    """Losses, each half's clipped gradient at its last step, and the parameters after `steps` steps.

    `plain` steps by the clipped gradient itself (SGD with rate 1) in place of AdamW. The weights are five times
    BERT's first ones: at those, a two-layer encoder's vectors are nearly parallel, and the gradient of their cosines
    magnifies rounding.
    """
    encoder, both = halves(config, context)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(5 if parameter.ndim > 1 else 1)
    for half in both if plain else ():
        half.optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0)
        half.schedule = torch.optim.lr_scheduler.ConstantLR(half.optimizer, factor=1.0)
    losses, gradients = [], {}
    for step in range(steps):
        for half in both:
            losses.append(float(half.step(step)))
            for name, parameter in encoder.named_parameters():
                if parameter.grad is not None:
                    gradients[f"{half.name}:{name}"] = parameter.grad.clone()
    for half in both:
        half.close()
    return {
        "losses": losses,
        "gradients": gradients,
        "parameters": {n: p.detach() for n, p in encoder.named_parameters()},
    }


def largest(left: dict[str, Tensor], right: dict[str, Tensor]) -> tuple[float, str]:
    """The largest absolute difference, and where."""
    assert left.keys() == right.keys()
    return max((float((left[name] - right[name]).abs().max()), name) for name in left)


def assert_same(got: Outcome, expected: Outcome, *, plain: bool = True) -> None:
    """The same loss, gradients and parameters to 1e-6.

    AdamW's first step is the rate times g / (|g| + 1e-8): an element whose gradient is zero but for rounding (a key
    bias, say) moves by up to the rate, whichever way the rounding fell. With AdamW the parameters are therefore
    compared where a half has a gradient above 1e-5, which is where the two runs can be told apart from rounding.
    """
    assert got["losses"] == pytest.approx(expected["losses"], abs=1e-6)
    difference, where = largest(got["gradients"], expected["gradients"])
    assert difference < 1e-6, f"gradient of {where}"
    parameters = dict(got["parameters"])
    if not plain:
        for name, parameter in parameters.items():
            known = [g for half in ("text", "side") if (g := expected["gradients"].get(f"{half}:{name}")) is not None]
            rounding = torch.stack([gradient.abs() < 1e-5 for gradient in known]).any(0)
            parameters[name] = torch.where(rounding, expected["parameters"][name], parameter)
    difference, where = largest(parameters, expected["parameters"])
    assert difference < 1e-6, f"parameter {where}"


def alone(config: RunConfig, folder: Path, steps: int = 1, plain: bool = False) -> Outcome:
    return outcome(RunContext(folder), config, steps, plain)


DROPOUT_OFF, DROPOUT_ON = {"encoder__dropout": 0.0}, {"encoder__dropout": 0.1}
OBJECTIVES = ("unsupervised", "supervised")


@pytest.mark.parametrize("dropout", [DROPOUT_OFF, DROPOUT_ON], ids=["dropout off", "dropout on"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_micro_batches_give_the_full_batch_results(objective: str, dropout: dict[str, float], tmp_path: Path) -> None:
    """Micro-batches of 1, 3 (uneven) and 16, text and side."""
    changes = {**dropout, "text__objective": objective}
    for plain, sizes in ((True, (1, 3, 16)), (False, (3,))):
        expected = alone(tiny(SMALL_SIDE, **changes), tmp_path, plain=plain)
        for size in sizes:
            got = alone(tiny(SMALL_SIDE, train__micro_batch=size, **changes), tmp_path, plain=plain)
            assert_same(got, expected, plain=plain)


@pytest.mark.parametrize("workers", [2, 3])
@pytest.mark.parametrize("dropout", [DROPOUT_OFF, DROPOUT_ON], ids=["dropout off", "dropout on"])
def test_workers_give_the_results_of_one(workers: int, dropout: dict[str, float], tmp_path: Path) -> None:
    """16 items over 3 workers is uneven on purpose."""
    config = tiny(SMALL_SIDE, **dropout)
    for plain in (True, False):
        expected = alone(config, tmp_path, plain=plain)
        for answer in on_workers(workers, outcome, tmp_path, config, 1, plain):
            assert_same(answer, expected, plain=plain)


def test_workers_with_micro_batches_hard_negatives_and_audio(tmp_path: Path) -> None:
    changes = {"text__objective": "supervised", "encoder__pooler": "avg_first_last"}
    expected = alone(tiny({**AUDIO, "batch_size": 5}, **changes), tmp_path, plain=True)
    micro = tiny({**AUDIO, "batch_size": 5}, train__micro_batch=2, **changes)
    for answer in on_workers(3, outcome, tmp_path, micro, 1, True):
        assert_same(answer, expected)


def test_workers_agree_on_the_labels_of_mixed_clips(tmp_path: Path) -> None:
    side = {**AUDIO, "batch_size": 6, "mixup": 0.9, "normalise": False, "positions": False, "dropout": 0.0}
    config = tiny({**side, "loss": "supcon"}, train__max_steps=2, train__eval_every=1)
    assert config.side is not None
    alone = run_one(config, SEED, RunContext(tmp_path / "one"))
    losses = [point.side_loss for point in alone.dev_curve]
    leading, _ = on_workers(2, two_steps, tmp_path, config)
    assert [point.side_loss for point in leading.dev_curve] == pytest.approx(losses, abs=1e-4)
    plain = override(config, {"side.mixup": 0.0})
    assert [point.side_loss for point in run_one(plain, SEED, RunContext(tmp_path / "plain")).dev_curve] != losses


def two_steps(context: RunContext, config: RunConfig) -> RunRecord:
    return run_one(config, SEED, context)


def of_the_sum(context: RunContext, config: RunConfig) -> Outcome:
    """As `outcome`, of a plain step on the sum of both losses."""
    encoder, both = halves(config, context)
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(5 if parameter.ndim > 1 else 1)
    both[0].optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0)
    both[0].schedule = torch.optim.lr_scheduler.ConstantLR(both[0].optimizer, factor=1.0)
    losses = [float(loss) for loss in TAKE_STEP["one"](both, 0).values()]
    parameters = dict(encoder.named_parameters())
    gradients = {n: p.grad for n, p in parameters.items() if p.grad is not None}
    return {"losses": losses, "gradients": gradients, "parameters": {n: p.detach() for n, p in parameters.items()}}


def test_one_optimizer_on_several_workers_with_micro_batches_gives_the_results_of_one(tmp_path: Path) -> None:
    config = tiny(SMALL_SIDE, train__optimizers="one")
    expected = of_the_sum(RunContext(tmp_path), config)
    for answer in on_workers(3, of_the_sum, tmp_path, override(config, {"train.micro_batch": 2})):
        assert_same(answer, expected)


def test_workers_agree_bit_for_bit_with_each_other(tmp_path: Path) -> None:
    first, second = on_workers(2, outcome, tmp_path, tiny(SMALL_SIDE), 2)
    assert first["losses"] == second["losses"]
    assert all(torch.equal(first["parameters"][name], second["parameters"][name]) for name in first["parameters"])


@pytest.mark.parametrize(("items", "workers"), [(16, 3), (48, 5), (3, 3), (2, 1)])
def test_shares_cover_every_item_once_and_differ_by_one(items: int, workers: int) -> None:
    shares = [share(items, rank, workers) for rank in range(workers)]
    assert [i for part in shares for i in range(part.start, part.stop)] == list(range(items))
    assert max(p.stop - p.start for p in shares) - min(p.stop - p.start for p in shares) <= 1


def test_gathering_alone_is_the_identity() -> None:
    local = torch.randn(2, 5, 3, requires_grad=True)
    assert torch.equal(gather_embeddings(local, 5, 1), local)


def test_more_workers_than_items_are_refused(tmp_path: Path) -> None:
    context = RunContext(tmp_path, rank=2, world_size=3)
    with pytest.raises(RunError, match=r"text\.batch_size 2 is less than the 3 workers"):
        halves(tiny(text__batch_size=2), context)


def test_sentences_longer_than_the_encoder_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"text\.max_length: must be at most 128"):
        halves(tiny(text__max_length=500))


# Out of memory: a device that cannot hold more than so many rows.


def limit(half: Half, rows: int, *, backward: bool = False) -> list[int]:
    """Forward (or backward) passes of `half` over more than `rows` rows run out of memory; returns the sizes seen."""
    forward, seen = half.forward, []  # type: ignore[attr-defined]

    def checked(*inputs: Tensor) -> Tensor:
        count = len(inputs[0])
        seen.append(count)
        output: Tensor = forward(*inputs)
        if count > rows and not backward:
            raise torch.OutOfMemoryError("pretended")
        if count > rows and output.requires_grad:

            def fail(gradient: Tensor) -> Tensor:
                raise torch.OutOfMemoryError("pretended")

            output.register_hook(fail)
        return output

    half.forward = checked  # type: ignore[attr-defined]
    return seen


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("which", [0, 1], ids=["text", "side"])
def test_out_of_memory_halves_the_micro_batch_and_gives_the_unhindered_results(
    which: int, backward: bool, tmp_path: Path
) -> None:
    expected = [float(half.step(0)) for half in halves(tiny(SIDE), RunContext(tmp_path))[1]]
    _, both = halves(tiny(SIDE), RunContext(tmp_path))
    seen = limit(both[which], 2 * 5, backward=backward)  # five items of two views
    assert [float(half.step(0)) for half in both] == pytest.approx(expected, abs=1e-6)
    name = both[which].name
    assert both[which].micro_batch == 4
    assert both[which].events == [f"out of memory: {name} micro-batch halved to {size}" for size in (8, 4)]
    assert both[1 - which].events == []
    assert seen[:2] == [32, 16]
    seen.clear()
    both[which].step(1)  # it stays halved
    assert max(seen) == 8


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_parameters_after_running_out_of_memory_are_those_of_an_unhindered_run(backward: bool, tmp_path: Path) -> None:
    config = tiny(text__learning_rate=1e-6)  # twice the rate bounds what rounding can do in AdamW's first step
    expected = alone(config, tmp_path)["parameters"]
    encoder, (text,) = halves(config, RunContext(tmp_path))
    with torch.no_grad():
        for parameter in encoder.parameters():
            parameter.mul_(5 if parameter.ndim > 1 else 1)
    limit(text, 2 * 5, backward=backward)
    text.step(0)
    gradients = {name: p.grad for name, p in encoder.named_parameters() if p.grad is not None}
    plain = alone(config, tmp_path, plain=True)["gradients"]
    assert largest(gradients, {n.removeprefix("text:"): g for n, g in plain.items()})[0] < 1e-6
    assert largest({n: p.detach() for n, p in encoder.named_parameters()}, expected)[0] < 2e-6


def test_out_of_memory_with_one_item_ends_the_run(tmp_path: Path) -> None:
    _, both = halves(tiny(), RunContext(tmp_path))
    limit(both[0], 0)
    with pytest.raises(RunError, match="out of memory with one text item at a time"):
        both[0].step(0)


def test_a_restart_keeps_the_halved_micro_batch_and_its_event(tmp_path: Path) -> None:
    _, both = halves(tiny(), RunContext(tmp_path))
    limit(both[0], 8)
    both[0].step(0)
    _, again = halves(tiny(), RunContext(tmp_path))
    again[0].restore(both[0].state())
    assert again[0].micro_batch == 4
    assert again[0].events == both[0].events


def test_threads_that_load_ahead_change_nothing(tmp_path: Path) -> None:
    """In processes of their own: threads and forks of other tests do not mix."""

    def work(threads: int) -> Outcome:
        return alone(tiny({**AUDIO, "batch_size": 6}, train__loader_threads=threads), tmp_path, steps=3)

    without, with_threads = forked(work, tmp_path, [(0,), (3,)])
    assert without["losses"] == with_threads["losses"]
