"""Pairing: with equal seed, SimCSE and VisualCSE see the same sentences and the same text dropout."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlcse_tune.models.dropout import MaskSource
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.seeding import Order, derive
from tests.training.tiny import AUDIO, IMAGES, build, halves, tiny

IMAGE, CLIP = ({**side, "batch_size": 4} for side in (IMAGES, AUDIO))


def seen(side: dict[str, Any] | None, folder: Path, monkeypatch: pytest.MonkeyPatch, seed: int = 7) -> list[str]:
    """A hash a text step of all that goes into it but the weights: token ids, attention masks, dropout masks."""
    _, both = halves(tiny(side, text__batch_size=8), RunContext(folder), seed)
    text, digest = both[0], hashlib.sha256()
    keep, load, hashes = MaskSource.keep, text.load, []

    def hashed_keep(self: MaskSource, *arguments: Any) -> torch.Tensor:
        mask = keep(self, *arguments)
        digest.update(mask.numpy().tobytes())
        return mask

    def hashed_load(step: int) -> Any:
        batch = load(step)
        digest.update(batch.input_ids.numpy().tobytes() + batch.attention_mask.numpy().tobytes())
        return batch

    monkeypatch.setattr(text, "load", hashed_load)
    for step in range(4):
        digest = hashlib.sha256()
        with monkeypatch.context() as patch:
            patch.setattr(MaskSource, "keep", hashed_keep)
            text.step(step)
        hashes.append(digest.hexdigest())
        for half in both[1:]:
            half.step(step)
    return hashes


def test_methods_at_one_seed_see_the_same_text_and_dropout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simcse = seen(None, tmp_path, monkeypatch)
    assert len(set(simcse)) == len(simcse)
    assert seen(IMAGE, tmp_path, monkeypatch) == simcse
    assert seen(CLIP, tmp_path, monkeypatch) == simcse
    assert not set(seen(None, tmp_path, monkeypatch, seed=8)) & set(simcse)


@pytest.mark.parametrize("side", [IMAGE, CLIP], ids=["image", "audio"])
def test_methods_at_one_seed_start_from_the_same_weights(side: dict[str, Any]) -> None:
    simcse = build(tiny())[0].state_dict()
    with_side = build(tiny(side))[0].state_dict()
    assert all(torch.equal(with_side[name], value) for name, value in simcse.items())


def test_an_epoch_is_a_permutation_of_whole_batches_and_epochs_differ() -> None:
    order = Order(10, 3, seed=1, stream="text-order")
    epochs = [np.concatenate([order[step] for step in range(start, start + 3)]) for start in (0, 3)]
    assert all(len(set(epoch.tolist())) == 9 for epoch in epochs)
    assert not np.array_equal(*epochs)
    assert np.array_equal(order[0], epochs[0][:3])  # back from the second epoch


def test_streams_are_apart_and_the_same_on_every_machine() -> None:
    keys = [(7, "text-order", 0), (7, "side-order", 0), (7, "text-order", 1), (8, "text-order", 0), (7, "text-order")]
    assert len({derive(*key) for key in keys}) == len(keys)
    assert derive(7, "init") == int(hashlib.sha256(b"7/init").hexdigest()[:16], 16) >> 1
