"""What only a GPU can show. By hand: `pytest -m gpu tests/training/test_gpu.py`."""

from pathlib import Path

import pytest
import torch

from nlcse_tune.config import RunConfig
from nlcse_tune.training.context import RunContext
from tests.training.tiny import IMAGES, SEED, build, make_halves, tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
BASE = {"hidden_size": 768, "layers": 12, "heads": 12, "vocab_size": 400}


def curve(config: RunConfig, steps: int, folder: Path) -> torch.Tensor:
    """(steps, halves) losses of a random BERT-base."""
    encoder, text, side = build(config)
    encoder.to("cuda")
    halves = make_halves(encoder, text, side, config, SEED, RunContext(folder, device="cuda"), steps)
    return torch.stack([torch.stack([half.step(step) for half in halves]) for step in range(steps)]).cpu()


def base(precision: str, **changes: object) -> RunConfig:
    side = {**IMAGES, "learning_rate": 1e-6}
    scratch = {f"encoder__scratch__{name}": value for name, value in BASE.items()}
    return tiny(side, text__batch_size=64, train__precision=precision, **scratch, **changes)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precisions_give_the_fp32_curve_within_half_a_percent(precision: str, tmp_path: Path) -> None:
    """Means of 20 steps, over 200 steps."""
    full, reduced = (curve(base(p), 200, tmp_path).unflatten(0, (10, 20)).mean(1) for p in ("fp32", precision))
    assert (reduced / full - 1).abs().max() < 0.005


def test_running_out_of_memory_for_real_gives_the_micro_batched_losses(tmp_path: Path) -> None:
    """The process may use so little of the card that a batch of 512 does not fit; halved, it goes on."""
    torch.cuda.empty_cache()
    micro = curve(base("fp32", text__batch_size=512, train__micro_batch=32), 3, tmp_path)
    peak = torch.cuda.max_memory_allocated()
    config = base("fp32", text__batch_size=512)
    encoder, text, side = build(config)
    encoder.to("cuda")
    halves = make_halves(encoder, text, side, config, SEED, RunContext(tmp_path, device="cuda"), 3)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction((1.5 * peak) / total)
    try:
        got = torch.stack([torch.stack([half.step(step) for half in halves]) for step in range(3)]).cpu()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert any("out of memory" in event for half in halves for event in half.events)
    torch.testing.assert_close(got, micro, rtol=1e-3, atol=1e-4)


def test_compiled_code_gives_the_eager_losses(tmp_path: Path) -> None:
    eager = curve(base("fp32"), 20, tmp_path)
    compiled = curve(base("fp32", train__compile=True), 20, tmp_path)
    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-4)
