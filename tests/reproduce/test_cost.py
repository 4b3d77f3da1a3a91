"""What a step costs, counted by hand."""

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.reproduce.cost import flop_of_step
from nlcse_tune.study import find_study

IMAGES = {"modality": "image", "data": "x", "batch_size": 8}
AUDIO = {**IMAGES, "modality": "audio"}


def positions(side: object) -> float:
    """Sentence tokens and patches that a step puts through two layers of width 64."""
    raw = {"encoder": {"checkpoint": "scratch"}, "text": {"batch_size": 16, "max_length": 32}, "side": side}
    flop = flop_of_step(RunConfig.model_validate(raw))
    assert flop is not None
    return flop / (3 * 2 * 12 * 64**2 * 2)


def test_sides_add_their_patches_and_controls_on_text_their_tokens() -> None:
    text = 16 * 2 * 32
    assert positions(None) == text
    assert positions(IMAGES) == text + 8 * 2 * 197
    assert positions([IMAGES, AUDIO]) == text + 8 * 2 * (197 + 211)
    assert positions({**IMAGES, "control": "noise"}) == positions(IMAGES)
    assert positions({**IMAGES, "loss": "simclr", "control": "text"}) == text + 8 * 2 * 32
    assert positions({**IMAGES, "control": "again"}) == 2 * text


def test_an_unknown_encoder_has_no_cost() -> None:
    assert flop_of_step(override(find_study("demo").config, {"encoder.checkpoint": "somebody/odd"})) is None
