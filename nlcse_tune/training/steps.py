"""The two halves of a step: text (Eq. 2, 3) and side (Eq. 4 to 7), one mechanism for both.

V views, B items of the global batch, b items of this worker, D width. Rows are ordered view by view: row
v * B + i is view v of item i.

The loss needs all B embeddings, the encoder only some at a time. So the gradient goes through the embeddings:
embed, gather, loss, then dL/d(embedding) back through the encoder. With one worker and no micro-batch that is
plain backpropagation; with several it is data parallelism with every negative in view; in chunks it is gradient
caching (Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup").
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import copy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from nlcse_tune.config import RunConfig, SideConfig, TextConfig
from nlcse_tune.config.fields import sides_of
from nlcse_tune.data.loader import SideLoader
from nlcse_tune.data.side import VIEWS, SideData
from nlcse_tune.data.text import TextBatch, TextData
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.models.dropout import MaskSource, masks_from
from nlcse_tune.models.encoder import SentenceEncoder
from nlcse_tune.models.losses import info_nce, side_loss, uniformity
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.distributed import gather_embeddings, share, sum_gradients
from nlcse_tune.training.optim import make_optimizer
from nlcse_tune.training.seeding import Order, derive, numpy_generator

Rows = Tensor | slice  # local row numbers; the full slice saves a copy of the inputs
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


class Half(ABC):
    """One objective with its own data order, optimizer and schedule over the shared encoder."""

    name: str  # what its fields begin with, and its losses are called
    stream: str  # what its random choices are keyed by
    decay: str  # of the learning rate
    views: int  # V

    def __init__(
        self, encoder: SentenceEncoder, forward: Callable[..., Tensor], data: TextData | SideData,
        half: TextConfig | SideConfig, config: RunConfig, seed: int, context: RunContext, steps: int,
    ) -> None:  # fmt: skip
        self.encoder, self.config, self.seed, self.context = encoder, config, seed, context
        self.items = half.batch_size  # B
        self.own = share(self.items, context.rank, context.world_size)
        self.count = self.own.stop - self.own.start  # b
        if self.items < context.world_size:
            raise RunError(
                f"{self.name}.batch_size {self.items} is less than the {context.world_size} workers of this run, and "
                "each needs an item; start fewer workers"
            )
        self.micro_batch = config.train.micro_batch or self.items
        self.events: list[str] = []
        # Compiled, one graph serves every batch length. The evaluation is left alone: it meets hundreds of shapes once.
        self.forward = torch.compile(forward, dynamic=True) if config.train.compile else forward
        self.order = Order(len(data), self.items, seed, f"{self.stream}-order")
        self.optimizer, self.schedule = make_optimizer(encoder, half, self.decay, steps)
        self.device_type = torch.device(context.device).type
        fp16 = config.train.precision == "fp16" and self.device_type != "cpu"
        self.scaler = torch.amp.GradScaler(self.device_type, enabled=fp16)

    @abstractmethod
    def load(self, step: int) -> Any:
        """This worker's inputs of a step, on the device."""

    @abstractmethod
    def embed(self, inputs: Any, rows: Rows) -> Tensor:
        """The given local rows through the encoder, (rows, D)."""

    @abstractmethod
    def loss(self, embeddings: Tensor, step: int) -> Tensor:
        """The loss of the global batch: (V, B, D) -> scalar."""

    def step(self, step: int) -> Tensor:
        """One optimizer step on this half's gradient alone; returns the loss, detached."""
        loss = self.gradient(step)
        self.update()
        return loss

    def gradient(self, step: int) -> Tensor:
        """Leaves this worker's share of the scaled gradient in the parameters; returns the loss, detached."""
        with self._part("data"):
            inputs = self.load(step)
        self.encoder.zero_grad(set_to_none=True)
        with self._part("forward"):
            local, graph = self._retrying(lambda: self._embed_all(inputs, step))  # graph: a list of one, or empty
        with self._part("loss"):
            everyone = gather_embeddings(local, self.items, self.context.world_size).float().requires_grad_()
            loss = self.loss(everyone, step)
            self.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        assert everyone.grad is not None
        gradient = everyone.grad[:, self.own]  # (V, b, D)
        with self._part("backward"):
            self._retrying(lambda: self._backward(inputs, step, gradient, graph))
        return loss.detach()

    def _part(self, name: str) -> AbstractContextManager[Any]:
        """Around a part of a step: its label where somebody profiles (training/profile.py)."""
        return torch.profiler.record_function(f"{self.name}: {name}")

    def update(self) -> None:
        """One optimizer step on the gradient that is in the parameters: summed over workers, then clipped."""
        with self._part("optimizer"):
            sum_gradients(self.encoder.parameters(), self.context.world_size)
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.encoder.parameters(), self.config.train.max_grad_norm)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.schedule.step()

    def _chunks(self) -> tuple[Tensor, ...]:
        """This worker's items, numbered from 0, in pieces of `micro_batch`."""
        return torch.split(torch.arange(self.count, device=self.context.device), self.micro_batch)

    def _embed_chunk(self, inputs: Any, step: int, chunk: Tensor) -> Tensor:
        """Items of `chunk` -> (V, len(chunk), D), with the dropout masks that the full batch would give them."""
        views = torch.arange(self.views, device=self.context.device)[:, None]
        rows = (views * self.items + self.own.start + chunk).flatten()
        local = slice(None) if len(chunk) == self.count else (views * self.count + chunk).flatten()
        generator = torch.Generator(self.context.device).manual_seed(derive(self.seed, f"{self.stream}-dropout", step))
        dtype = AUTOCAST.get(self.config.train.precision)
        autocast = torch.autocast(self.device_type, dtype=dtype, enabled=dtype is not None)
        with masks_from(MaskSource(generator, rows, self.views * self.items)), autocast:
            return torch.unflatten(self.embed(inputs, local), 0, (self.views, len(chunk)))

    def _embed_all(self, inputs: Any, step: int) -> tuple[Tensor, list[Tensor]]:
        """All local embeddings (V, b, D), and in a list the same with their graph where one chunk holds them all."""
        chunks = self._chunks()
        with torch.set_grad_enabled(len(chunks) == 1):
            local = torch.cat([self._embed_chunk(inputs, step, chunk) for chunk in chunks], dim=1)
        return local.detach(), [local] if len(chunks) == 1 else []

    def _backward(self, inputs: Any, step: int, gradient: Tensor, graph: list[Tensor]) -> None:
        """From dL/d(embedding) (V, b, D) to gradients of the parameters, chunk by chunk.

        Takes the graph out of its list: where the device runs out of memory half-way, nothing holds it any more.
        """
        self.encoder.zero_grad(set_to_none=True)
        if graph:
            whole = graph.pop()
            whole.backward(gradient.to(whole.dtype))  # type: ignore[no-untyped-call]
            return
        for chunk in self._chunks():
            output = self._embed_chunk(inputs, step, chunk)
            output.backward(gradient[:, chunk].to(output.dtype))  # type: ignore[no-untyped-call]

    def _retrying(self, work: Callable[[], Any]) -> Any:
        """`work()`, again with half the micro-batch as often as the device runs out of memory."""
        while True:
            try:
                return work()
            except torch.OutOfMemoryError:
                largest = min(self.micro_batch, self.count)
                if largest == 1:
                    raise RunError(
                        f"the device runs out of memory with one {self.name} item at a time; use a smaller encoder"
                    ) from None
                self.micro_batch = (largest + 1) // 2
                self.events.append(f"out of memory: {self.name} micro-batch halved to {self.micro_batch}")
            torch.cuda.empty_cache()

    def state(self) -> dict[str, Any]:
        """What a restart needs; random generators are functions of the step and need nothing."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "micro_batch": self.micro_batch,
            "events": self.events,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues from `state()`."""
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        self.micro_batch = min(self.micro_batch, state["micro_batch"])
        self.events = list(state["events"])

    def close(self) -> None:
        """Ends what runs in the background, and forgets compiled code: this process may serve another run next."""
        if self.config.train.compile:
            torch.compiler.reset()


