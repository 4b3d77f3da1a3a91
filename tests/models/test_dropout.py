"""Keyed dropout: the right rate, the same masks for the same rows whatever else is at hand, attention as torch's."""

import pytest
import torch
from torch.nn import functional as F

from nlcse_tune.models.dropout import KeyedDropout, MaskSource, attention, masks_from


def source(rows: list[int], total: int, seed: int = 0) -> MaskSource:
    return MaskSource(torch.Generator().manual_seed(seed), torch.tensor(rows), total)


@pytest.mark.parametrize("p", [0.1, 0.37])
def test_the_rate_and_the_mean_are_dropouts(p: float) -> None:
    layer = KeyedDropout(p).train()
    with masks_from(source(list(range(64)), 64)):
        out = layer(torch.ones(64, 40, 50))
    assert float((out == 0).float().mean()) == pytest.approx(p, abs=4 * (p * (1 - p) / out.numel()) ** 0.5 + 2**-16)
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)])


def test_rows_get_the_masks_of_the_whole_batch() -> None:
    x = torch.randn(6, 5, 7)
    layer = KeyedDropout(0.5).train()
    with masks_from(source([0, 1, 2, 3, 4, 5], 6)):
        whole = layer(x), layer(x)
    with masks_from(source([4, 1], 6)):
        part = layer(x[[4, 1]]), layer(x[[4, 1]])
    assert all(torch.equal(p, w[[4, 1]]) for p, w in zip(part, whole, strict=True))
    assert not torch.equal(*whole)  # each call draws anew


def test_evaluation_draws_nothing_and_training_needs_a_source() -> None:
    x = torch.randn(2, 3)
    assert torch.equal(KeyedDropout(0.5).eval()(x), x)
    with pytest.raises(RuntimeError, match="masks_from"):
        KeyedDropout(0.5).train()(x)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_is_softmax_dropout_values(masked: bool) -> None:
    """Against a plain computation with the very mask, and against torch's own kernel without dropout."""
    q, k, v = torch.randn(3, 2, 4, 5, 8).unbind(0)
    mask = torch.ones(2, 1, 5, 5, dtype=torch.bool)
    mask[1, :, :, 3:] = False
    given = mask if masked else None
    module = torch.nn.Module()
    plain, _ = attention(module, q, k, v, given, dropout=0.0)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=given).transpose(1, 2)
    torch.testing.assert_close(plain, expected)
    with masks_from(source([0, 1], 2)):
        dropped, _ = attention(module, q, k, v, given, dropout=0.3)
    keep = source([0, 1], 2).keep((2, 4, 5, 5), 0.3)
    scores = (q @ k.mT / 8**0.5).masked_fill(~mask if masked else torch.zeros_like(mask), -torch.inf)
    by_hand = ((scores.softmax(-1) * keep / 0.7) @ v).transpose(1, 2)
    torch.testing.assert_close(dropped, by_hand, rtol=1e-5, atol=1e-6)
