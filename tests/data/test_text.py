"""Training text: tokenising, batching."""

import hashlib
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import normalizers, pre_tokenizers
from transformers import AutoTokenizer, ByT5Tokenizer, PreTrainedTokenizerFast

from nlcse_tune.config import EncoderConfig, TextConfig
from nlcse_tune.data import columns as columns_module
from nlcse_tune.data import text, tokens
from nlcse_tune.data.columns import TextSource, load_columns
from nlcse_tune.data.text import load_text, scratch_tokenizer, train_tokenizer
from nlcse_tune.errors import DataError
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
    data = load_text(TextSource(config), tokenizer)
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


def test_unsupervised_views_are_the_same_sentence_gathered_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TextConfig(data="synthetic", batch_size=2)
    columns = load_columns(config)
    data = load_text(TextSource(config), train_tokenizer(columns, EncoderConfig()))
    padded, made = tokens.TokenTable.padded, []
    monkeypatch.setattr(tokens.TokenTable, "padded", lambda *given: (made.append(given), padded(*given))[1])
    batch = data.batch(np.array([3, 8]))
    assert data.views == 2
    assert len(made) == 1
    assert torch.equal(batch.input_ids[:2], batch.input_ids[2:])
    assert torch.equal(batch.attention_mask[:2], batch.attention_mask[2:])


def test_a_text_is_read_and_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    config = TextConfig(data="synthetic", objective="supervised", batch_size=2)
    scratch = EncoderConfig(checkpoint="scratch")
    tokenizer = scratch_tokenizer(TextSource(config), scratch)
    first = load_text(TextSource(config), tokenizer)
    for module, name in ((tokens, "tokenize"), (text, "train_tokenizer"), (columns_module, "load_columns")):
        monkeypatch.setattr(module, name, lambda *arguments: pytest.fail("made twice"))
    source = TextSource(config)
    again = scratch_tokenizer(source, scratch)
    second = load_text(source, again)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert isinstance(second.columns[0].ids, np.memmap)
    items = np.array([7, 0, 3])
    assert torch.equal(first.batch(items).input_ids, second.batch(items).input_ids)


def test_a_cache_that_cannot_be_written_to_stops_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "file"))  # no folder, and cannot become one
    config = TextConfig(data="synthetic", batch_size=2)
    made = load_text(TextSource(config), scratch_tokenizer(TextSource(config), EncoderConfig(checkpoint="scratch")))
    assert len(made) == len(load_columns(config)[0])


def test_a_half_emptied_cache_is_filled_again(tmp_path: Path) -> None:
    config = TextConfig(data="synthetic", batch_size=2)
    tokenizer = scratch_tokenizer(TextSource(config), EncoderConfig(checkpoint="scratch"))
    first = load_text(TextSource(config), tokenizer)
    for path in (tmp_path / "cache" / "tokens").glob(f"*{tokens.OFFSETS}"):
        path.unlink()
    assert len(load_text(TextSource(config), tokenizer)) == len(first)


@pytest.mark.parametrize(
    "change", ["another text", "another length", "another vocabulary", "another objective", "cut on the left"]
)
def test_what_a_texts_tokens_hang_on_is_in_their_name(change: str, tmp_path: Path) -> None:
    path = tmp_path / "text.csv"
    path.write_text("sent0,sent1\na cat and a dog,a dog\nan owl,a bird\n")
    config = TextConfig(data=str(path), objective="supervised", batch_size=2)
    tokenizer = train_tokenizer(load_columns(config), EncoderConfig())
    before = load_text(TextSource(config), tokenizer)
    if change == "another text":
        path.write_text("sent0,sent1\na cat and a dog,a dog\nan owl,a cat\n")
    elif change == "another length":
        config = config.model_copy(update={"max_length": 4})
    elif change == "cut on the left":
        config = config.model_copy(update={"max_length": 4})
        before = load_text(TextSource(config), tokenizer)
        tokenizer.truncation_side = "left"
    elif change == "another vocabulary":
        tokenizer = train_tokenizer((["a dog", "an owl"],), EncoderConfig())
    else:
        other = tmp_path / "text.txt"
        other.write_text(path.read_text())
        config = TextConfig(data=str(other), batch_size=2)
    after = load_text(TextSource(config), tokenizer)
    items = np.array([0, 1])
    one, two = before.batch(items).input_ids, after.batch(items).input_ids
    assert one.shape != two.shape or not torch.equal(one, two)


def test_a_text_that_changes_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("a cat\na dog\n")
    source = TextSource(TextConfig(data=str(path), batch_size=2))
    path.write_text("a cat\nan owl\n")
    with pytest.raises(DataError, match="changed while it was read"):
        _ = source.columns


def test_the_way_a_text_is_read_has_a_number(tmp_path: Path) -> None:
    """What was made of a file is kept between runs: whoever makes other sentences of the same file raises READING."""
    lines, table = tmp_path / "lines.txt", tmp_path / "table.csv"
    lines.write_text('\ufeff a \u00a0 cat\u2028\r\n\r\n \t \n"a, dog"\nan owl')
    table.write_text('sent0,sent1\n" a  cat",a \u00a0 dog\r\nan "owl", a bird\n')
    read = load_columns(TextConfig(data=str(lines), batch_size=2))
    pairs = load_columns(TextConfig(data=str(table), objective="supervised", batch_size=2))
    own = (
        load_columns(TextConfig(data="synthetic"))[0][:50],
        load_columns(TextConfig(data="synthetic", objective="supervised"))[2][:50],
    )
    digest = hashlib.blake2b(repr((read, pairs, own)).encode(), digest_size=4).hexdigest()
    assert (columns_module.READING, digest) == ("1", "c0692bb8"), (read, pairs)


