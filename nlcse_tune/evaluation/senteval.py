"""SentEval's own classifier (`usepytorch`): a linear layer by stochastic gradient steps, stopped early on dev accuracy.

The classifiers of all penalties are trained at once: SentEval seeds each anew, so they start alike and see the same
batches, and differ in their penalty alone.

I items, D features, C classes, R penalties.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

SEED = 1111  # SentEval's, of weights and batches
PENALTIES = tuple(10.0**t for t in range(-5, -1))  # L2, added to the gradient
MOST_EPOCHS = 200
HELD_OUT = 0.05  # of the items, where no dev set stops the training


class Settings(NamedTuple):
    """How SimCSE's evaluation.py calls SentEval."""

    folds: int  # K
    optimizer: type[torch.optim.Optimizer]  # at torch's own rate: 1e-3 for Adam, 1e-2 for RMSprop
    batch_size: int
    tenacity: int  # checks without a better one, after which the next ends the training
    epochs: int  # between checks


FULL = Settings(10, torch.optim.Adam, 64, 5, 4)  # `--mode test`, which published tables are made with
FAST = Settings(5, torch.optim.RMSprop, 128, 3, 2)  # `--mode fasttest`, and dev scores while training


class Fitted(NamedTuple):
    """R classifiers, each as it was at its best check: (R, D, C), (R, 1, C), and its share of dev items (R,)."""

    weight: Tensor
    bias: Tensor
    accuracy: NDArray[np.float64]

    def predict(self, inputs: NDArray[np.float32]) -> NDArray[np.int64]:
        """(I, D) -> the classes (R, I)."""
        scores = torch.from_numpy(inputs) @ self.weight + self.bias  # (R, I, C)
        return scores.argmax(2).numpy()


def fit(
    inputs: NDArray[np.float32],
    labels: NDArray[np.int64],
    dev: tuple[NDArray[np.float32], NDArray[np.int64]] | None,
    penalties: tuple[float, ...],
    settings: Settings,
) -> Fitted:
    """Classifiers of (I, D) by (I,), stopped on `dev`; without it on a random share of the items."""
    random = np.random.RandomState(SEED)
    classes = int(labels.max()) + 1
    if dev is None:
        order = random.permutation(len(inputs))
        held = int(HELD_OUT * len(inputs))
        dev = inputs[order[:held]], labels[order[:held]]
        inputs, labels = inputs[order[held:]], labels[order[held:]]
    given, wanted = torch.from_numpy(inputs), F.one_hot(torch.from_numpy(labels), classes).float()
    weight, bias = _start(inputs.shape[1], classes, len(penalties))
    optimizer = settings.optimizer([weight, bias])  # type: ignore[call-arg]
    penalty = torch.tensor(penalties)[:, None, None]
    best = Fitted(weight.clone(), bias.clone(), np.full(len(penalties), -1.0))
    failures, going = np.zeros(len(penalties), dtype=int), np.ones(len(penalties), dtype=bool)
    epoch = 0
    while going.any() and epoch <= MOST_EPOCHS:
        for _ in range(settings.epochs):
            for rows in torch.split(torch.from_numpy(random.permutation(len(inputs))), settings.batch_size):
                x = given[rows]
                error = (torch.softmax(x @ weight + bias, dim=2) - wanted[rows]) / len(rows)  # (R, rows, C)
                weight.grad = x.T @ error + penalty * weight
                bias.grad = error.sum(1, keepdim=True) + penalty * bias
                optimizer.step()
        epoch += settings.epochs
        accuracy = (Fitted(weight, bias, best.accuracy).predict(dev[0]) == dev[1]).mean(1)
        better = going & (accuracy > best.accuracy)
        best.weight[better], best.bias[better] = weight[better], bias[better]
        best.accuracy[better] = accuracy[better]
        going &= better | (failures < settings.tenacity)
        failures += ~better
    return best


def _start(width: int, classes: int, copies: int) -> tuple[Tensor, Tensor]:
    """torch's own first weights of a linear layer, (R, D, C) and (R, 1, C).

    From a generator of their own: fits run beside each other.
    """
    random = torch.Generator().manual_seed(SEED)
    weight, bias = torch.empty(classes, width), torch.empty(classes)
    torch.nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=random)
    torch.nn.init.uniform_(bias, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=random)
    return weight.T.repeat(copies, 1, 1), bias[None].repeat(copies, 1, 1)
