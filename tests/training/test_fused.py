"""Steps through the Triton kernels: on a GPU, or interpreted on a CPU (tests/models/test_interpreted.py runs this)."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch

from nlcse_tune.config import RunConfig
from nlcse_tune.models import dropout, stack
from nlcse_tune.training.context import RunContext
from tests.training.tiny import IMAGES, SEED, build, make_halves, tiny

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (GPU or INTERPRETED), reason="needs a GPU, or TRITON_INTERPRET=1"),
]
DEVICE = "cuda" if GPU and not INTERPRETED else "cpu"


@pytest.fixture(autouse=True)
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Sends masks through the kernels on any device; the names of those launched."""
    from nlcse_tune.models import fused

    made: list[str] = []
    launch = fused._launch

    def counted(kernel: Any, *arguments: Any, **options: Any) -> None:
        made.append(kernel.fn.__name__)
        launch(kernel, *arguments, **options)

    monkeypatch.setattr(fused, "_launch", counted)
    monkeypatch.setattr(dropout, "_kernels", lambda device_type: fused)
    monkeypatch.setattr(stack, "current_masks", lambda: None)  # with its padding, as on a GPU
    return made


def losses(config: RunConfig, folder: Path, steps: int = 2) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """(steps, halves) losses, and the weights after them."""
    encoder, text, sides = build(config)
    encoder.to(DEVICE)
    halves = make_halves(encoder, text, sides, config, SEED, RunContext(folder, device=DEVICE), 10)
    found = torch.stack([torch.stack([half.step(step) for half in halves]) for step in range(steps)]).cpu()
    return found, {name: value.cpu() for name, value in encoder.state_dict().items()}


def same(one: tuple[Any, dict[str, Any]], other: tuple[Any, dict[str, Any]]) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-4, atol=1e-5)
    # AdamW turns a gradient that is rounding alone into a step of the learning rate, 3e-5, one way or the other.
    for name, value in one[1].items():
        torch.testing.assert_close(value, other[1][name], rtol=0, atol=2e-4)


def test_micro_batches_change_nothing(tmp_path: Path, calls: list[str]) -> None:
    side = {**IMAGES, "batch_size": 2, "loss": "simclr"} if DEVICE == "cuda" else None  # too slow to interpret
    size = {"text__batch_size": 2, "encoder__scratch__layers": 1}
    whole = losses(tiny(side, **size), tmp_path, 1)
    assert calls.count("attention_forward") == calls.count("attention_keys") == (2 if side else 1)  # a layer, a half
    assert {"dropout", "keep_bits", "attention_queries"} < set(calls)
    same(whole, losses(tiny(side, train__micro_batch=1, **size), tmp_path, 1))


def test_transformers_own_forward_goes_through_the_kernels_too(tmp_path: Path, calls: list[str]) -> None:
    """A pooler that reads every layer takes it, with the mask that transformers makes of the padding."""
    losses(tiny(None, encoder__pooler="avg_first_last", text__batch_size=2, encoder__scratch__layers=1), tmp_path, 1)
    assert calls.count("attention_forward") == calls.count("attention_keys") == 1


def test_compiled_steps_are_the_eager_ones(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each launch is one node; no node is merged with another, or left out, and each keeps its place in the count."""
    if DEVICE == "cpu":  # generated code for a CPU is tests/training/test_compile.py's matter
        original = torch.compile
        monkeypatch.setattr(torch, "compile", lambda f, dynamic: original(f, dynamic=dynamic, backend="aot_eager"))
    torch.compiler.reset()
    size = {"text__batch_size": 2, "encoder__scratch__layers": 1}
    eager = losses(tiny(None, **size), tmp_path)
    launched = list(calls)
    compiled = losses(tiny(None, train__compile=True, **size), tmp_path)
    torch.compiler.reset()
    same(eager, compiled)
    assert sorted(calls) == sorted(2 * launched)


def test_no_half_waits_for_the_device(tmp_path: Path) -> None:
    """A step asks the device for nothing: whatever does raises."""
    if DEVICE == "cpu":
        pytest.skip("a CPU computes at once")
    config = tiny({**IMAGES, "batch_size": 4}, text__batch_size=4, train__precision="bf16")
    encoder, text, sides = build(config)
    encoder.to(DEVICE)
    halves = make_halves(encoder, text, sides, config, SEED, RunContext(tmp_path, device=DEVICE), 10)
    [half.step(0) for half in halves]  # compiles
    torch.cuda.set_sync_debug_mode("error")
    try:
        [half.step(1) for half in halves]
    finally:
        torch.cuda.set_sync_debug_mode("default")
