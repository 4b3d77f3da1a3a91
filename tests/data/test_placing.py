"""From a folder beside it to its place: what fails leaves all as it was, and what was killed is known for it."""

import shutil
from pathlib import Path

import pytest

from nlcse_tune.data.placing import check_free, join, put, recover, staged, unfinished
from nlcse_tune.data.registry import named
from nlcse_tune.errors import DataError, StorageError


def write(folder: Path, **files: str) -> Path:
    """A file for each name, in a folder of that name."""
    for name, text in files.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(text)
    return folder


def there(folder: Path) -> dict[str, str]:
    return {path.parent.name: path.read_text() for path in folder.rglob("file")}


def test_what_cannot_be_recorded_leaves_all_as_it_was(tmp_path: Path) -> None:
    made, target = write(tmp_path / "made", STS="new", SICK="new"), write(tmp_path / "data", STS="old", mine="mine")

    def record(lies: Path) -> None:
        assert there(lies) == {"STS": "new", "SICK": "new", "mine": "mine"}
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        join(made, target, record)
    assert there(target) == {"STS": "old", "mine": "mine"}
    assert not unfinished(target)


def test_what_a_killed_call_had_moved_away_comes_back(tmp_path: Path) -> None:
    target = write(tmp_path / "data", STS="new", mine="mine")
    write(tmp_path / ".data.former", STS="old", SICK="old")  # killed before the new SICK came
    recover(target)
    assert there(target) == {"STS": "new", "SICK": "old", "mine": "mine"}
    assert unfinished(target)
    join(write(tmp_path / "made", STS="newer", SICK="newer"), target, lambda lies: None)
    assert there(target) == {"STS": "newer", "SICK": "newer", "mine": "mine"}
    assert not unfinished(target)


def test_a_record_is_there_before_its_data(tmp_path: Path) -> None:
    made = write(tmp_path / "made", a="1")

    def record(lies: Path) -> None:
        assert there(lies) == {"a": "1"}
        assert not (tmp_path / "data").exists()

    put(made, tmp_path / "data", record)
    assert there(tmp_path / "data") == {"a": "1"}


def test_whose_fault_it_is(tmp_path: Path) -> None:
    given, target = write(tmp_path / "given", a="1"), tmp_path / "data"
    with pytest.raises(DataError, match="given/a/none: cannot be read: No such file"), staged(target, given) as scratch:
        shutil.copyfile(given / "a" / "none", scratch / "none")
    with pytest.raises(StorageError, match="data: cannot be written: No such file"), staged(target, given) as scratch:
        shutil.copyfile(given / "a" / "file", scratch / "none" / "file")
    with pytest.raises(StorageError, match="No such file"), staged(tmp_path / "data", tmp_path) as scratch:
        (scratch / "none" / "file").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


def test_what_may_be_in_the_place(tmp_path: Path) -> None:
    for name in ("cifar10", "senteval", "wiki1m"):
        check_free(named(name), tmp_path / "none")
    (empty := tmp_path / "empty").mkdir()
    full = write(tmp_path / "full", a="1")
    check_free(named("cifar10"), empty)
    check_free(named("senteval"), full)
    for name, place in (("wiki1m", empty), ("cifar10", full), ("senteval", full / "a" / "file")):
        with pytest.raises(DataError, match="something else is there; move it away"):
            check_free(named(name), place)