def test_the_way_a_vocabulary_is_made_has_a_number() -> None:
    made = train_tokenizer(load_columns(TextConfig(data="synthetic")), EncoderConfig())
    definition = repr((sorted(made.get_vocab().items()), made("An OWL, and caf\u00e9s?")["input_ids"]))
    assert (text.MAKING, hashlib.blake2b(definition.encode(), digest_size=4).hexdigest()) == ("1", "5f84e1ce")


def test_a_word_counts_alike_wherever_it_stands_between_spaces() -> None:
    """What stands between spaces is taken apart once: the same words as of whole sentences, and as often."""
    sentences = [
        "Caf\u00e9 cafe\u0301  CAFE, (caf\u00e9)", " \u0301a a\u00a0b\tc \u4e2d\u6587x ",
        "\u0130stanbul \u03a3\u03a3 a\x00b \ufb01x 'tis it's",
    ]  # fmt: skip
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    whole = Counter(w for s in sentences for w, _ in splitter.pre_tokenize_str(normalizer.normalize_str(s)))
    assert text.count_words((sentences[:2], sentences[2:]), normalizer, splitter) == whole


def cut_on_the_left(tokenizer: Any) -> None:
    tokenizer.truncation_side = "left"


def splits_special_tokens(tokenizer: Any) -> None:
    tokenizer.split_special_tokens = True


def was_padding(tokenizer: Any) -> None:
    tokenizer(["a"], padding="max_length", truncation=True, max_length=3, padding_side="left")


@pytest.mark.parametrize("setting", [lambda tokenizer: None, cut_on_the_left, splits_special_tokens, was_padding])
@pytest.mark.parametrize("max_length", [4, 7, 10**30])
def test_token_ids_are_those_of_transformers(setting: Any, max_length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_CHUNK", 3)
    sentences = ["a dog", "", "the thief [SEP] hides a lamp near the harbor", "caf\u00e9 [MASK]", *["stone rock"] * 5]
    tokenizer = train_tokenizer((sentences,), EncoderConfig())
    setting(tokenizer)
    table = tokens.tokenize(sentences, tokenizer, max_length)
    expected = tokenizer(sentences, truncation=True, max_length=min(max_length, 1000))["input_ids"]
    assert [table.ids[start:end].tolist() for start, end in pairwise(table.offsets)] == expected
    assert (table.ids.dtype, len(table)) == (np.int32, 9)
    assert len(tokens.tokenize([], tokenizer, max_length)) == 0


def backwards(sentences: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that turns each sentence round before it hands it on."""

    class Backwards(PreTrainedTokenizerFast):
        def _encode_plus(self, text: Any, *arguments: Any, **options: Any) -> Any:
            return super()._encode_plus([sentence[::-1] for sentence in text], *arguments, **options)

    library = train_tokenizer((sentences,), EncoderConfig()).backend_tokenizer
    return Backwards(tokenizer_object=library, **text.SPECIAL_TOKENS)


def test_a_tokenizer_with_steps_in_python_takes_them() -> None:
    words = ["abc", "cba"]
    plain = train_tokenizer((words,), EncoderConfig())
    assert tokens.tokenize(["abc"], backwards(words), 9).ids.tolist() == tokens.tokenize(["cba"], plain, 9).ids.tolist()


@pytest.mark.parametrize("made", [ByT5Tokenizer(), backwards(["abc", "cba"])], ids=["no library", "a step before it"])
def test_a_tokenizer_in_python_is_used_without_the_cache(made: Any, tmp_path: Path) -> None:
    """It does not say what it does: another one would find its ids there."""
    config = TextConfig(data="synthetic", batch_size=2, max_length=12)
    data = load_text(TextSource(config), made)
    (columns,) = load_columns(config)
    expected = made([columns[3], columns[8]], truncation=True, max_length=12, padding=True)["input_ids"]
    assert data.batch(np.array([3, 8])).input_ids[:2].tolist() == expected
    assert not (tmp_path / "cache" / "tokens").exists()


@needs_data
def test_a_known_sentence_has_no_unknown_token() -> None:
    # BertTokenizerFast(vocab_file=...) in transformers 5 silently knows five entries.
    tokenizer = AutoTokenizer.from_pretrained(DATA / "models" / "bert_uncased_vocab")
    table = tokens.tokenize(["A man is playing a guitar."], tokenizer, 32)
    assert tokenizer.convert_ids_to_tokens(table.ids.tolist()) == [
        "[CLS]", "a", "man", "is", "playing", "a", "guitar", ".", "[SEP]",
    ]  # fmt: skip


def test_distinct_rows_stand_in_an_order_of_their_own() -> None:
    def table(*rows: list[int]) -> tokens.TokenTable:
        offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
        return tokens.TokenTable(np.array([token for row in rows for token in row], dtype=np.int32), offsets)

    rows = [[5, 1], [2, 300, 4], [5, 1], [7], [2, 300, 4]]
    once, place = tokens.distinct_rows(table(*rows))
    taken = [once.ids[start:end].tolist() for start, end in pairwise(once.offsets)]
    assert len(taken) == 3
    assert [taken[at] for at in place] == rows
    again, _ = tokens.distinct_rows(table(*rows[::-1]))
    assert again.ids.tolist() == once.ids.tolist()
