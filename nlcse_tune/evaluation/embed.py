"""Sentences to vectors, fast and in bounded memory.

Every distinct row of token ids is embedded once, in order of token count and in batches of at most `BUDGET` tokens,
padding included; a batch ends where the length changes once it is large enough to keep the device busy, so that nearly
all hold sentences of one length: no padding to compute and no attention mask to apply. None of this changes a score:
sentences of the same tokens have the same vector to the last bit, in whatever order they are given, and `sts.cosines`
rounds away what the size of a batch does to a vector.

N sentences (distinct), B sentences of a batch, T tokens, D width.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from nlcse_tune.data.tokens import TokenTable, distinct_rows, tokenize
from nlcse_tune.errors import RunError
from nlcse_tune.names import Precision

Vectors = NDArray[np.float32]
Rows = dict[str, int]  # distinct sentences and their rows, in order
Inputs = tuple[NDArray[np.int64], Tensor, Tensor]  # rows (B,), their ids and their mask (B, T) on the device
Batch = tuple[NDArray[np.int64], Tensor]  # rows (B,) and their vectors (B, D)
Progress = Callable[[str, int, int], None]  # what is being done, how much of it is done, how much there is

BUDGET = {"cuda": 65536, "cpu": 2048}  # tokens of a batch: this bounds memory, however many sentences there are
MOST_UNKNOWN = 0.5  # of the words of an evaluation


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


class Bank(NamedTuple):
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
    """Token ids as the model takes them: its prompt before each sentence, cut only at its own maximum.

    RunError where the tokenizer does not know most of what stands in the sentences, or makes nothing of one.
    """
    texts = [model.prompt + sentence for sentence in sentences]
    tokens = tokenize(texts, model.tokenizer, model.max_length)
    if not (lengths := np.diff(tokens.offsets)).all():
        raise RunError(
            f"the tokenizer makes no token of {texts[int(lengths.argmin())]!r}, so there is nothing to embed"
        )
    if (share := _unknown(tokens, model.tokenizer)) > MOST_UNKNOWN:
        raise RunError(
            f"the tokenizer does not know {share:.0%} of the words, so a score would say nothing of the model: the "
            "tokenizer is another model's, or the sentences are in a language that it was not made for"
        )
    return tokens


def _unknown(tokens: TokenTable, tokenizer: PreTrainedTokenizerBase) -> float:
    """The share of the unknown token among all but special ones; 0 where there is none, or it has another meaning."""
    unknown, special = tokenizer.unk_token_id, tokenizer.all_special_ids
    ends = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    if unknown is None or unknown in ends:
        return 0.0
    words = tokens.ids[~np.isin(tokens.ids, [token for token in special if token != unknown])]
    return float((words == unknown).mean()) if len(words) else 0.0


def batches(lengths: NDArray[np.int64], budget: int, full_enough: int) -> Iterator[NDArray[np.int64]]:
    """Rows of each batch, longest sentences first, so that memory peaks (or runs out) at the start.

    At most `budget` tokens with padding, but always one sentence; from `full_enough` tokens on of one length alone.
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


def inputs_of(model: Embedder, tokens: TokenTable) -> Iterator[Inputs]:
    """Every sentence of `tokens` once, in batches as the model's device takes them, each made when it is asked for."""
    budget = BUDGET.get(model.device.type, BUDGET["cpu"])
    for rows in batches(np.diff(tokens.offsets), budget, full_enough=budget // 4):
        ids, mask = tokens.padded(rows, model.tokenizer.pad_token_id or 0)  # masked, so any token will do
        yield rows, ids.to(model.device, non_blocking=True), mask.to(model.device, non_blocking=True)


def embed_tokens(
    model: Embedder, tokens: TokenTable, precision: Precision | None = None, progress: Progress = silent
) -> Vectors:
    """As `embed_inputs`, in the order of `tokens`."""
    return embed_inputs(model, inputs_of(model, tokens), len(tokens), precision, progress)


def embed_inputs(
    model: Embedder,
    inputs: Iterable[Inputs],
    count: int,
    precision: Precision | None = None,
    progress: Progress = silent,
) -> Vectors:
    """(N, D) vectors of all rows in `inputs`, N = `count`; the model's mode stays. RunError for NaN or infinity."""
    if count == 0:
        raise RunError("no sentence to embed")
    done = 0
    with _inference(model, precision or default_precision(model.device)):
        for rows, batch in _embedded(model, inputs):
            if not done:
                vectors = np.empty((count, batch.shape[1]), dtype=np.float32)
            vectors[rows] = batch.float().cpu().numpy()
            done += len(rows)
            progress("embedding sentences", done, count)
    if bad := int((~np.isfinite(vectors).all(axis=1)).sum()):
        raise RunError(
            f"{bad} of {count} sentence embeddings hold NaN or infinite values, so they have no score: the weights "
            "have diverged (a lower learning rate helps) or the checkpoint is damaged"
        )
    return vectors


def _embedded(model: Embedder, inputs: Iterable[Inputs]) -> Iterator[Batch]:
    """Each batch's rows and its vectors (B, D) on the device, which has the next batch by then: it never waits."""
    queued: list[Batch] = []
    for rows, ids, mask in inputs:
        queued.append((rows, model.embed(ids, mask)))
        if len(queued) > 1:
            yield queued.pop(0)
    yield from queued


def embed(
    model: Embedder, groups: Iterable[Sequence[str]], precision: Precision | None = None, progress: Progress = silent
) -> Bank:
    """The vectors of several lists of sentences; what they share is embedded once. Errors as in `embed_tokens`."""
    row = distinct(groups)
    tokens, place = distinct_rows(tokens_of(model, row))
    return Bank(row, embed_tokens(model, tokens, precision, progress)[place])


@contextmanager
def _inference(model: Embedder, precision: Precision) -> Iterator[None]:
    """Evaluation mode, no gradients, bf16 autocast or exact fp32: no TF32, no autocast of a caller's. Restores all."""
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
