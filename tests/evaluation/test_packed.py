"""Packed weights change how fast a model embeds, and nothing else."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from nlcse_tune.data import synthetic
from nlcse_tune.evaluation import packed as packed_module
from nlcse_tune.evaluation.embed import Embedder, embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.evaluation.packed import packed
from tests.evaluation.theirs import saved_by_them
from tests.models.tiny import checkpoint

torch.set_num_threads(1)
SENTENCES = [*synthetic.sentences(60), ""]


@pytest.fixture(params=["bert", "roberta", "distilbert", "theirs"])
def encoder(request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    if request.param == "theirs":
        source = checkpoint("bert", tmp_path_factory)
        return load_model(str(saved_by_them(tmp_path / "st", source, Pooling(32), Dense(32, 8, bias=False)))).encoder
    return load_model(str(checkpoint(request.param, tmp_path_factory)), "avg").encoder


def packed_layers(encoder: Embedder) -> int:
    return sum("forward" in vars(layer) for layer in encoder.modules())


def test_vectors_are_the_same_and_the_model_is_as_before(encoder: Embedder) -> None:
    expected = embed(encoder, (SENTENCES,), "fp32").vectors
    linear = sum(type(layer) is nn.Linear for layer in encoder.modules())
    with packed(encoder, "fp32"):
        assert packed_layers(encoder) == linear > 10
        np.testing.assert_allclose(embed(encoder, (SENTENCES,), "fp32").vectors, expected, atol=1e-5, rtol=0)
    assert packed_layers(encoder) == 0
    np.testing.assert_array_equal(embed(encoder, (SENTENCES,), "fp32").vectors, expected)


def test_an_error_leaves_nothing_packed(encoder: Embedder) -> None:
    with pytest.raises(KeyError), packed(encoder, "fp32"):
        raise KeyError
    assert packed_layers(encoder) == 0


def test_nothing_is_packed_in_bf16_nor_by_operators_that_do_something_else(
    encoder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    with packed(encoder, "bf16"):
        assert packed_layers(encoder) == 0
    for other in (lambda weight, bias, inputs: inputs @ torch.ones(inputs.shape[-1], len(bias)), missing):
        monkeypatch.setattr(packed_module, "_linear", other)
        with packed(encoder, "fp32"):
            assert packed_layers(encoder) == 0


def missing(*_: object) -> None:
    raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute '_linear_pointwise'")
