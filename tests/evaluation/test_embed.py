"""Embedding in sorted batches of tokens gives what a plain loop over sentences gives, and does it once a sentence."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from nlcse_tune.config import Pooler
from nlcse_tune.errors import RunError
from nlcse_tune.evaluation import embed as embed_module
from nlcse_tune.evaluation.embed import Bank, batches, default_precision, distinct, embed, embed_tokens, tokens_of
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from nlcse_tune.models.side_embedding import tanh_head
from tests.models.tiny import checkpoint

torch.set_num_threads(1)
SENTENCES = [
    "the dog carries a ball", "stone", "near the harbor a thief hides a lamp", "a hound hauls the sphere", "",
    "the dog carries the ball near the old house by the garden", "lamp", "a " * 300, "by the hill the man eyes a cup",
    "stone rock", "the cat", "the woman paints a boat",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint("bert", tmp_path_factory, num_hidden_layers=3)


def plain(encoder: SentenceEncoder, sentences: list[str]) -> np.ndarray:
    """One sentence at a time: no order, no padding."""
    rows = []
    with torch.no_grad():
        for sentence in sentences:
            ids = encoder.tokenizer(sentence, truncation=True, max_length=encoder.max_length, return_tensors="pt")
            rows.append(encoder.embed(ids["input_ids"], ids["attention_mask"])[0].numpy())
    return np.stack(rows)


class Counting(SentenceEncoder):
    """An encoder that keeps the shape of each batch."""

    shapes: list[tuple[int, int]]

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        self.shapes.append(tuple(input_ids.shape))
        return super().embed(input_ids, attention_mask)


def counting(folder: Path) -> Counting:
    encoder = load_encoder(folder, pooler="avg")
    counted = Counting(encoder.backbone, encoder.tokenizer, "avg").eval()
    counted.shapes = []
    return counted


@pytest.mark.parametrize(("budget", "full_enough"), [(1, 1), (40, 10), (40, 40), (64, 16), (10_000, 2500)])
def test_batches_cover_every_row_once_within_the_budget(budget: int, full_enough: int) -> None:
    lengths = np.random.default_rng(0).integers(2, 50, size=200)
    each = list(batches(lengths, budget, full_enough))
    assert sorted(np.concatenate(each).tolist()) == list(range(200))
    assert all(len(rows) == 1 or len(rows) * lengths[rows].max() <= budget for rows in each)
    longest = [int(lengths[rows].max()) for rows in each]
    assert longest == sorted(longest, reverse=True)


def test_a_batch_by_hand() -> None:
    # 9 fills a batch of 10 alone; two of 4 are 8 tokens and full enough; then 3, 2, 2 share one.
    lengths = np.array([2, 4, 9, 3, 4, 2])
    assert [rows.tolist() for rows in batches(lengths, budget=10, full_enough=8)] == [[2], [1, 4], [3, 0, 5]]
    assert [rows.tolist() for rows in batches(lengths, budget=12, full_enough=99)] == [[2], [1, 4, 3], [0, 5]]


def test_a_sentence_longer_than_the_budget_goes_alone() -> None:
    each = [rows.tolist() for rows in batches(np.array([3, 70, 3, 80]), budget=8, full_enough=8)]
    assert each == [[3], [1], [0, 2]]
    assert list(batches(np.empty(0, np.int64), budget=8, full_enough=8)) == []


def test_distinct_keeps_the_first_order_and_knows_every_row() -> None:
    row = distinct((["b", "a"], ["a", "c", "b"]))
    assert list(row) == ["b", "a", "c"]
    assert Bank(row, np.zeros((3, 1), np.float32)).rows(["c", "a", "a"]).tolist() == [2, 1, 1]


def test_each_distinct_sentence_is_embedded_once_and_memory_is_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder, budget, seen = counting(folder), 48, []
    monkeypatch.setitem(embed_module.BUDGET, "cpu", budget)
    groups = (SENTENCES, SENTENCES[::-1], SENTENCES[:3])
    bank = embed(encoder, groups, "fp32", lambda what, done, total: seen.append((done, total)))
    assert seen[-1] == (len(SENTENCES), len(SENTENCES))
    assert [done for done, _ in seen] == np.cumsum([rows for rows, _ in encoder.shapes]).tolist()
    assert sum(rows for rows, _ in encoder.shapes) == len(SENTENCES) == len(bank.vectors)
    assert all(rows == 1 or rows * width <= budget for rows, width in encoder.shapes)
    assert encoder.shapes[0] == (1, encoder.max_length)  # 300 words: cut at the model's maximum, and alone
    np.testing.assert_array_equal(bank.of(["lamp", "stone", "lamp"])[0], bank.of(["lamp"])[0])
    np.testing.assert_array_equal(bank.of(SENTENCES[::-1]), bank.of(SENTENCES)[::-1])


@pytest.mark.parametrize("budget", [8, 60, 2048])
@pytest.mark.parametrize("pooler", get_args(Pooler))
def test_embed_equals_one_sentence_at_a_time(
    pooler: Pooler, budget: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = load_encoder(folder, pooler=pooler)
    monkeypatch.setitem(embed_module.BUDGET, "cpu", budget)
    bank = embed(encoder, (SENTENCES,), precision="fp32")
    expected = plain(encoder, SENTENCES)
    assert bank.vectors.dtype == np.float32
    assert expected.std(axis=0).mean() > 0.01
    np.testing.assert_allclose(bank.of(SENTENCES), expected, atol=1e-5, rtol=0)


def test_the_head_is_used_where_it_is_kept_at_test(folder: Path) -> None:
    encoder = load_encoder(folder, pooler="cls")
    without = embed(encoder, (SENTENCES,), precision="fp32").vectors
    encoder.head, encoder.head_at_test = tanh_head(encoder.width), True
    with_head = embed(encoder, (SENTENCES,), precision="fp32").vectors
    with torch.no_grad():
        np.testing.assert_allclose(with_head, encoder.head(torch.from_numpy(without)).numpy(), atol=1e-5)
    encoder.head_at_test = False
    np.testing.assert_array_equal(embed(encoder, (SENTENCES,), precision="fp32").vectors, without)


def test_a_prompt_goes_before_each_sentence(folder: Path) -> None:
    encoder = load_encoder(folder, pooler="avg")
    expected = embed(encoder, (["a cat", "a stone"],), "fp32").vectors
    encoder.prompt = "a "
    np.testing.assert_array_equal(embed(encoder, (["cat", "stone"],), "fp32").vectors, expected)


def test_bf16_is_near_fp32(folder: Path) -> None:
    encoder = load_encoder(folder, pooler="avg")
    exact, rough = (embed(encoder, (SENTENCES,), precision=p).vectors for p in ("fp32", "bf16"))  # type: ignore[arg-type]
    norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(rough, axis=1)
    assert ((exact * rough).sum(axis=1) / norms).min() > 0.999
    assert not np.array_equal(exact, rough)
    assert default_precision(torch.device("cpu")) == "fp32"


def test_every_module_is_left_in_the_mode_it_was_in(folder: Path) -> None:
    encoder = load_encoder(folder, pooler="avg").train()
    encoder.backbone.embeddings.eval()  # type: ignore[operator, union-attr]
    before = [part.training for part in encoder.modules()]
    first = embed(encoder, (SENTENCES,), precision="fp32").vectors
    assert [part.training for part in encoder.modules()] == before
    np.testing.assert_array_equal(first, embed(encoder.eval(), (SENTENCES,), precision="fp32").vectors)  # no dropout
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_an_error_and_the_mode_still_restored(folder: Path, value: float) -> None:
    encoder = load_encoder(folder, pooler="cls")
    row = int(encoder.tokenizer("lamp")["input_ids"][1])
    with torch.no_grad():
        encoder.backbone.embeddings.word_embeddings.weight[row] = value  # type: ignore[index, union-attr]
    encoder.train()
    with pytest.raises(RunError, match=r"2 of 12 sentence embeddings hold NaN or infinite values, so they have no sc"):
        embed(encoder, (SENTENCES,), precision="fp32")
    assert encoder.training


def test_nothing_to_embed_is_an_error(folder: Path) -> None:
    encoder = load_encoder(folder, pooler="avg")
    with pytest.raises(RunError, match="no sentence"):
        embed_tokens(encoder, tokens_of(encoder, []))
