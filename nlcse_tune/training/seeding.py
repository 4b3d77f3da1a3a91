"""One seed, many generators: every random choice of a run draws from a stream of its own.

A stream is keyed by (seed, name, position), so nothing depends on what another stream drew before: SimCSE and
VisualCSE at one seed see the same sentences and the same text dropout, any number of workers and any
micro-batch see the same masks, and a restarted run needs no generator state but its step.
"""

import hashlib

import numpy as np


def derive(seed: int, stream: str, *position: int) -> int:
    """A 63-bit seed for (seed, stream, position); the same on every machine."""
    text = "/".join((str(seed), stream, *map(str, position)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(seed: int, stream: str, *position: int) -> np.random.Generator:
    return np.random.default_rng(derive(seed, stream, *position))


class Order:
    """Which items make up the global batch of each step: a permutation an epoch, its last partial batch left out."""

    def __init__(self, items: int, batch_size: int, seed: int, stream: str) -> None:
        self.items, self.batch_size, self.seed, self.stream = items, batch_size, seed, stream
        self.batches = items // batch_size  # an epoch
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def __getitem__(self, step: int) -> np.ndarray:
        """(batch_size,) item indices of a step, counted from 0 over all epochs."""
        epoch, batch = divmod(step, self.batches)
        if epoch != self._epoch:
            self._epoch = epoch
            self._permutation = numpy_generator(self.seed, self.stream, epoch).permutation(self.items)
        return self._permutation[batch * self.batch_size : (batch + 1) * self.batch_size]
