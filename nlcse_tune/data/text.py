"""Training text as batches of token ids.

B items of a batch, b of them this worker's, V views (2, or 3 with hard negatives), T tokens; row v * B + i of a batch
is view v of item i.
"""

from collections import Counter
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlcse_tune.config import EncoderConfig
from nlcse_tune.data.cache import cached
from nlcse_tune.data.columns import Columns, TextSource, check_rows
from nlcse_tune.data.tokens import TokenTable, cached_tables
from nlcse_tune.errors import DataError
from nlcse_tune.files import write_text

MAKING = "1"  # raised when `train_tokenizer` makes another vocabulary of the same text
SPECIAL_TOKENS = {f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP", "MASK")}


class TextBatch(NamedTuple):
    """This worker's rows of one global batch."""

    input_ids: Tensor  # (V * b, T)
    attention_mask: Tensor  # (V * b, T)


class TextData:
    """Tokenised training text; `views` is 2 (unsupervised, or pairs) or 3 (triplets)."""

    def __init__(self, columns: tuple[TokenTable, ...], pad_id: int) -> None:
        self.columns = columns
        # Unsupervised: both views of an item are the same sentence, told apart by dropout alone (Eq. 2).
        self.repeats = 2 if len(columns) == 1 else 1
        self.pad_id = pad_id

    @property
    def views(self) -> int:
        """V."""
        return self.repeats * len(self.columns)

    def __len__(self) -> int:
        return len(self.columns[0])

    def batch(self, items: np.ndarray, local: slice = slice(None)) -> TextBatch:
        """The rows of items `items[local]`, padded to the longest sentence of the *whole* batch `items`.

        Padding to the global length keeps dropout masks, and so results, the same on any number of workers.
        """
        longest = max(int(column.lengths(items).max()) for column in self.columns)
        ids, masks = zip(*(column.padded(items[local], self.pad_id, longest) for column in self.columns), strict=True)
        return TextBatch(torch.cat(ids * self.repeats), torch.cat(masks * self.repeats))


def load_text(source: TextSource, tokenizer: PreTrainedTokenizerBase) -> TextData:
    """The columns of a text, tokenised and cut at its `max_length`: once for all runs of a node."""
    if tokenizer.pad_token_id is None:
        raise DataError("the encoder's tokenizer has no padding token, which batches need")
    tables = cached_tables(source.key, lambda: source.columns, tokenizer, source.config.max_length)
    check_rows(source.config, len(tables[0]))
    for table in tables:
        if len(empty := np.flatnonzero(np.diff(table.offsets) == 0)):
            raise DataError(f"{source.config.data}: the encoder's tokenizer has no token for sentence {empty[0] + 1}")
    return TextData(tables, int(tokenizer.pad_token_id))


def scratch_tokenizer(source: TextSource, config: EncoderConfig) -> PreTrainedTokenizerBase:
    """As `train_tokenizer` makes it of a text's columns: once for all runs of a node."""

    def make(path: Path) -> None:
        write_text(path, train_tokenizer(source.columns, config).backend_tokenizer.to_str())

    path = cached("tokenizers", f"{source.key}\n{MAKING}\n{config.scratch.vocab_size}", ".json", make)
    return _as_fast(Tokenizer.from_file(str(path)))


def train_tokenizer(columns: Columns, config: EncoderConfig) -> PreTrainedTokenizerBase:
    """A lower-case WordPiece tokenizer with BERT's special tokens, its vocabulary made from the run's own text.

    Every character, alone and as a continuation, then whole words by falling frequency. `tokenizers`' own trainer
    breaks ties by the order of a hash map (LOG.md, 2026-11-21): no run with it could be repeated.
    """
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = count_words(columns, normalizer, splitter)
    characters = sorted({character for word in words for character in word})
    frequent = sorted((word for word in words if len(word) > 1), key=lambda word: (-words[word], word))
    pieces = [*SPECIAL_TOKENS.values(), *characters, *(f"##{character}" for character in characters), *frequent]
    vocabulary = {piece: index for index, piece in enumerate(pieces[: config.scratch.vocab_size])}
    model = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    model.normalizer, model.pre_tokenizer = normalizer, splitter
    model.post_processor = processors.BertProcessing(("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"]))
    model.decoder = decoders.WordPiece()
    return _as_fast(model)


def count_words(
    columns: Columns, normalizer: normalizers.BertNormalizer, splitter: pre_tokenizers.BertPreTokenizer
) -> Counter[str]:
    """How often each word stands in the columns.

    What is between two spaces is taken apart once, however often it occurs: neither step looks across a space.
    """
    between = Counter(chain.from_iterable(sentence.split(" ") for column in columns for sentence in column))
    words: Counter[str] = Counter()
    for text, count in between.items():
        for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text)):
            words[word] += count
    return words


def _as_fast(model: Tokenizer) -> PreTrainedTokenizerBase:
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=model, model_max_length=128, **SPECIAL_TOKENS
    )