class TextHalf(Half):
    """Contrast sentences: Eq. 2 on one column, Eq. 3 on pairs or triplets."""

    name, stream, decay = "text", "text", "linear"

    def __init__(
        self, encoder: SentenceEncoder, data: TextData, config: RunConfig, seed: int, context: RunContext, steps: int
    ) -> None:
        if config.text.max_length > encoder.max_length:
            raise ConfigError(
                f"text.max_length: must be at most {encoder.max_length}, which this encoder holds, "
                f"got {config.text.max_length}"
            )
        self.data, self.views = data, data.views
        super().__init__(encoder, encoder.forward, data, config.text, config, seed, context, steps)

    def load(self, step: int) -> TextBatch:
        batch = self.data.batch(self.order[step], self.own)  # 50 us: a GPU is still at work on the steps before
        kept = (tensor.pin_memory() if self.device_type == "cuda" else tensor for tensor in batch)
        return TextBatch(*(tensor.to(self.context.device, non_blocking=True) for tensor in kept))

    def embed(self, inputs: TextBatch, rows: Rows) -> Tensor:
        return self.forward(*(tensor[rows] for tensor in inputs))

    def loss(self, embeddings: Tensor, step: int) -> Tensor:
        text = self.config.text
        weight = text.hard_negative_weight
        loss = info_nce(*embeddings, temperature=text.temperature, hard_negative_weight=weight)
        return loss + text.uniformity * uniformity(embeddings[0]) if text.uniformity else loss


