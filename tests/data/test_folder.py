"""A side's folder: empty classes are named."""

from pathlib import Path

import pytest

from nlcse_tune.data.folder import list_folder
from nlcse_tune.errors import DataError


def test_empty_classes_are_named(tmp_path: Path) -> None:
    for name in ("cat", "dog", ".thumbnails"):
        (tmp_path / name).mkdir()
    (tmp_path / "cat" / "a.jpg").touch()
    (tmp_path / "dog" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"no files ending in .jpg in the folder of dog: copy what is missing"):
        list_folder(tmp_path, (".jpg",))
    for number in range(9):
        (tmp_path / f"x{number}").mkdir()
    with pytest.raises(DataError, match=r"of dog, x0, x1, x2, x3 and 5 more: "):
        list_folder(tmp_path, (".jpg",))
    (tmp_path / "dog" / "b.JPG").touch()
    for number in range(9):
        (tmp_path / f"x{number}").rmdir()
    assert list_folder(tmp_path, (".jpg",)) == ([tmp_path / "cat" / "a.jpg", tmp_path / "dog" / "b.JPG"], [0, 1])
