"""The smallest real runs, and functions run in processes of their own (forked: an import would cost 12 s each)."""

import os
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data.columns import TextSource
from nlcse_tune.data.modalities import load_side
from nlcse_tune.data.side import SideData
from nlcse_tune.data.text import TextData, load_text
from nlcse_tune.models.encoder import SentenceEncoder, build_encoder
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.halves import make_halves
from nlcse_tune.training.seeding import derive
from nlcse_tune.training.steps import Half
from tests.models.tiny import tokenizer

SEED = 7
TEXT = {"data": "synthetic", "batch_size": 16, "learning_rate": 3e-5}
IMAGES = {"modality": "image", "data": "synthetic", "batch_size": 16, "learning_rate": 3e-5}
AUDIO = {**IMAGES, "modality": "audio"}


def tiny(side: dict[str, Any] | list[dict[str, Any]] | None = None, **changes: Any) -> RunConfig:
    """Two layers of width 32, batches of 16; `changes` are dotted fields with `__` for the dot."""
    raw = {
        "encoder": {"checkpoint": "scratch", "scratch": {"hidden_size": 32, "vocab_size": 400}},
        "text": TEXT,
        "side": side,
        "train": {"max_steps": 4, "eval_every": 2, "loader_threads": 0},
        "eval": {"data": "synthetic"},
    }
    return override(RunConfig.model_validate(raw), {name.replace("__", "."): value for name, value in changes.items()})


@cache
def _tables(objective: str, data: str, length: int) -> TextData:
    config = tiny(text__objective=objective, text__data=data, text__max_length=length).text
    return load_text(TextSource(config), tokenizer())


@cache
def _side(modality: str) -> SideData:
    return load_side(*tiny(IMAGES if modality == "image" else AUDIO).sides)


def build(config: RunConfig, seed: int = SEED) -> tuple[SentenceEncoder, TextData, list[SideData | None]]:
    """Encoder and data as `run_one` makes them, but with a tokenizer and data made once a session."""
    with torch.random.fork_rng():
        torch.manual_seed(derive(seed, "init"))
        encoder = build_encoder(
            config.encoder, supervised=config.text.objective == "supervised", sides=config.sides, tokenizer=tokenizer()
        )
    text = _tables(config.text.objective, config.text.data, config.text.max_length)
    return encoder, text, [_side(side.modality) if side.reads_data else None for side in config.sides]


def halves(
    config: RunConfig, context: RunContext | None = None, seed: int = SEED
) -> tuple[SentenceEncoder, list[Half]]:
    """An encoder and its halves, ready for `half.step(0)`."""
    encoder, text, sides = build(config, seed)
    context = context or RunContext(Path("nowhere"))
    return encoder, make_halves(encoder, text, sides, config, seed, context, steps=10)


def forked(function: Callable[..., Any], folder: Path, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """`function(*one)` for each of `arguments`, at the same time, each in a process of its own."""
    children: dict[int, Path] = {}
    for number, one in enumerate(arguments):
        answer = folder / f"answer{number}.pt"
        if (child := os.fork()) == 0:
            status = 1
            try:
                torch.save(function(*one), answer)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        children[child] = answer
    left, failed = set(children), 0
    while left:
        for child in list(left):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                left.remove(child)
            if status:  # the others would wait for it without end
                failed += 1
                for other in left:
                    os.kill(other, signal.SIGKILL)
        time.sleep(0.01)
    assert not failed, f"{failed} of {len(children)} processes failed, or were ended for it"
    return [torch.load(answer, weights_only=False) for answer in children.values()]


def on_workers(count: int, function: Callable[..., Any], folder: Path, *arguments: Any) -> list[Any]:
    """`function(context, *arguments)` on `count` workers that talk through gloo; their answers by rank."""
    meeting = tempfile.mkdtemp(dir=folder)  # of its own: a worker that reads an earlier call's addresses finds nobody

    def work(rank: int) -> Any:
        context = RunContext(folder, rank=rank, world_size=count)
        dist.init_process_group("gloo", init_method=f"file://{meeting}/store", rank=rank, world_size=count)
        try:
            return function(context, *arguments)
        finally:
            dist.destroy_process_group()

    return forked(work, folder, [(rank,) for rank in range(count)])
