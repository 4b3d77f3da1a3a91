"""What only a GPU can show. By hand, or by `bash benchmarks/gpu.sh`: `pytest -m gpu tests/training/test_gpu.py`.

It needs neither Ray nor network. The kernels themselves are in tests/models/test_kernels.py, steps through them in
tests/training/test_fused.py; both run on a GPU too.
"""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from nlcse_tune.config import RunConfig
from nlcse_tune.models.dropout import MaskSource, attention, masks_from
from nlcse_tune.models.encoder import load_encoder
from nlcse_tune.run import run_one
from nlcse_tune.training.context import RunContext
from tests.training.tiny import AUDIO, IMAGES, SEED, build, make_halves, tiny

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
BASE = {"hidden_size": 768, "layers": 12, "heads": 12, "vocab_size": 400}


def curve(config: RunConfig, steps: int, context: RunContext) -> torch.Tensor:
    """(steps, halves) losses of a random BERT-base."""
    encoder, text, sides = build(config)
    encoder.to("cuda")
    halves = make_halves(encoder, text, sides, config, SEED, context, steps)
    return torch.stack([torch.stack([half.step(step) for half in halves]) for step in range(steps)]).cpu()


def base(precision: str, layers: int = 12, **changes: object) -> RunConfig:
    side = {**IMAGES, "learning_rate": 1e-6}
    scratch = {f"encoder__scratch__{name}": value for name, value in {**BASE, "layers": layers}.items()}
    return tiny(side, text__batch_size=64, train__precision=precision, **scratch, **changes)


def alone(folder: Path) -> RunContext:
    return RunContext(folder, device="cuda")


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_precisions_give_the_fp32_curve_within_half_a_percent(precision: str, tmp_path: Path) -> None:
    """Means of 20 steps, over 100 steps."""
    context = alone(tmp_path)
    full, reduced = (curve(base(p), 100, context).unflatten(0, (5, 20)).mean(1) for p in ("fp32", precision))
    assert (reduced / full - 1).abs().max() < 0.005


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_micro_batches_give_the_whole_batchs_losses(precision: str, tmp_path: Path) -> None:
    """bf16 rounds products of other sizes otherwise; the masks are the same, or losses would differ by tenths."""
    whole = curve(base(precision), 3, alone(tmp_path))
    split = curve(base(precision, train__micro_batch=5), 3, alone(tmp_path))
    torch.testing.assert_close(split, whole, rtol=1e-3 if precision == "fp32" else 3e-2, atol=1e-3)


def _as_worker(rank: int, count: int, folder: Path, config: RunConfig) -> None:
    """A process of a run of `count` that shares one card; gloo, since NCCL wants a card for each."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=count)
    found = curve(config, 3, RunContext(folder, rank=rank, world_size=count, device="cuda"))
    torch.save(found, folder / f"losses{rank}.pt")
    dist.destroy_process_group()


def test_two_workers_give_the_losses_of_one(tmp_path: Path) -> None:
    config = tiny({**IMAGES, "batch_size": 7}, text__batch_size=9)
    one = curve(config, 3, alone(tmp_path))
    torch.multiprocessing.spawn(_as_worker, (2, tmp_path, config), nprocs=2)  # type: ignore[no-untyped-call]
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"losses{rank}.pt"), one, rtol=1e-3, atol=1e-4)


def test_running_out_of_memory_for_real_gives_the_micro_batched_losses(tmp_path: Path) -> None:
    """The process may use so little of the card that a batch of 512 does not fit; halved, it goes on."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    micro = curve(base("fp32", text__batch_size=512, train__micro_batch=32), 3, alone(tmp_path))
    peak = torch.cuda.max_memory_allocated()
    config = base("fp32", text__batch_size=512)
    encoder, text, sides = build(config)
    encoder.to("cuda")
    halves = make_halves(encoder, text, sides, config, SEED, alone(tmp_path), 3)
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
    eager = curve(base("fp32", layers=3), 10, alone(tmp_path))
    compiled = curve(base("fp32", layers=3, train__compile=True), 10, alone(tmp_path))
    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-4)


def test_attention_weights_are_never_in_memory() -> None:
    """Forward and backward at 96 x 12 x 211 x 211 hold less than one such matrix in bf16 beside inputs and outputs."""
    shape, weights = (96, 12, 211, 64), 96 * 12 * 211 * 211
    q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16, requires_grad=True) for _ in range(3))
    source = MaskSource(torch.Generator("cuda").manual_seed(1), torch.arange(96, device="cuda"), 96)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with masks_from(source):
        out, _ = attention(torch.nn.Module(), q, k, v, None, dropout=0.1)
    out.sum().backward()
    extra = torch.cuda.max_memory_allocated() - before - 10 * q.nbytes  # copies by position, their gradients, out
    assert extra < 2 * weights


@pytest.mark.parametrize("side", [None, "image", "audio"], ids=str)
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_run_from_first_step_to_saved_model(side: str | None, precision: str, tmp_path: Path) -> None:
    """Twice, with the same losses to rounding."""
    sides = {"image": {**IMAGES, "batch_size": 8}, "audio": {**AUDIO, "batch_size": 8}}
    config = tiny(sides.get(str(side)), train__precision=precision, encoder__scratch__hidden_size=64)
    records = [run_one(config, SEED, alone(tmp_path / str(turn))) for turn in range(2)]
    assert records[0].status == "completed"
    assert [p.step for p in records[0].dev_curve] == [2, 4]
    for one, other in zip(records[0].dev_curve, records[1].dev_curve, strict=True):
        assert one.text_loss == pytest.approx(other.text_loss, rel=1e-4)
    assert torch.cuda.get_device_name() in records[0].versions.device
    assert "triton" in records[0].versions.packages
    load_encoder(tmp_path / "0" / "best")
