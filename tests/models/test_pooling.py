"""Poolers against transformers' own hidden states, sentence by sentence and without padding."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from nlcse_tune.config import Pooler
from nlcse_tune.models.pooling import masked_mean, pool
from tests.models.tiny import checkpoint, load_plain

SENTENCES = ["the dog carries a ball", "a thief hides the lamp near the old harbor", "stone"]


@pytest.mark.parametrize("pooler", get_args(Pooler))
@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_poolers_against_transformers_hidden_states(
    family: str, pooler: Pooler, tmp_path_factory: pytest.TempPathFactory
) -> None:
    model, tokenizer = load_plain(checkpoint(family, tmp_path_factory))
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    states = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], output_hidden_states=True)
    got = pool(pooler, states.hidden_states, batch["attention_mask"])
    for row, sentence in enumerate(SENTENCES):
        alone = tokenizer(sentence, return_tensors="pt")  # no padding, so no mask is needed
        layers = model(input_ids=alone["input_ids"], output_hidden_states=True).hidden_states
        torch.testing.assert_close(got[row], by_hand(pooler, layers), rtol=1e-5, atol=1e-6)


def by_hand(pooler: Pooler, layers: tuple[Tensor, ...]) -> Tensor:
    """`layers` are the embedding layer's states and each Transformer layer's, (1, T, D)."""
    if pooler in ("cls", "cls_before_pooler"):
        return layers[-1][0, 0]
    if pooler in ("max", "last", "weighted"):
        states = list(layers[-1][0])
        places = range(1, len(states) + 1)
        return {
            "max": torch.stack(states).max(0).values,
            "last": states[-1],
            "weighted": sum((n * state for n, state in zip(places, states, strict=True)), torch.tensor(0.0))
            / sum(places),
        }[pooler]
    used = {"avg": (layers[-1],), "avg_first_last": (layers[1], layers[-1]), "avg_top2": (layers[-2], layers[-1])}[
        pooler
    ]
    return torch.stack([layer[0].mean(0) for layer in used]).mean(0)


def test_masked_mean_leaves_padding_out_and_survives_an_empty_row() -> None:
    states = torch.tensor([[[1.0], [3.0], [99.0]], [[5.0], [5.0], [5.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert masked_mean(states, mask).tolist() == [[2.0], [0.0]]