def side_at(config: RunConfig, place: int) -> tuple[str, str, SideConfig]:
    """The name, the stream and the settings of a run's side: the first has one stream, with and without a second."""
    name, side = list(sides_of(config).items())[place]
    return name, f"side.{place}" if place else "side", side


class SideHalf(Half):
    """Contrast images or audio, weighted by omega (Eq. 1): one of a run's sides, by its place among them."""

    decay, views = "cosine", VIEWS

    def __init__(
        self, encoder: SentenceEncoder, data: SideData, place: int, config: RunConfig, seed: int, context: RunContext,
        steps: int,
    ) -> None:  # fmt: skip
        self.name, self.stream, self.side = side_at(config, place)
        self.data, self.criterion = data, side_loss(self.side.loss)
        if self.side.control == "labels":  # each seed deals its own
            self.data = copy(data)
            self.data.labels = numpy_generator(seed, f"{self.stream}-labels").permutation(data.labels)
        forward = partial(encoder.forward_side, place=place) if place else encoder.forward_side
        super().__init__(encoder, forward, data, self.side, config, seed, context, steps)
        order, own = self.order, self.own
        self._generator = generator = partial(numpy_generator, seed, f"{self.stream}-views")  # by step and position
        self.loader = SideLoader(  # it knows nothing of this half: a ring of the two would outlive the run
            data, lambda step: order[step][own], lambda step, place: generator(step, own.start + place),
            context.device, config.train.loader_threads,
        )  # fmt: skip

    def load(self, step: int) -> Tensor:
        return self.loader.load(step)

    def embed(self, inputs: Tensor, rows: Rows) -> Tensor:
        return self.forward(inputs[rows])

    def loss(self, embeddings: Tensor, step: int) -> Tensor:
        labels = torch.from_numpy(self.data.labels_of(self.order[step], partial(self._generator, step)))
        labels = labels.to(embeddings.device, non_blocking=True)
        return self.side.weight * self.criterion(*embeddings, labels, temperature=self.side.temperature)

    def close(self) -> None:
        self.loader.close()
        super().close()
