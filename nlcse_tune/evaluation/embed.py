"""Sentences to vectors, fast and in bounded memory.

Every distinct sentence is tokenised and embedded once. Sentences go through the encoder in order of their token
count, in batches of at most `BUDGET` tokens, padding included; a batch ends where the length changes once it is
large enough to keep the device busy, so that nearly all batches hold sentences of one length: no padding to compute
and no attention mask to apply. None of this changes a score (rounding aside); together it is what makes
`benchmarks/evaluation.py` fast.

N sentences (distinct), B sentences of a batch, T tokens, D width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from nlcse_tune.data.tokens import TokenTable, tokenize
from nlcse_tune.errors import RunError
from nlcse_tune.names import Precision

Vectors = NDArray[np.float32]
Rows = dict[str, int]  # distinct sentences and their rows, in order
Batch = tuple[NDArray[np.int64], Tensor]  # rows (B,) and their vectors (B, D)
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is

BUDGET = {"cuda": 65536, "cpu": 2048}  # tokens of a batch: this bounds memory, however many sentences there are


class Embedder(Protocol):
    """What an evaluation asks of a model; `models.encoder.SentenceEncoder` is one."""

    prompt: str  # put before each sentence

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase: ...

    @property
    def max_length(self) -> int:
        """Tokens at which sentences are cut."""

    @property
    def device(self) -> torch.device: ...

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T), (B, T) -> (B, D)."""

    def modules(self) -> Iterator[nn.Module]: ...


def silent(what: str, done: int, total: int) -> None:
    """The progress of an evaluation that nobody watches."""


@dataclass(frozen=True)
class Bank:
    """The vectors (N, D) of the distinct sentences of an evaluation, and the row of each."""

    row: Rows
    vectors: Vectors

    def rows(self, sentences: Sequence[str]) -> NDArray[np.int64]:
        """The rows of these sentences' vectors."""
        return np.fromiter((self.row[sentence] for sentence in sentences), dtype=np.int64, count=len(sentences))

    def of(self, sentences: Sequence[str]) -> Vectors:
        """(len(sentences), D), a repeated sentence repeated."""
        return self.vectors[self.rows(sentences)]


def distinct(groups: Iterable[Sequence[str]]) -> Rows:
    """The distinct sentences of several lists, numbered in order of first appearance."""
    return {sentence: row for row, sentence in enumerate(dict.fromkeys(chain.from_iterable(groups)))}


def tokens_of(model: Embedder, sentences: Iterable[str]) -> TokenTable:
    """Token ids as the model takes them: its prompt before each sentence, cut only at its own maximum."""
    return tokenize([model.prompt + sentence for sentence in sentences], model.tokenizer, model.max_length)


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
    model: Embedder, tokens: TokenTable, precision: Precision | None = None, progress: Progress = silent
) -> Vectors:
    """(N, D) vectors as `model.embed` gives them, in the order of `tokens`.

    The model works in evaluation mode and is left in the mode it was in. Raises RunError for NaN or infinite values.
    """
    if (count := len(tokens)) == 0:
        raise RunError("no sentence to embed")
    done, vectors = 0, None
    with _inference(model, precision or default_precision(model.device)):
        for rows, batch in _one_behind(_embedded(model, tokens)):
            if vectors is None:
                vectors = np.empty((count, batch.shape[1]), dtype=np.float32)
            vectors[rows] = batch.float().cpu().numpy()
            done += len(rows)
            progress("embedding sentences", done, count)
    assert vectors is not None
    if bad := int((~np.isfinite(vectors).all(axis=1)).sum()):
        raise RunError(
            f"{bad} of {count} sentence embeddings hold NaN or infinite values, so they have no score: the weights "
            "have diverged (a lower learning rate helps) or the checkpoint is damaged"
        )
    return vectors


def _embedded(model: Embedder, tokens: TokenTable) -> Iterator[Batch]:
    """Each batch's rows and vectors (B, D), those on the device."""
    budget = BUDGET.get(model.device.type, BUDGET["cpu"])
    for rows in batches(np.diff(tokens.offsets), budget, full_enough=budget // 4):
        ids, mask = tokens.padded(rows, model.tokenizer.pad_token_id or 0)  # masked, so any token will do
        yield rows, model.embed(ids.to(model.device), mask.to(model.device))


def _one_behind(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Hands each batch on once the next one is queued on the device, which so never waits for a copy."""
    before = next(batches)
    for batch in batches:
        yield before
        before = batch
    yield before


def embed(
    model: Embedder, groups: Iterable[Sequence[str]], precision: Precision | None = None, progress: Progress = silent
) -> Bank:
    """The vectors of several lists of sentences; what they share is embedded once. Errors as in `embed_tokens`."""
    row = distinct(groups)
    return Bank(row, embed_tokens(model, tokens_of(model, row), precision, progress))


@contextmanager
def _inference(model: Embedder, precision: Precision) -> Iterator[None]:
    """Evaluation mode without gradients, in bf16 autocast or in fp32 that is exact: no TF32, no autocast of a caller's.

    Every sub-module's own mode is restored at the end, and so is the precision.
    """
    modes = [(part, part.training) for part in model.modules()]
    kind, before = model.device.type, torch.get_float32_matmul_precision()
    exact = kind == "cuda" and precision == "fp32" and before != "highest"
    for part, _ in modes:
        part.training = False
    if exact:
        torch.set_float32_matmul_precision("highest")
    try:
        with torch.inference_mode(), torch.autocast(kind, dtype=torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        if exact:
            torch.set_float32_matmul_precision(before)
