"""A step asks the device for no value and no size: the processor would wait for all that was given to it before.

The steps here are taken on torch's device "meta", which has shapes and no values: whoever asks for one gets an error.
"""

from pathlib import Path
from typing import get_args

import pytest
import torch

from nlcse_tune.config import Objective, Pooler, SideLoss
from nlcse_tune.models.losses import SIDE_LOSSES
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.halves import make_halves
from nlcse_tune.training.steps import Half
from tests.training.tiny import IMAGES, SEED, build, tiny

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _generators(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device has none of its own."""
    generator = torch.Generator
    monkeypatch.setattr(torch, "Generator", lambda device: generator("cpu" if device == "meta" else device))


def valueless(objective: Objective, pooler: Pooler, loss: SideLoss, micro_batch: int | None) -> list[Half]:
    side = {**IMAGES, "batch_size": 4, "loss": loss}
    changes = {"text__objective": objective, "encoder__pooler": pooler, "train__micro_batch": micro_batch}
    config = tiny(side, text__batch_size=4, **changes)
    encoder, text, images = build(config)
    halves = make_halves(encoder.to("meta"), text, images, config, SEED, RunContext(Path("none"), device="meta"), 10)
    for half in halves:
        half.device_type = "cpu"  # autocast knows no other here
    return halves


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize("loss", SIDE_LOSSES)
@pytest.mark.parametrize("objective", get_args(Objective))
def test_a_step_waits_for_nothing(objective: Objective, loss: SideLoss, micro_batch: int | None) -> None:
    for half in valueless(objective, "cls", loss, micro_batch):
        assert half.step(0).device.type == "meta"


@pytest.mark.parametrize("pooler", get_args(Pooler))
def test_no_pooler_waits(pooler: Pooler) -> None:
    text, _ = valueless("unsupervised", pooler, "simclr", None)
    assert text.step(0).device.type == "meta"


def test_who_asks_is_refused() -> None:
    values = torch.arange(3, device="meta")
    for ask in (values.tolist, values.cpu, values.unique, values.nonzero, lambda: values[values > 1]):
        with pytest.raises((RuntimeError, NotImplementedError)):
            ask()
    with pytest.raises(RuntimeError):
        bool(values.any())
