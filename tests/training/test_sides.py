"""Several sides: each has its own tower, order, views, dropout and optimizer, whichever others there are."""

from pathlib import Path
from typing import Any

import pytest
import torch

from nlcse_tune.records import constant_side_loss
from nlcse_tune.run import run_one
from nlcse_tune.training.checkpoint import finish
from nlcse_tune.training.context import RunContext, StopRun
from tests.training.test_global_batch import alone, assert_same, outcome
from tests.training.tiny import AUDIO, IMAGES, SEED, build, halves, on_workers, tiny

SMALL = {"batch_size": 4, "loss": "simclr"}
BOTH = [{**IMAGES, **SMALL}, {**AUDIO, **SMALL}]
LONGER: dict[str, Any] = {"train__max_steps": 4, "train__eval_every": 2, "train__checkpoint_every": 1}


def context(folder: Path, **others: Any) -> RunContext:
    folder.mkdir(exist_ok=True)
    return RunContext(folder, **others)


def test_a_first_side_is_what_it_is_alone_and_a_second_draws_for_itself() -> None:
    """The same weights at the start, the same items and views."""
    single, (_, image) = halves(tiny(BOTH[0]))
    several, (_, first, second) = halves(tiny([BOTH[0], BOTH[0]]))
    alone_at_start = single.state_dict()
    assert all(torch.equal(several.state_dict()[name], value) for name, value in alone_at_start.items())
    assert [half.name for half in (image, first, second)] == ["side", "side.0", "side.1"]
    for step in range(3):
        assert torch.equal(image.load(step), first.load(step))
        assert not torch.equal(first.load(step), second.load(step))
    for half in (image, first, second):
        half.close()


def test_each_side_has_a_tower_and_moments_of_its_own(tmp_path: Path) -> None:
    encoder, (_, *sides) = halves(tiny(BOTH), RunContext(tmp_path))
    names = {id(parameter): name for name, parameter in encoder.named_parameters()}
    for place, half in enumerate(sides):
        half.step(0)
        moved = {names[id(parameter)] for parameter in half.optimizer.state}
        towers = {name.split(".")[1] for name in moved if name.startswith("sides.")}
        assert towers == {str(place)}
        assert any(name.startswith("backbone.encoder.layer.") for name in moved)
        half.close()


def test_workers_and_micro_batches_give_the_results_of_one(tmp_path: Path) -> None:
    expected = alone(tiny(BOTH), tmp_path, plain=True)
    assert len(expected["losses"]) == 3
    for answer in on_workers(2, outcome, tmp_path, tiny(BOTH, train__micro_batch=3), 1, True):
        assert_same(answer, expected)


@pytest.mark.parametrize("optimizers", ["two", "one"])
def test_a_run_tells_each_loss_and_goes_on_from_its_restart_point(optimizers: str, tmp_path: Path) -> None:
    config = tiny(BOTH, train__optimizers=optimizers, **LONGER)
    whole = run_one(config, SEED, context(tmp_path / "whole"))
    assert whole.status == "completed"
    for point in whole.dev_curve:
        assert point.side_losses is not None
        assert len(point.side_losses) == 2
        assert point.side_loss == sum(point.side_losses)
    assert {"side.0", "side.1"} <= set(whole.data)

    def end(*_: object) -> None:
        raise StopRun("enough")

    run_one(config, SEED, context(tmp_path / "cut", report=end))
    again = run_one(config, SEED, context(tmp_path / "cut"))
    assert again.dev_curve == whole.dev_curve
    assert any(event.startswith("continued from step") for event in again.events)
    finish(tmp_path / "cut", again.best_step)


def test_the_one_of_several_sides_that_taught_nothing_is_named(tmp_path: Path) -> None:
    record = run_one(tiny([BOTH[0], {**BOTH[1], "weight": 1e-12}], **LONGER), SEED, context(tmp_path / "a"))
    told = constant_side_loss(record.dev_curve)
    assert told is not None
    assert told.startswith("side.1 loss was 0.0000 at every evaluation")
    assert constant_side_loss(run_one(tiny(BOTH, **LONGER), SEED, context(tmp_path / "b")).dev_curve) is None


def test_text_of_the_first_step_is_that_of_a_run_without_sides() -> None:
    simcse, _, _ = build(tiny())
    several, _, data = build(tiny(BOTH))
    assert len(data) == len(several.sides) == 2
    assert all(torch.equal(several.state_dict()[name], value) for name, value in simcse.state_dict().items())
