"""A step asks the device for no value and no size: the processor would wait for all that was given to it before."""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from nlcse_tune.config import SideLoss
from nlcse_tune.models.losses import SIDE_LOSSES
from tests.training.tiny import IMAGES, halves, tiny

torch.set_num_threads(1)
# What `.item()`, `bool(tensor)`, `torch.unique` and the like become. Not seen here: `.tolist()`, and copies that wait.
ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "equal", "is_nonzero"}


def _indices(arguments: tuple[Any, ...]) -> list[torch.Tensor | None]:
    """Those of `tensor[...]`."""
    return next((list(argument) for argument in arguments if isinstance(argument, list | tuple)), [])


class NoAnswer(TorchDispatchMode):
    """Refuses what has an answer, or a size, that hangs on values."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(i is not None and i.dtype == torch.bool for i in _indices(args))
        if name in ASKS or by_mask:
            raise AssertionError(f"{name} waits for the device")
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("micro_batch", [None, 3])
@pytest.mark.parametrize(("objective", "loss"), [("supervised", "simclr"), *(("unsupervised", n) for n in SIDE_LOSSES)])
def test_a_step_waits_for_nothing(objective: str, loss: SideLoss, micro_batch: int | None) -> None:
    config = tiny(
        {**IMAGES, "batch_size": 4, "loss": loss}, text__objective=objective, text__batch_size=4,
        train__micro_batch=micro_batch,
    )  # fmt: skip
    encoder, both = halves(config)
    for half in both:
        # AdamW reads its own step count, which lies on the processor.
        half.optimizer = torch.optim.SGD(encoder.parameters(), lr=0.1)
        half.schedule = torch.optim.lr_scheduler.ConstantLR(half.optimizer, factor=1.0)
    with NoAnswer():
        for half in both:
            half.step(0)


def test_what_waits_is_refused() -> None:
    tensor = torch.arange(3)
    for asks in (lambda: tensor.sum().item(), lambda: bool(tensor.any()), lambda: tensor[tensor > 1], tensor.unique):
        with NoAnswer(), pytest.raises(AssertionError, match="waits for the device"):
            asks()
