"""Sentences as token ids, end to end in one array: made once, kept and shared by all runs of a machine.

N sentences of a table, B of a batch, T tokens.
"""

import json
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import tokenizers
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from nlcse_tune.data.cache import cached
from nlcse_tune.files import replacing

OFFSETS = ".offsets.npy"
_CHUNK = 2048  # sentences of one tokenizer call
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


def distinct_rows(table: TokenTable) -> tuple[TokenTable, NDArray[np.int64]]:
    """The different rows of a table, in an order that hangs on them alone, and which of them each of its rows is."""
    rows = [table.ids[start:end].tobytes() for start, end in pairwise(table.offsets.tolist())]
    places = {row: place for place, row in enumerate(sorted(set(rows)))}
    sizes = [len(row) // table.ids.itemsize for row in places]
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    ids = np.frombuffer(b"".join(places), dtype=table.ids.dtype)
    return TokenTable(ids, offsets), np.array([places[row] for row in rows], dtype=np.int64)


def tokenize(sentences: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> TokenTable:
    """Token ids of `sentences`, each cut at `max_length` tokens with special tokens; on all cores."""
    encode = _encoder(tokenizer, min(max_length, _LONGEST))
    ids, lengths = array("i"), np.zeros(len(sentences) + 1, dtype=np.int64)
    for start in range(0, len(sentences), _CHUNK):
        for place, row in enumerate(encode(list(sentences[start : start + _CHUNK])), start + 1):
            ids.extend(row)
            lengths[place] = len(row)
    return TokenTable(np.frombuffer(ids, dtype=np.int32), np.cumsum(lengths))


def _encoder(tokenizer: PreTrainedTokenizerBase, max_length: int) -> Callable[[list[str]], Iterable[list[int]]]:
    """What makes the ids of a list of sentences."""
    cut = {"truncation": True, "max_length": max_length, "return_attention_mask": False}
    if _in_python(tokenizer):
        return lambda texts: tokenizer(texts, **cut)["input_ids"]
    tokenizer([""], **cut)  # sets how a sentence is cut in the library below, which makes no dictionary for each
    encode = tokenizer.backend_tokenizer.encode_batch_fast
    return lambda texts: (encoding.ids for encoding in encode(texts))


def _in_python(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer is written in Python, or does something in Python before or after the library below it."""
    usual = PreTrainedTokenizerFast
    return any(getattr(type(tokenizer), name) is not getattr(usual, name) for name in ("__call__", "_encode_plus"))


def cached_tables(
    content: str, read: Callable[[], Sequence[Sequence[str]]], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[TokenTable, ...]:
    """As `tokenize`, of each of a text's columns (equally long, C of them), memory-mapped: made once on a machine.

    `content` says what `read` returns, and it is read only where nobody has made its tables yet. A tokenizer in Python
    does not say what it does: its tables are made by each process, for itself.
    """
    if _in_python(tokenizer):
        return tuple(tokenize(column, tokenizer, max_length) for column in read())
    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    for setting in ("truncation", "padding"):  # left over from the last call, whatever it was
        definition.pop(setting, None)
    # How a sentence is cut is not in the definition, which has it only while one is being cut.
    cutting = (tokenizer.truncation_side, tokenizer.split_special_tokens, tokenizers.__version__)
    key = f"{content}\n{max_length}\n{cutting}\n{json.dumps(definition)}"

    def make(path: Path) -> None:
        tables = [tokenize(column, tokenizer, max_length) for column in read()]
        starts = np.cumsum([0, *(len(table.ids) for table in tables)])
        offsets = np.stack([table.offsets + start for table, start in zip(tables, starts, strict=False)])
        _save(path.with_suffix(OFFSETS), offsets)  # first: once there are ids there is all
        _save(path, tables[0].ids if len(tables) == 1 else np.concatenate([table.ids for table in tables]))

    path = cached("tokens", key, ".npy", make, beside=OFFSETS)
    ids, offsets = np.load(path, mmap_mode="r"), np.load(path.with_suffix(OFFSETS), mmap_mode="r")
    return tuple(TokenTable(ids, own) for own in offsets)


def _save(path: Path, array: NDArray[np.generic]) -> None:
    with replacing(path) as temporary, temporary.open("wb") as stream:
        np.save(stream, array)
