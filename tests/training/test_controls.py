"""The controls of a side: each takes away what it says, and no more."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nlcse_tune.config import RunConfig
from nlcse_tune.data.modalities import load_side
from nlcse_tune.errors import RunError
from nlcse_tune.models.losses import uniformity
from nlcse_tune.run import run_one
from nlcse_tune.training.context import RunContext
from tests.training.test_global_batch import alone, assert_same, outcome
from tests.training.tiny import AUDIO, IMAGES, SEED, halves, on_workers, tiny

SUPCON = {**IMAGES, "batch_size": 12, "loss": "supcon"}
TEXT = {**IMAGES, "batch_size": 4, "loss": "simclr", "control": "text"}
AGAIN = {**IMAGES, "control": "again"}


def test_shuffled_labels_are_as_many_of_each_class_and_another_deal_at_each_seed() -> None:
    def labels(seed: int) -> np.ndarray:
        _, (_, side) = halves(tiny({**SUPCON, "control": "labels"}), seed=seed)
        side.close()
        return side.data.labels  # type: ignore[attr-defined, no-any-return]

    own = load_side(*tiny(SUPCON).sides).labels
    assert sorted(labels(1)) == sorted(own)
    assert not np.array_equal(labels(1), own)
    assert not np.array_equal(labels(1), labels(2))
    assert np.array_equal(labels(1), labels(1))


def test_shuffled_labels_leave_items_and_views_alone_and_change_the_loss(tmp_path: Path) -> None:
    _, (_, plain) = halves(tiny(SUPCON), RunContext(tmp_path))
    _, (_, control) = halves(tiny({**SUPCON, "control": "labels"}), RunContext(tmp_path))
    assert torch.equal(plain.load(0), control.load(0))
    losses = [float(half.gradient(0)) for half in (plain, control)]
    assert losses[0] != pytest.approx(losses[1], abs=1e-3)
    for half in (plain, control):
        half.close()


@pytest.mark.parametrize("side", [IMAGES, AUDIO], ids=["image", "audio"])
def test_noise_has_sizes_and_labels_of_the_items_and_nothing_else(side: dict[str, Any]) -> None:
    plain = load_side(*tiny({**side, "loss": "simclr"}).sides)
    noise = load_side(*tiny({**side, "loss": "simclr", "control": "noise"}).sides)
    assert np.array_equal(plain.labels, noise.labels)
    assert np.array_equal(plain.table.shapes, noise.table.shapes)  # type: ignore[attr-defined]

    def correlation(data: Any) -> float:
        """Of neighbours: columns of pixels, samples of a wave."""
        opened = (data.open(item) for item in range(0, len(data), 20))
        pairs = (
            (own[..., :-1, :].ravel(), own[..., 1:, :].ravel()) if own.ndim > 1 else (own[:-1], own[1:])
            for own in opened
        )
        return float(np.mean([np.corrcoef(*pair)[0, 1] for pair in pairs]))

    assert abs(correlation(noise)) < 0.02 < 0.8 < correlation(plain)
    assert not np.array_equal(noise.table[0], noise.table[1])  # type: ignore[attr-defined]
    again = load_side(*tiny({**side, "loss": "simclr", "control": "noise"}).sides)
    assert np.array_equal(noise.table[3], again.table[3])  # type: ignore[attr-defined]


def test_other_sentences_go_through_the_sides_head_alone(tmp_path: Path) -> None:
    encoder, (text, control) = halves(tiny(TEXT, text__objective="supervised"), RunContext(tmp_path))
    assert [name for name, _ in encoder.sides.named_parameters()] == ["0.0.weight", "0.0.bias"]
    assert control.views == 2  # of triplets the anchors, told apart by dropout
    batch = control.load(0)
    assert torch.equal(batch.input_ids[:4], batch.input_ids[4:])
    assert not np.array_equal(control.order[0], text.order[0][:4])
    control.step(0)
    assert encoder.sides[0][0].weight.grad is not None  # type: ignore[index]
    assert encoder.head is not None
    assert all(parameter.grad is None for parameter in encoder.head.parameters())


def test_text_again_is_the_same_batch_under_other_masks(tmp_path: Path) -> None:
    encoder, (text, again) = halves(tiny({**AGAIN, "weight": 0.5}), RunContext(tmp_path))
    assert [parameter.shape for parameter in encoder.sides.parameters()] == []
    assert torch.equal(text.load(3).input_ids, again.load(3).input_ids)
    first, second = float(text.gradient(3)), float(again.gradient(3))
    assert second != pytest.approx(0.5 * first, abs=1e-6)
    without = tiny({**AGAIN, "weight": 0.5}, encoder__dropout=0.0)
    _, (text, again) = halves(without, RunContext(tmp_path))
    assert float(again.gradient(3)) == pytest.approx(0.5 * float(text.gradient(3)), abs=1e-6)


@pytest.mark.parametrize("side", [TEXT, AGAIN], ids=["text", "again"])
def test_a_control_on_text_reads_no_side_and_runs_on_workers(side: dict[str, Any], tmp_path: Path) -> None:
    config = tiny({**side, "data": "nowhere"}, train__max_steps=2, train__eval_every=1)
    record = run_one(config, SEED, RunContext(tmp_path / "run"))
    assert record.status == "completed"
    assert "side" not in record.data
    assert all(point.side_loss for point in record.dev_curve)
    expected = alone(config, tmp_path, plain=True)
    for answer in on_workers(2, outcome, tmp_path, config, 1, True):
        assert_same(answer, expected)


@pytest.mark.parametrize(
    ("side", "rule"),
    [
        (
            {**IMAGES, "loss": "simclr", "control": "labels"},
            "loss must be one that has any, got 'simclr'",
        ),
        ({**SUPCON, "control": "text"}, "sentences have no labels; set loss to simclr"),
    ],
)
def test_a_control_that_would_control_nothing_is_refused(side: dict[str, Any], rule: str) -> None:
    with pytest.raises(ValueError, match=rule):
        RunConfig.model_validate({"side": side})


def test_uniformity_is_added_to_the_text_loss_over_the_global_batch(tmp_path: Path) -> None:
    plain, weighted = tiny(encoder__dropout=0.0), tiny(encoder__dropout=0.0, text__uniformity=0.5)
    (_, (text,)), (_, (uniform,)) = halves(plain), halves(weighted)
    with torch.no_grad():
        anchors = uniform.embed(uniform.load(0), slice(None))[:16]
    added = float(uniform.gradient(0)) - float(text.gradient(0))
    assert added == pytest.approx(0.5 * float(uniformity(anchors)), abs=1e-5)
    expected = alone(weighted, tmp_path, plain=True)
    for answer in on_workers(3, outcome, tmp_path, weighted, 1, True):
        assert_same(answer, expected)


def test_a_control_that_text_cannot_fill_is_one_sentence(tmp_path: Path) -> None:
    config = tiny({**TEXT, "batch_size": 48}, text__limit=40)
    with pytest.raises(RunError, match=r"side\.batch_size 48 is more than the 40 items of text\.data"):
        run_one(config, SEED, RunContext(tmp_path))
