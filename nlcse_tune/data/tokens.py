"""Sentences as token ids, end to end in one array: made once, kept between runs where there are many.

N sentences of a table, B of a batch, T tokens.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from nlcse_tune.files import replacing
from nlcse_tune.paths import cache_folder

CACHE_FROM = 20_000  # sentences; fewer are tokenised in a second
_CHUNK = 8192  # sentences of one tokenizer call
_LONGEST = 1_000_000  # tokens; a tokenizer that knows no maximum says 1e30, which overflows


@dataclass(frozen=True)
class TokenTable:
    """Token ids of N sentences, special tokens included: sentence i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]  # (all tokens,)
    offsets: NDArray[np.int64]  # (N + 1,)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Tokens of each of `rows`."""
        return np.asarray(self.offsets[rows + 1] - self.offsets[rows])

    def padded(self, rows: NDArray[np.int64], pad: int, width: int | None = None) -> tuple[Tensor, Tensor]:
        """The sentences `rows` as (B, T) ids and attention mask, padded on the right; T is `width` or the longest."""
        lengths = self.lengths(rows)
        columns = np.arange(int(lengths.max()) if width is None else width)
        mask = columns < lengths[:, None]
        take = np.minimum(self.offsets[rows, None] + columns, len(self.ids) - 1)
        ids = np.where(mask, self.ids[take], pad)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))


def tokenize(sentences: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenTable:
    """Token ids of `sentences`, each cut at `max_length` tokens with special tokens."""
    rows: list[NDArray[np.int32]] = []
    for start in range(0, len(sentences), _CHUNK):
        encoded = tokenizer(
            list(sentences[start : start + _CHUNK]), truncation=True, max_length=min(max_length, _LONGEST),
            return_attention_mask=False, return_token_type_ids=False,
        )  # fmt: skip
        rows.extend(np.array(ids, dtype=np.int32) for ids in encoded["input_ids"])
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return TokenTable(np.concatenate(rows) if rows else np.empty(0, np.int32), offsets)


def cached_table(sentences: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenTable:
    """As `tokenize`; big texts once, in a memory-mapped cache."""
    if len(sentences) < CACHE_FROM:
        return tokenize(sentences, tokenizer, max_length)
    files = _cache_files(sentences, tokenizer, max_length)
    if not all(path.is_file() for path in files):
        table = tokenize(sentences, tokenizer, max_length)
        for path, array in ((files[0], table.ids), (files[1], table.offsets)):
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, np.asarray(array))
    ids, offsets = (np.load(path, mmap_mode="r") for path in files)
    return TokenTable(ids, offsets)


def _cache_files(sentences: list[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> list[Path]:
    """The files of ids and offsets, named by everything that they depend on."""
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    for setting in ("truncation", "padding"):  # left over from the last call, whatever it was
        definition.pop(setting, None)
    key = hashlib.blake2b(digest_size=16)
    for part in (json.dumps(definition), str(max_length), *sentences):
        key.update(f"{part}\n".encode())
    return [cache_folder() / "tokens" / f"{key.hexdigest()}-{name}.npy" for name in ("ids", "offsets")]
