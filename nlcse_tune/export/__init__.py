"""A run as a folder that sentence-transformers loads, with a model card."""
