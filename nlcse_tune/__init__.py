"""nlcse-tune: search, repeat and decide for contrastive sentence embeddings with non-linguistic supervision."""

__version__ = "0.1.0"
