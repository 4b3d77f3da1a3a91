"""A text made smaller, or worse, on purpose: the NLI subsets of Figure 2 and the noise of Figure 3 (§5.1).

What is kept, and what is put in, hangs on the text and these settings alone: it is the same at each seed of a run.
"""

from typing import Any

import numpy as np

from nlcse_tune.config import TextConfig

SETTINGS = ("limit", "deletion", "insertions", "swaps")
_KEPT, _NOISE = 201, 202  # seeds of the two generators


def settings_of(config: TextConfig) -> dict[str, Any]:
    """Those of SETTINGS that change the text."""
    return {name: value for name in SETTINGS if (value := getattr(config, name))}


def altered(columns: tuple[list[str], ...], config: TextConfig) -> tuple[list[str], ...]:
    """`limit` of the rows, in their order (a smaller number's rows are among a larger one's), with noise in each."""
    if config.limit:
        shuffled = np.random.default_rng(_KEPT).permutation(len(columns[0]))
        rows = np.sort(shuffled[: config.limit]).tolist()
        columns = tuple([column[row] for row in rows] for column in columns)
    if config.deletion or config.insertions or config.swaps:
        columns = tuple(_noisy(column, number, config) for number, column in enumerate(columns))
    return columns


def _noisy(sentences: list[str], number: int, config: TextConfig) -> list[str]:
    rng, words = np.random.default_rng([_NOISE, number]), " ".join(sentences).split()
    return [" ".join(_noise(sentence.split(), words, rng, config)) for sentence in sentences]


def _noise(words: list[str], others: list[str], rng: np.random.Generator, config: TextConfig) -> list[str]:
    """A sentence with words deleted (one stays), words of the whole text inserted, and pairs of words exchanged.

    The paper does not say where its insertions come from; here each is a word drawn from the text, as often as it
    stands there.
    """
    drawn = rng.random(len(words)) >= config.deletion
    kept = [word for word, stays in zip(words, drawn, strict=True) if stays] or words[:1]
    for _ in range(config.insertions):
        kept.insert(int(rng.integers(len(kept) + 1)), others[int(rng.integers(len(others)))])
    for _ in range(config.swaps if len(kept) > 1 else 0):
        i, step = int(rng.integers(len(kept))), int(rng.integers(1, len(kept)))
        j = (i + step) % len(kept)
        kept[i], kept[j] = kept[j], kept[i]
    return kept
