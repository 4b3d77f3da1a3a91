"""Appendix C: the sentences of a corpus nearest to a query, by cosine.

N distinct sentences of the corpus, Q queries, D width, K results for each query.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlcse_tune.config import Frozen
from nlcse_tune.data.lines import read_lines, spaced
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.evaluation.embed import Embedder, Progress, embed, silent
from nlcse_tune.evaluation.sts import check_vary
from nlcse_tune.names import Precision


class Hit(Frozen):
    """One retrieved sentence."""

    sentence: str
    cosine: float


def load_corpus(path: Path, hint: str = "give a UTF-8 text file with one sentence per line as --corpus") -> list[str]:
    """The distinct sentences of a UTF-8 file, one per line; empty lines do not count. Errors end in the hint."""
    sentences = [sentence for sentence in dict.fromkeys(map(spaced, read_lines(path, hint=hint))) if sentence]
    if len(sentences) < 2:
        raise DataError(f"{path}: {len(sentences)} distinct sentences, nothing to choose from: {hint}")
    return sentences


def retrieve(
    model: Embedder,
    queries: Sequence[str],
    corpus: Sequence[str],
    *,
    top: int = 3,
    precision: Precision | None = None,
    progress: Progress = silent,
) -> dict[str, list[Hit]]:
    """The `top` nearest sentences of each query, nearest first; the query itself is never among them."""
    if top < 1 or not queries:
        raise ConfigError(f"retrieval needs a query and --top of at least 1, got {len(queries)} queries, --top {top}")
    queries = [spaced(query) for query in queries]
    bank = embed(model, (corpus, queries), precision, progress)
    for sentences in (corpus, queries):
        if not (lengths := np.linalg.norm(bank.of(sentences), axis=1)).all():
            raise RunError(f"{sentences[int(lengths.argmin())]!r} has the zero vector, so it has no cosine")
    check_vary(bank.of(corpus[:4096]))
    vectors = bank.of(corpus)
    norms = np.linalg.norm(vectors, axis=1)
    hits = {}
    for query, vector in zip(queries, bank.of(queries), strict=True):
        cosines = vectors @ vector / (norms * np.linalg.norm(vector))
        count = min(top + 1, len(cosines))  # one more than asked: the query may be in the corpus
        best = np.argpartition(-cosines, count - 1)[:count].tolist()
        ranked = [row for row in sorted(best, key=lambda row: -cosines[row]) if corpus[row] != query][:top]
        hits[query] = [Hit(sentence=corpus[row], cosine=float(cosines[row])) for row in ranked]
    return hits
