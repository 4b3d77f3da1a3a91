"""What a run leaves in a process that serves another one next, as Ray's do."""

import gc
import weakref
from pathlib import Path

import pytest

from nlcse_tune.training.context import RunContext
from tests.training.tiny import AUDIO, IMAGES, halves, tiny


@pytest.mark.parametrize("side", [None, IMAGES, AUDIO], ids=["text", "image", "audio"])
@pytest.mark.parametrize("threads", [0, 2])
def test_its_encoder_is_gone_at_once(side: dict[str, object] | None, threads: int, tmp_path: Path) -> None:
    """Not when garbage is looked for: weights and moments of a large one would be beside the next run's."""
    gc.collect()
    gc.disable()
    try:
        encoder, both = halves(tiny(side, train__loader_threads=threads), RunContext(tmp_path))
        for half in both:
            half.step(0)
        for half in both:
            half.close()
        gone = weakref.ref(encoder)
        del encoder, both, half
        assert gone() is None
    finally:
        gc.enable()
