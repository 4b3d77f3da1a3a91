"""A side loss and a modality of one's own: what docs/own-method.md shows."""
