"""The Triton kernels against float64 and against masks reckoned in NumPy: on a GPU, or interpreted on a CPU.

In the suite `test_interpreted.py` runs this file with TRITON_INTERPRET=1, which must stand before Triton is imported.
"""

import os

import numpy as np
import pytest
import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
GPU = torch.cuda.is_available()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not (GPU or INTERPRETED), reason="needs a GPU, or TRITON_INTERPRET=1"),
]
if GPU or INTERPRETED:
    from nlcse_tune.models import dropout, fused

DEVICE = "cuda" if GPU and not INTERPRETED else "cpu"
SEED = 0x1234_5678_9ABC_DEF0
# Of ||got - exact|| / ||exact||. The interpreter multiplies bf16 matrices as if they were whole numbers: no bf16 there.
ERRORS = {torch.float32: 2e-6, torch.float16: 2e-3, **({torch.bfloat16: 2e-2} if DEVICE == "cuda" else {})}
SHAPES = [  # T, S, D, padding
    (7, 7, 32, False), (32, 32, 64, True), (33, 33, 16, True), (1, 70, 16, True), (197, 197, 64, False),
    (211, 211, 32, True),
]  # fmt: skip
ROWS = {True: (2, 1), False: (2, 3)}  # R, H by whether T is above 100: an interpreter is slow


def key(rows: list[int], call: int = 0, seed: int = SEED) -> "fused.Key":
    return fused.Key(torch.tensor(seed, device=DEVICE), torch.tensor(rows, device=DEVICE), call)


def philox(seed: int, counter: np.ndarray, row: int, head: int, call: int) -> np.ndarray:
    """Philox4x32 of 7 rounds as Salmon et al. write it; eight 16-bit numbers of each counter, (8, counters)."""
    c = [np.asarray(x, dtype=np.uint64) + np.zeros_like(counter, dtype=np.uint64) for x in (counter, row, head, call)]
    low, k = np.uint64(0xFFFFFFFF), [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    for _ in range(7):
        a, b = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [(b >> np.uint64(32)) ^ c[1] ^ k[0], b & low, (a >> np.uint64(32)) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + np.uint64(0x9E3779B9)) & low, (k[1] + np.uint64(0xBB67AE85)) & low]
    return np.stack([half for word in c for half in (word & np.uint64(0xFFFF), word >> np.uint64(16))])


