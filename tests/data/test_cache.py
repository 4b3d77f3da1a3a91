"""What is made once on a machine: by whom, when anew, and what is said where there is no room."""

import shutil
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nlcse_tune.data import cache
from nlcse_tune.data.audio import AudioData
from nlcse_tune.data.cache import SHAPES, NoRoomError, Recipe, cached_table
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.side import SideData
from nlcse_tune.errors import DataError, StorageError
from tests.training.tiny import forked


@pytest.fixture
def made() -> list[int]:
    """Items in the order in which they were made."""
    return []


@pytest.fixture
def recipe(made: list[int]) -> Recipe:
    """600 arrays of different shapes."""

    def make(item: int) -> np.ndarray:
        made.append(item)
        return np.full((1 + item % 3, 2, 3), item % 250, dtype=np.uint8)

    return Recipe("key", "600 arrays", 600, np.uint8, make, lambda item: (3, 2, 3))


def files(folder: Path, kind: str = "kind") -> list[Path]:
    return sorted(path for path in (folder / "cache" / kind).iterdir() if path.suffix != ".lock")


def assert_whole(table: cache.ArrayTable) -> None:
    assert len(table) == 600
    for item in (0, 1, 255, 256, 599):
        assert np.array_equal(table[item], np.full((1 + item % 3, 2, 3), item % 250))


def test_a_table_is_made_once_and_mapped(recipe: Recipe, made: list[int], tmp_path: Path) -> None:
    for _ in range(2):
        table = cached_table("kind", recipe)
        assert_whole(table)
        assert isinstance(table.values, np.memmap)
        assert not table[0].flags.writeable
    assert sorted(made) == list(range(600))
    assert len(files(tmp_path)) == 2


def test_processes_that_want_it_at_the_same_time_make_it_once(tmp_path: Path) -> None:
    def ask(number: int) -> int:
        made: list[int] = []

        def make(item: int) -> np.ndarray:
            made.append(item)
            return np.zeros((1, 2), dtype=np.float32)

        table = cached_table("kind", Recipe("key", "arrays", 300, np.float32, make, lambda item: (1, 2)))
        assert len(table) == 300
        return len(made)

    assert sorted(forked(ask, tmp_path, [(number,) for number in range(3)])) == [0, 0, 300]


@pytest.mark.parametrize("which", [".bin", SHAPES])
@pytest.mark.parametrize("damage", ["gone", "empty", "cut"])
def test_what_is_damaged_is_made_anew(which: str, damage: str, recipe: Recipe, made: list[int], tmp_path: Path) -> None:
    cached_table("kind", recipe)
    path = next(path for path in files(tmp_path) if path.name.endswith(which))
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 0 if damage == "empty" else -3])
    assert_whole(cached_table("kind", recipe))
    assert len(made) == 1200


def test_an_interrupted_table_leaves_nothing(recipe: Recipe, made: list[int], tmp_path: Path) -> None:
    def fail(item: int) -> np.ndarray:
        if item == 300:
            raise DataError("a.jpg: broken")
        return np.zeros((1, 2, 3), dtype=np.uint8)

    with pytest.raises(DataError, match="a.jpg: broken"):
        cached_table("kind", replace(recipe, make=fail))
    assert files(tmp_path) == []
    assert_whole(cached_table("kind", recipe))


def test_too_little_room_is_said_before_anything_is_made(
    recipe: Recipe, made: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no private copy is made in its place."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 8_000_000_000))
    large = replace(recipe, count=3, shape=lambda item: (1000, 1000, 3000))
    with pytest.raises(
        NoRoomError, match=r"cache/kind: 8.0 GB free, and 600 arrays take 9.0 GB there; free space"
    ) as told:
        cached_table("kind", large)
    assert isinstance(told.value, StorageError)
    assert made == []
    assert files(tmp_path) == []


def test_without_a_cache_folder_there_is_a_private_one(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "file"))
    assert_whole(cached_table("kind", recipe))


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two classes; 20 pictures of 400 x 300 and 20 of 40 x 60."""
    folder = tmp_path / "pictures"
    for number in range(40):
        (place := folder / ("cat", "dog")[number % 2]).mkdir(parents=True, exist_ok=True)
        size = (300, 400) if number < 20 else (60, 40)
        noise = np.random.default_rng(number).integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(noise).save(place / f"{number:02}.png")
    return folder


def test_pictures_are_kept_with_a_short_side_of_256_and_smaller_ones_as_they_are(pictures: Path) -> None:
    data = ImageData(pictures)
    assert {tuple(shape) for shape in data.table.shapes.tolist()} == {(256, 341, 3), (60, 40, 3)}
    assert data.files is not None
    for item, path in enumerate(data.files):
        whole = Image.open(path)
        size = (341, 256) if whole.size == (400, 300) else whole.size
        assert np.array_equal(data.table[item], np.asarray(whole.resize(size, Image.Resampling.LANCZOS)))


@pytest.mark.parametrize("change", ["other bytes", "a new file", None])
def test_a_folder_that_changes_is_read_again(change: str | None, pictures: Path, tmp_path: Path) -> None:
    """Other bytes of the same length do not change the folder's fingerprint, which is of names and sizes."""
    path = pictures / "cat" / "00.png"
    Image.new("RGB", (30, 30), "red").save(path, format="BMP")
    assert (ImageData(pictures).table[0] == (255, 0, 0)).all()
    if change == "other bytes":
        Image.new("RGB", (30, 30), "blue").save(path, format="BMP")
    elif change == "a new file":
        Image.new("RGB", (20, 20)).save(pictures / "cat" / "00a.png")
    after = ImageData(pictures)
    assert len(after.table) == len(after)
    assert (after.table[0] == ((0, 0, 255) if change == "other bytes" else (255, 0, 0))).all()
    assert len(files(tmp_path, "image")) == (4 if change else 2)


@pytest.mark.parametrize("data", [ImageData, AudioData])
def test_embedded_items_are_made_once(data: type[SideData], monkeypatch: pytest.MonkeyPatch) -> None:
    first = data("synthetic").table
    monkeypatch.setattr(data, "open", lambda self, item: pytest.fail("made again"))
    second = data("synthetic")
    assert np.array_equal(second.table.values, first.values)
    assert second.views(3, np.random.default_rng(0)).isfinite().all()
