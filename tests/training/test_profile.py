"""`train --profile`: a trace and a table of a run that is the same with and without them."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from nlcse_tune.errors import RunError
from nlcse_tune.launch.single import train_one
from nlcse_tune.paths import StudyPaths
from nlcse_tune.run import run_one
from nlcse_tune.study import Study
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.profile import FAMILIES, PARTS, StepProfile, family, window
from tests.training.tiny import IMAGES, SEED, tiny

torch.set_num_threads(1)


def test_steps_20_to_30_of_an_attempt_are_traced_and_the_end_of_a_shorter_one() -> None:
    assert window(1, 1000) == (20, 30)
    assert window(501, 1000) == (520, 530)
    assert window(1, 30) == (20, 30)
    assert window(1, 12) == (9, 12)
    assert window(1, 2) == (2, 2)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "matrix products"),
        ("sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n", "matrix products"),
        ("aten::_scaled_dot_product_flash_attention", "attention kernels"),
        ("aten::random_", "dropout and masks"),
        ("nlcse::keep", "dropout and masks"),
        ("aten::gelu", "activations"),
        ("aten::ge", "dropout and masks"),
        ("aten::native_layer_norm_backward", "norms and softmax"),
        ("aten::_fused_adamw_", "optimizers and clipping"),
        ("aten::copy_", "copies and fills"),
        ("aten::mul", "sums and products by element"),
        ("autograd::engine::evaluate_function: AddmmBackward0", "other"),
    ],
)
def test_operators_and_kernels_have_their_family(name: str, kind: str) -> None:
    assert family(name) == kind
    assert kind in {*FAMILIES, "other"}


def test_a_profiled_run_is_the_same_run_with_a_trace_and_a_table(tmp_path: Path) -> None:
    config = tiny({**IMAGES, "batch_size": 4}, train__max_steps=6, train__eval_every=3)
    trace, table = tmp_path / "trace.json.gz", tmp_path / "profile.txt"
    plain = run_one(config, SEED, RunContext(tmp_path / "plain"))
    traced = run_one(config, SEED, RunContext(tmp_path / "traced", stepped=StepProfile(trace, table)))
    assert traced.dev_curve == plain.dev_curve
    assert traced.best_model == plain.best_model
    labels = {event["name"] for event in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]}
    wanted = {f"{half}: {part}" for half in ("text", "side") for part in PARTS} | {"evaluation"}
    assert wanted <= labels
    lines = table.read_text().splitlines()
    assert lines[0].startswith("steps 5 to 6 of 6")
    assert wanted <= {line[2:40].strip() for line in lines}
    assert any(line.startswith("  matrix products") for line in lines)
    assert max(map(len, lines)) <= 80


def test_one_asks_for_a_profile_of_a_run_that_is_still_to_come(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    record = train_one(tiny_study, paths, 1, profile=True)
    assert paths.run(record.run_id).profile.is_file()
    assert paths.run(record.run_id).trace.is_file()
    with pytest.raises(RunError, match=f"--profile: {record.run_id} is on record already; give another --seed"):
        train_one(tiny_study, paths, 1, profile=True)
    assert train_one(tiny_study, paths, 1) == record