def error(got: Tensor, exact: Tensor) -> float:
    return float((got.double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("size", [5, 700, 9001])
def test_dropout_keeps_what_philox_says(size: int) -> None:
    """Element n * 512 + l of the c-th 4,096 goes by the n-th number of counter c * 512 + l."""
    got = fused.dropout(torch.ones(2, size, device=DEVICE), 0.1, key([0, 70_000], call=5)).cpu().numpy()
    for found, row in zip(got, (0, 70_000), strict=True):
        counters = np.arange(-(-size // 4096) * 512).reshape(-1, 512)
        numbers = np.concatenate([philox(SEED, c, row, 0, 5).reshape(-1) for c in counters])[:size]
        np.testing.assert_allclose(found, np.where(numbers >= round(0.1 * 65536), 1 / 0.9, 0), rtol=1e-6)


@pytest.mark.parametrize("keys", [3, 32, 197, 300])
def test_weights_are_kept_as_philox_says(keys: int) -> None:
    """Key j of query i: number j // W of counter i * W + j % W."""
    got = fused.keep_weights(torch.Size((2, 3, 5, keys)), 0.25, key([9, 4], call=2)).cpu().numpy()
    width = fused.lanes(keys)
    assert width in (1, 4, 32, 64)
    for at, row in enumerate((9, 4)):
        for head in range(3):
            numbers = philox(SEED, np.arange(5 * width), row, head, 2).reshape(8, 5, width)
            expected = numbers.transpose(1, 0, 2).reshape(5, -1)[:, :keys] >= 0.25 * 65536
            np.testing.assert_array_equal(got[at, head], expected)


@pytest.mark.parametrize("dtype", ERRORS, ids=str)
@pytest.mark.parametrize(("queries", "keys", "width", "padded"), SHAPES)
def test_attention_and_its_gradients_are_those_in_float64(
    queries: int, keys: int, width: int, padded: bool, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(keys)
    (rows, heads), scale, p, name = ROWS[keys > 100], width**-0.5, 0.1, key([5, 2])
    shapes = [(rows, heads, length, width) for length in (queries, keys, keys)]
    exact = [torch.randn(s, generator=generator).to(dtype).double().to(DEVICE).requires_grad_() for s in shapes]
    got = [x.detach().to(dtype).requires_grad_() for x in exact]
    mask = torch.ones(2, 1, 1, keys, dtype=torch.bool, device=DEVICE)
    mask[1, ..., keys // 2 :] = not padded
    gradient = torch.randn(shapes[0], generator=generator).transpose(1, 2).to(dtype).to(DEVICE)
    assert fused.serves(*got, mask)
    out = fused.attention(*got, mask if padded else None, p, scale, name)
    out.backward(gradient)
    keep = fused.keep_weights(torch.Size((*shapes[0][:3], keys)), p, name)
    weights = (exact[0] @ exact[1].mT * scale).masked_fill(~mask, -torch.inf).softmax(-1)
    (expected := ((weights * keep / (1 - p)) @ exact[2]).transpose(1, 2)).backward(gradient.double())
    assert error(out.detach(), expected.detach()) < ERRORS[dtype]
    for ours, theirs in zip(got, exact, strict=True):
        assert ours.grad is not None
        assert error(ours.grad, theirs.grad) < ERRORS[dtype]  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_gradient_of_dropout_has_its_mask(dtype: torch.dtype) -> None:
    x = torch.randn(3, 11, 40, device=DEVICE).to(dtype).requires_grad_()
    out = fused.dropout(x, 0.3, key([2, 0, 1]))
    out.backward(torch.ones_like(out))
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.where(out == 0, 0, 1 / 0.7).to(dtype))
    torch.testing.assert_close(out.detach(), x.detach() * x.grad)


def test_rows_have_the_masks_and_gradients_that_they_have_in_the_whole_batch() -> None:
    whole = [torch.randn(4, 2, 9, 16, device=DEVICE, requires_grad=True) for _ in range(3)]
    part = [x.detach()[[3, 1]].requires_grad_() for x in whole]
    outputs = [fused.attention(*x, None, 0.5, 0.25, key(r)) for x, r in ((whole, [0, 1, 2, 3]), (part, [3, 1]))]
    assert torch.equal(outputs[0][[3, 1]], outputs[1])
    outputs[0].sum().backward()
    outputs[1].sum().backward()
    for all_rows, some in zip(whole, part, strict=True):
        assert torch.equal(all_rows.grad[[3, 1]], some.grad)  # type: ignore[index, arg-type]
    x = torch.randn(4, 700, device=DEVICE)
    assert torch.equal(fused.dropout(x, 0.5, key([0, 1, 2, 3]))[[3, 1]], fused.dropout(x[[3, 1]], 0.5, key([3, 1])))


def test_rates_are_right_and_rows_calls_and_seeds_have_nothing_in_common() -> None:
    """Within five standard deviations: of the share kept, and of the correlation of two masks."""
    shape, p = torch.Size((1, 1, 128, 128)), 0.1
    names = [key([0]), key([1]), key([0], call=1), key([0], seed=SEED + 1), key([0], seed=SEED + 2**32)]
    masks = [fused.keep_weights(shape, p, name).flatten().double() for name in names]
    masks.append(masks[0].roll(1))  # its neighbour
    masks.append(masks[0].view(128, 128).T.flatten())
    masks += [
        (fused.dropout(torch.ones(1, 128 * 128, device=DEVICE), p, key([0], call=c)) > 0)[0].double() for c in (2, 3)
    ]
    spread = 5 / 128
    for mask in masks:
        assert float(mask.mean()) == pytest.approx(1 - p, abs=spread * (p * (1 - p)) ** 0.5)
    between = torch.corrcoef(torch.stack(masks)).fill_diagonal_(0).abs()
    assert float(between.max()) < spread


def test_what_no_kernel_serves_is_computed_with_the_same_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mask that hides nothing, but is none of keys alone, sends attention the long way round."""
    monkeypatch.setattr(dropout, "_kernels", lambda device_type: fused)
    q, k, v = torch.randn(3, 2, 3, 20, 16, device=DEVICE).unbind(0)
    rows, module = torch.tensor([4, 1], device=DEVICE), torch.nn.Module()
    everything = torch.ones(2, 1, 20, 20, dtype=torch.bool, device=DEVICE)
    assert not fused.serves(q, k, v, everything)
    outputs = []
    for mask in (None, everything):
        with dropout.masks_from(dropout.MaskSource(torch.Generator(DEVICE).manual_seed(1), rows, 8)):
            outputs += [dropout.attention(module, q, k, v, mask, dropout=0.2)[0] for _ in range(2)]
    torch.testing.assert_close(outputs[:2], outputs[2:], rtol=1e-5, atol=1e-5)
    assert not torch.equal(outputs[0], outputs[1])  # each call draws anew


@pytest.mark.parametrize(
    ("positions", "width", "dtype"),
    [(197, 48, torch.float16), (600, 64, torch.float16), (300, 64, torch.float32), (20, 64, torch.float64)],
    ids=str,
)
def test_shapes_that_no_kernel_serves(positions: int, width: int, dtype: torch.dtype) -> None:
    x = torch.zeros(1, 1, positions, width, dtype=dtype, device=DEVICE)
    assert not fused.serves(x, x, x, None)
