"""Generated sentences: words by Zipf's law, a sixth of them in several pieces, 20 a sentence."""

from itertools import islice, pairwise, product

import numpy as np
from transformers import AutoTokenizer


def generate(count: int, tokenizer: str | None) -> list[str]:
    """Sentences of 5 to 60 words of the tokenizer's vocabulary, or of made-up ones."""
    rng, words = np.random.default_rng(0), np.array(_words(tokenizer), dtype=object)
    chances = 1 / np.arange(3, len(words) + 3)
    lengths = np.clip(rng.lognormal(2.9, 0.4, count).round().astype(int), 5, 60)
    text = words[rng.choice(len(words), p=chances / chances.sum(), size=int(lengths.sum()))]
    how = rng.random(len(text))
    text[how < 0.16] += "ings"
    text[how > 0.94] += ","
    ends = np.cumsum(lengths).tolist()
    return [" ".join(text[start:end]).capitalize() + "." for start, end in pairwise([0, *ends])]


def _words(tokenizer: str | None) -> list[str]:
    """Those of a tokenizer in the order of their ids, frequent ones first; else 20,000 of three syllables."""
    if tokenizer is None:
        syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
        return ["".join(parts) for parts in islice(product(syllables, repeat=3), 20_000)]
    vocabulary = AutoTokenizer.from_pretrained(tokenizer).get_vocab()
    words = (word for word, _ in sorted(vocabulary.items(), key=lambda entry: entry[1]))
    return [word for word in words if word.isalpha() and word.isascii() and len(word) > 1]
