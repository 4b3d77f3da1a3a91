"""Data sets: sentences, images, audio, STS pairs. Nothing here knows a model."""
