"""Training text: tokenising, batching."""

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from nlcse_tune.config import EncoderConfig, TextConfig
from nlcse_tune.data import tokens
from nlcse_tune.data.columns import load_columns
from nlcse_tune.data.text import load_text, train_tokenizer
from tests.shared_data import DATA, needs_data


def test_a_scratch_vocabulary_is_complete_and_the_same_twice() -> None:
    columns = load_columns(TextConfig(data="synthetic", objective="supervised"))
    first, second = (train_tokenizer(columns, EncoderConfig(checkpoint="scratch")) for _ in range(2))
    assert first.get_vocab() == second.get_vocab()
    encoded = first(columns[0] + columns[1])["input_ids"]
    assert first.unk_token_id not in {token for row in encoded for token in row}
    assert first.tokenize(columns[0][0])[-1].isalpha()


def test_batches_are_ordered_view_by_view_and_padded_to_the_whole_batch() -> None:
    config = TextConfig(data="synthetic", objective="supervised", batch_size=4)
    columns = load_columns(config)
    tokenizer = train_tokenizer(columns, EncoderConfig(checkpoint="scratch"))
    data = load_text(config, tokenizer, columns)
    items = np.array([5, 0, 9, 7])
    whole = data.batch(items)
    assert data.views == 3
    assert len(whole.input_ids) == 12
    for view in range(3):
        for position, item in enumerate(items):
            decoded = tokenizer.decode(whole.input_ids[view * 4 + position], skip_special_tokens=True)
            assert decoded == columns[view][item]
    assert torch.equal(whole.attention_mask, (whole.input_ids != tokenizer.pad_token_id).long())
    part = data.batch(items, slice(1, 3))
    assert torch.equal(part.input_ids, whole.input_ids[[1, 2, 5, 6, 9, 10]])


def test_unsupervised_views_are_the_same_sentence() -> None:
    config = TextConfig(data="synthetic", batch_size=2)
    columns = load_columns(config)
    data = load_text(config, train_tokenizer(columns, EncoderConfig()), columns)
    batch = data.batch(np.array([3, 8]))
    assert data.views == 2
    assert torch.equal(batch.input_ids[:2], batch.input_ids[2:])


def test_big_texts_are_tokenised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "CACHE_FROM", 10)
    config = TextConfig(data="synthetic", batch_size=2)
    columns = load_columns(config)
    tokenizer = train_tokenizer(columns, EncoderConfig())
    first = load_text(config, tokenizer, columns)
    monkeypatch.setattr(tokens, "tokenize", lambda *arguments: pytest.fail("tokenised twice"))
    second = load_text(config, tokenizer, columns)
    assert isinstance(second.columns[0].ids, np.memmap)
    assert np.array_equal(first.columns[0].ids, second.columns[0].ids)
    items = np.array([7, 0, 3])
    assert torch.equal(first.batch(items).input_ids, second.batch(items).input_ids)


@needs_data
def test_a_known_sentence_has_no_unknown_token() -> None:
    # BertTokenizerFast(vocab_file=...) in transformers 5 silently knows five entries.
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "bert_uncased_vocab")
    table = tokens.tokenize(["A man is playing a guitar."], tokenizer, 32)
    assert tokenizer.convert_ids_to_tokens(table.ids.tolist()) == [
        "[CLS]", "a", "man", "is", "playing", "a", "guitar", ".", "[SEP]",
    ]  # fmt: skip
