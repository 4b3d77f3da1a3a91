"""Two side steps without a side (`side.control`): what a further contrastive step on text alone does for a run.

V views, B items of the global batch, D width.
"""

from typing import cast

from torch import Tensor

from nlcse_tune.config import RunConfig
from nlcse_tune.data.text import TextData
from nlcse_tune.errors import RunError
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.models.losses import simclr
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.seeding import Order
from nlcse_tune.training.steps import Half, TextHalf, side_at


class AgainHalf(TextHalf):
    """The step's own text batch a second time, under dropout of its own: text's head and loss, the side's optimizer.

    Of the side's fields it has its weight, rate, warm-up and decay.
    """

    decay = "cosine"

    def __init__(
        self, encoder: SentenceEncoder, data: TextData, place: int, config: RunConfig, seed: int, context: RunContext,
        steps: int,
    ) -> None:  # fmt: skip
        self.name, self.stream, self.side = side_at(config, place)
        self.data, self.views = data, data.views
        own = self.side.model_copy(update={"batch_size": config.text.batch_size})
        Half.__init__(self, encoder, encoder.forward, data, own, config, seed, context, steps)
        self.order = Order(len(data), self.items, seed, f"{TextHalf.stream}-order")

    def loss(self, embeddings: Tensor, step: int) -> Tensor:
        return self.side.weight * super().loss(embeddings, step)


class SentencesHalf(TextHalf):
    """Other sentences than the text's, both views told apart by dropout, through the side's head and `simclr`."""

    decay = "cosine"

    def __init__(
        self, encoder: SentenceEncoder, data: TextData, place: int, config: RunConfig, seed: int, context: RunContext,
        steps: int,
    ) -> None:  # fmt: skip
        self.name, self.stream, self.side = side_at(config, place)
        self.data = TextData(data.columns[:1], data.pad_id)  # of pairs and triplets the first
        self.views = self.data.views

        def forward(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
            return cast(Tensor, encoder.sides[place](encoder.pooled(input_ids, attention_mask)))

        Half.__init__(self, encoder, forward, self.data, self.side, config, seed, context, steps)
        if not self.order.batches:
            raise RunError(f"{self.name}.batch_size {self.items} is more than the {len(data)} items of text.data")

    def loss(self, embeddings: Tensor, step: int) -> Tensor:
        return self.side.weight * simclr(*embeddings, temperature=self.side.temperature)
