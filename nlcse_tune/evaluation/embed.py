"""Sentences to vectors, fast and in bounded memory.

Every distinct sentence is tokenised and embedded once. Sentences go through the encoder in order of their token
count, in batches of at most `budget` tokens, padding included; a batch ends where the length changes once it is
large enough to keep the device busy, so that nearly all batches hold sentences of one length: no padding to compute
and no attention mask to apply. None of this changes a score (rounding aside); together it is what makes
`benchmarks/evaluation.py` fast.

N sentences (distinct), B sentences of a batch, T tokens, D width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from nlcse_tune.errors import RunError
from nlcse_tune.models.encoder import SentenceEncoder

Precision = Literal["fp32", "bf16"]
Vectors = NDArray[np.float32]

_CHUNK = 8192  # sentences a tokenizer call


@dataclass(frozen=True)
class Tokens:
    """Token ids of N sentences, end to end in one array: sentence i is `ids[starts[i]:starts[i + 1]]`."""

    ids: NDArray[np.int32]
    starts: NDArray[np.int64]  # (N + 1,)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,) tokens of each sentence, special ones included."""
        return np.diff(self.starts)

    def padded(self, rows: NDArray[np.int64], pad: int) -> tuple[Tensor, Tensor]:
        """The sentences `rows` as (B, T) token ids and attention mask, padded on the right."""
        lengths = self.lengths[rows]
        width = int(lengths.max())
        mask = np.arange(width) < lengths[:, None]
        take = np.minimum(self.starts[rows, None] + np.arange(width), len(self.ids) - 1)
        ids = np.where(mask, self.ids[take], pad)
        return torch.from_numpy(ids.astype(np.int64)), torch.from_numpy(mask.astype(np.int64))


@dataclass(frozen=True)
class Distinct:
    """Sentences without repetition, and where each one's vector will lie."""

    sentences: list[str]
    position: dict[str, int]

    def rows(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these sentences' vectors."""
        return np.fromiter((self.position[s] for s in sentences), dtype=np.int64, count=len(sentences))


@dataclass(frozen=True)
class Bank:
    """The vectors (N, D) of the distinct sentences of an evaluation."""

    distinct: Distinct
    vectors: Vectors

    def rows(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these sentences' vectors."""
        return self.distinct.rows(sentences)

    def of(self, sentences: Sequence[str]) -> Vectors:
        """(len(sentences), D), a repeated sentence repeated."""
        return self.vectors[self.rows(sentences)]


def distinct(groups: Iterable[Sequence[str]]) -> Distinct:
    """The distinct sentences of several lists, in order of first appearance."""
    sentences = list(dict.fromkeys(sentence for group in groups for sentence in group))
    return Distinct(sentences, {sentence: row for row, sentence in enumerate(sentences)})


def tokenize(tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str], max_length: int) -> Tokens:
    """Token ids with special tokens, cut at `max_length` tokens."""
    rows: list[NDArray[np.int32]] = []
    for start in range(0, len(sentences), _CHUNK):
        encoded = tokenizer(
            list(sentences[start : start + _CHUNK]),
            truncation=True,
            max_length=max_length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        rows.extend(np.array(ids, dtype=np.int32) for ids in encoded["input_ids"])
    starts = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return Tokens(np.concatenate(rows) if rows else np.empty(0, np.int32), starts)


def batches(lengths: NDArray[np.int64], budget: int, full_enough: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch, longest sentences first, so that memory peaks (or runs out) at the start.

    A batch holds at most `budget` tokens with its padding, but always one sentence; from `full_enough` tokens on it
    takes no sentence of another length.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        end = min(start + max(1, budget // longest), len(order))
        same = start + int(np.searchsorted(-lengths[order[start:end]], -longest, side="right"))
        if (same - start) * longest >= full_enough:
            end = same
        yield order[start:end]
        start = end


def default_precision(device: torch.device) -> Precision:
    """bf16 on a GPU that has it, else fp32."""
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def embed_tokens(
    encoder: SentenceEncoder,
    tokens: Tokens,
    *,
    precision: Precision | None = None,
    budget: int | None = None,
    progress: bool = False,
) -> Vectors:
    """(N, D) vectors as `encoder.embed` gives them, in the order of `tokens`.

    The encoder is put in evaluation mode and left in the mode it was in. Memory on the device is bounded by
    `budget` tokens (default: 64k on a GPU, 2k elsewhere), whatever N is. Raises RunError for NaN or infinite values.
    """
    device, count = encoder.device, len(tokens.lengths)
    if count == 0:
        raise RunError("no sentence to embed")
    budget = budget or (65536 if device.type == "cuda" else 2048)
    result = _Result(count)
    with evaluating(encoder), _arithmetic(device, precision or default_precision(device)), _bar(progress) as advance:
        for rows in batches(tokens.lengths, budget, full_enough=budget // 4):
            ids, mask = tokens.padded(rows, int(encoder.tokenizer.pad_token_id))
            result.put(rows, encoder.embed(ids.to(device), mask.to(device)))
            advance(len(rows), count)
    return result.finished()


def embed(
    encoder: SentenceEncoder,
    groups: Iterable[Sequence[str]],
    *,
    precision: Precision | None = None,
    budget: int | None = None,
    progress: bool = False,
) -> Bank:
    """The vectors of several lists of sentences; what they share is embedded once.

    Sentences are cut only at the model's own maximum. Arguments and errors as in `embed_tokens`.
    """
    sentences = distinct(groups)
    tokens = tokenize(encoder.tokenizer, sentences.sentences, encoder.max_length)
    return Bank(sentences, embed_tokens(encoder, tokens, precision=precision, budget=budget, progress=progress))


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every sub-module's own mode is restored at the end."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _arithmetic(device: torch.device, precision: Precision) -> Iterator[None]:
    """bf16 autocast, or fp32 that is exact: no TF32, no autocast of a caller's."""
    before = torch.get_float32_matmul_precision()
    exact = device.type == "cuda" and precision == "fp32" and before != "highest"
    if exact:
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        if exact:
            torch.set_float32_matmul_precision(before)


class _Result:
    """(N, D) vectors in the making. A batch is copied off the device once the next one is queued there."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.vectors: Vectors | None = None
        self.waiting: tuple[NDArray[np.int64], Tensor] | None = None

    def put(self, rows: NDArray[np.int64], vectors: Tensor) -> None:
        """Takes the vectors (B, D) of `rows`."""
        before, self.waiting = self.waiting, (rows, vectors)
        self._copy(before)

    def finished(self) -> Vectors:
        """All vectors; RunError if one is not finite."""
        self._copy(self.waiting)
        assert self.vectors is not None
        if bad := int((~np.isfinite(self.vectors).all(axis=1)).sum()):
            raise RunError(
                f"{bad} of {self.count} sentence embeddings hold NaN or infinite values, so they have no score: the "
                "weights have diverged (a lower learning rate helps) or the checkpoint is damaged"
            )
        return self.vectors

    def _copy(self, batch: tuple[NDArray[np.int64], Tensor] | None) -> None:
        if batch is None:
            return
        rows, vectors = batch
        if self.vectors is None:
            self.vectors = np.empty((self.count, vectors.shape[1]), dtype=np.float32)
        self.vectors[rows] = vectors.float().cpu().numpy()


@contextmanager
def _bar(show: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, as a function of (sentences done, sentences in all); silent unless `show`."""
    if not show:
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("embedding"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("sentences"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("embedding", total=None)
        yield lambda done, total: bar.update(task, advance=done, total=total)
