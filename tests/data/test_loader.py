"""Side batches: begun a step ahead, in memory that no batch in use shares."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nlcse_tune.data.audio import AudioData
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.loader import SideLoader
from nlcse_tune.data.side import SideData
from nlcse_tune.errors import DataError


def generator(step: int, place: int) -> np.random.Generator:
    return np.random.default_rng([step, place])


def items(step: int) -> np.ndarray:
    return np.array([3, 50 + step, 7])


def expected(data: SideData, step: int) -> torch.Tensor:
    views = [data.views(int(item), generator(step, place)) for place, item in enumerate(items(step))]
    return torch.stack(views, dim=1).flatten(0, 1)


@pytest.fixture(params=[ImageData, AudioData])
def data(request: pytest.FixtureRequest) -> SideData:
    return request.param("synthetic")


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_batches_are_ordered_view_by_view_whatever_makes_them(threads: int, data: SideData) -> None:
    loader = SideLoader(data, items, generator, "cpu", threads)
    for step in (0, 1, 2, 2, 9, 1):  # a restart goes anywhere
        assert torch.equal(loader.load(step), expected(data, step))
    loader.close()


def test_a_batch_in_use_is_left_alone_while_the_next_is_made(data: SideData) -> None:
    loader = SideLoader(data, items, generator, "cpu", 2)
    for step in range(4):
        batch = loader.load(step)
        kept = batch.clone()
        loader.wait()
        assert torch.equal(batch, kept)
    assert len(loader.memory) == 2
    loader.close()


def test_the_next_batch_is_begun_before_it_is_asked_for(data: SideData) -> None:
    drawn: set[int] = set()

    def noted(step: int, place: int) -> np.random.Generator:
        drawn.add(step)
        return generator(step, place)

    loader = SideLoader(data, items, noted, "cpu", 1)
    loader.load(4)
    loader.wait()
    assert drawn == {4, 5}
    loader.close()


@pytest.mark.parametrize("threads", [0, 2])
def test_what_goes_wrong_in_a_thread_is_raised(threads: int, data: SideData, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise DataError("a.jpg: broken")

    monkeypatch.setattr(data, "render", broken)
    loader = SideLoader(data, items, generator, "cpu", threads)
    with pytest.raises(DataError, match="a.jpg: broken"):
        loader.load(0)
    loader.close()


def test_for_a_device_a_batch_is_gathered_and_made_there(data: SideData, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that is the CPU: without pinned memory, all else as on a GPU."""
    room = data.room
    monkeypatch.setattr(data, "room", lambda count, pinned: room(count, pinned=False))
    made: Callable[..., torch.Tensor] = data.render_all
    monkeypatch.setattr(data, "render_all", lambda room, device: made(room, "cpu"))
    loader = SideLoader(data, items, generator, "meta", 2)
    for step in range(3):
        assert (loader.load(step) - expected(data, step)).abs().mean() < 0.01
    loader.close()
