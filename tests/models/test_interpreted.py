"""The Triton kernels without a GPU: interpreted, and compiled ahead of time for cards that are not here."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="needs Triton, which comes with torch for CUDA")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from nlcse_tune.models import fused, kernels

ROOT = Path(__file__).resolve().parents[2]
CUOBJDUMP = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
POINTERS = {"SEED": "*i64", "ROWS": "*i64", "BITS": "*u8", "PAD": "*u8", "LSE": "*fp32", "DELTA": "*fp32"}
TYPES = {torch.bfloat16: "*bf16", torch.float16: "*fp16", torch.float32: "*fp32"}
CASES = [
    (80, torch.bfloat16, 64, 197), (80, torch.bfloat16, 128, 211), (80, torch.float32, 64, 197),
    (90, torch.bfloat16, 64, 197), (90, torch.bfloat16, 128, 211), (90, torch.bfloat16, 64, 32),
    (90, torch.float16, 32, 211), (90, torch.float32, 64, 32),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("file", ["tests/models/test_kernels.py", "tests/training/test_fused.py"])
def test_kernels_are_right_where_they_are_interpreted(file: str) -> None:
    environment = os.environ | {"TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "pytest", "-m", "gpu", "-p", "no:cacheprovider", file]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def compiled(kernel: Any, card: int, dtype: torch.dtype, constants: dict[str, Any], warps: int, stages: int) -> bytes:
    """The machine code of a kernel for compute capability `card`, with pointers as torch aligns them."""
    scalars = {"scale": "fp32", "factor": "fp32", "rescale": "fp32", "T": "i32", "S": "i32"}
    known = POINTERS | scalars
    kinds = {name: known.get(name, TYPES[dtype] if name.isupper() else "i32") for name in kernel.arg_names}
    kinds |= dict.fromkeys(constants, "constexpr")
    aligned = {(at,): [["tt.divisibility", 16]] for at, name in enumerate(kinds) if kinds[name][0] == "*"}
    source = ASTSource(kernel, kinds, {(list(kinds).index(name),): value for name, value in constants.items()}, aligned)
    made = triton.compile(
        source, target=GPUTarget("cuda", card, 32), options={"num_warps": warps, "num_stages": stages}
    )
    return bytes(made.asm["cubin"])


def stack_bytes(code: bytes, folder: Path) -> int:
    """Bytes of a thread's registers that are spilled to memory."""
    (folder / "code.cubin").write_bytes(code)
    words = [str(CUOBJDUMP), "--dump-resource-usage", str(folder / "code.cubin")]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    (found,) = re.findall(r"STACK:(\d+)", said)
    return int(found)


@pytest.mark.slow
@pytest.mark.parametrize(("card", "dtype", "width", "positions"), CASES, ids=str)
def test_compiled_for_a_card_kernels_spill_next_to_no_register(
    card: int, dtype: torch.dtype, width: int, positions: int, tmp_path: Path
) -> None:
    tiles = fused.Tiles.of(positions, width, dtype, divmod(card, 10))
    constants = {
        "H": 12, "D": width, "W": fused.lanes(positions), "BM": tiles.queries, "BN": tiles.keys, "PADDED": True,
        "PRECISION": tiles.precision,
    }  # fmt: skip
    found = {}
    for kernel in (kernels.attention_forward, kernels.attention_queries, kernels.attention_keys):
        own = constants | ({"BN": tiles.keys_with_sums} if kernel is kernels.attention_keys else {})
        code = compiled(kernel, card, dtype, own, tiles.warps, fused.stages(dtype))
        found[kernel.fn.__name__] = stack_bytes(code, tmp_path)
    assert max(found.values()) <= 64, found  # of some 1,000 bytes of registers


@pytest.mark.parametrize("card", [75, 80, 90])
def test_masks_compile_for_a_card(card: int, tmp_path: Path) -> None:
    for kernel, constants in ((kernels.dropout, {}), (kernels.keep_bits, {"H": 12, "BLOCK": fused.BITS_BLOCK})):
        assert stack_bytes(compiled(kernel, card, torch.float16, constants, 4, 2), tmp_path) == 0
