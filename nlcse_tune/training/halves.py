"""What a step is made of, and how its parts are taken together (Algorithm 1, Eq. 1)."""

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from nlcse_tune.config import Optimizers, RunConfig
from nlcse_tune.data.side import SideData
from nlcse_tune.data.text import TextData
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.controls import AgainHalf, SentencesHalf
from nlcse_tune.training.steps import Half, SideHalf, TextHalf


def make_halves(
    encoder: SentenceEncoder,
    text: TextData,
    sides: Sequence[SideData | None],
    config: RunConfig,
    seed: int,
    context: RunContext,
    steps: int,
) -> list[Half]:
    """Text, then each side: the order of Algorithm 1. SimCSE is text alone; a side without data, a control on text."""
    halves: list[Half] = [TextHalf(encoder, text, config, seed, context, steps)]
    for place, (own, side) in enumerate(zip(config.sides, sides, strict=True)):
        if side is not None:
            halves.append(SideHalf(encoder, side, place, config, seed, context, steps))
        else:
            kind = AgainHalf if own.control == "again" else SentencesHalf
            halves.append(kind(encoder, text, place, config, seed, context, steps))
        if config.train.optimizers == "one":
            halves[-1].scaler = halves[0].scaler  # gradients that are added up need one scale
    return halves


def separately(halves: Sequence[Half], step: int) -> dict[str, Tensor]:
    """Algorithm 1: each half zeroes, clips and steps for itself. The losses by half."""
    return {half.name: half.step(step) for half in halves}


def together(halves: Sequence[Half], step: int) -> dict[str, Tensor]:
    """Eq. 1 as written: one step of the text's optimizer, at its rate, on the gradient of the sum of the losses."""
    losses: dict[str, Tensor] = {}
    waiting: dict[nn.Parameter, Tensor | None] = {}
    parameters = list(halves[0].encoder.parameters())
    for half in halves:
        losses[half.name] = half.gradient(step)
        for parameter in parameters:
            if (before := waiting.pop(parameter, None)) is not None:
                parameter.grad = before if parameter.grad is None else parameter.grad.add_(before)
        waiting = {parameter: parameter.grad for parameter in parameters}  # the next half begins at zero
    halves[0].update()
    return losses


TAKE_STEP: dict[Optimizers, Callable[[Sequence[Half], int], dict[str, Tensor]]] = {
    "two": separately, "one": together,
}  # fmt: skip
