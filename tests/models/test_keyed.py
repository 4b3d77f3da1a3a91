"""Dropout and attention as single functions: their gradients, by differences and against plain steps."""

import pytest
import torch

from nlcse_tune.models import keyed
from nlcse_tune.models.keyed import Attention, KeptScaled


def test_gradients_are_those_of_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "BLOCK", 60)  # two rows at a time, and one left
    torch.manual_seed(0)
    query, key, value = (torch.randn(3, 2, t, 4, dtype=torch.float64, requires_grad=True) for t in (3, 5, 5))
    keep = torch.rand(3, 2, 3, 5) > 0.3
    seen = (torch.arange(5) < torch.tensor([5, 2, 4])[:, None])[:, None, None]
    for mask in (None, seen):
        arguments = (query, key, value, mask, keep, 0.4, 0.3)
        assert torch.autograd.gradcheck(Attention.apply, arguments)
        scores = query @ key.mT * 0.4
        weights = (scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(-1)
        expected = ((weights * keep / 0.7) @ value).transpose(1, 2)
        torch.testing.assert_close(Attention.apply(*arguments), expected)
    assert torch.autograd.gradcheck(KeptScaled.apply, (query, torch.rand(query.shape) > 0.3, 1.25))


def test_neither_weights_nor_inputs_are_kept_for_the_backward() -> None:
    """Of attention the masks alone grow with the square of the states, and they are a byte each."""
    query, key, value = (torch.randn(2, 2, 64, 8, requires_grad=True) for _ in range(3))
    keep, kept = torch.rand(2, 2, 64, 64) > 0.1, []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        KeptScaled.apply(Attention.apply(query, key, value, None, keep, 0.3, 0.1), torch.rand(2, 64, 2, 8) > 0.1, 1.1)
    large = [tensor for tensor in kept if tensor.numel() >= keep.numel()]
    assert large
    assert all(tensor.dtype == torch.bool for tensor in large)
    assert sum(tensor.is_floating_point() for tensor in kept) == 3
