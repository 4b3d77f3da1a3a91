"""From a folder beside it to its place: what fails leaves all as it was, and what was killed is known for it."""

import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nlcse_tune.data import lines
from nlcse_tune.data.fetch import place_of, prepare, verify
from nlcse_tune.data.manifest import Manifest
from nlcse_tune.data.placing import check_free, join, put, recover, staged, unfinished
from nlcse_tune.data.registry import DATA_SETS, named
from nlcse_tune.errors import DataError, StorageError
from tests.data.made import cifar10, senteval
from tests.data.test_archive import archive


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


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"STS/a": "junk"}, "not all of the sets in it can be used:\nsts12: STS/STS12-en-test/.*: not found"),
        (senteval() | {"downstream/MR/rt-polarity.pos": ""}, "can be used:\n.*items with a single class"),
        (
            senteval() | {"downstream/STS/STS12-en-test/STS.gs.mine.txt": "1\nx\n"},
            "used:\nSTS/STS12-en-test/.*mine.txt:2",
        ),
        (
            {name: text for name, text in senteval().items() if "SICK" not in name} | {"downstream/SICK/x": "y"},
            "used:\nsickr: SICK/SICK_test_annotated.txt: not found",
        ),
    ],
)
def test_what_is_no_senteval_takes_the_place_of_nothing(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    (tmp_path / "senteval.tar").write_bytes(archive(files))
    (tmp_path / "here/STS").mkdir(parents=True)
    (tmp_path / "here/STS/mine.txt").write_text("mine")
    with pytest.raises(DataError, match=message):
        prepare("senteval", tmp_path / "senteval.tar", to=tmp_path / "here")
    assert [path.name for path in (tmp_path / "here").rglob("*")] == ["STS", "mine.txt"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["here", "senteval.tar"]


def killed(command: Callable[[], object], *, before: int) -> bool:
    """Whether a process of its own that gives the command got to the move of that number, before which it is killed."""
    if (child := os.fork()) == 0:
        moves, replace_ = iter(range(before)), Path.replace

        def replaced(path: Path, to: Path) -> Path:
            if next(moves, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return replace_(path, to)

        try:
            Path.replace = replaced  # type: ignore[assignment,method-assign]
            command()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("name", ["wiki1m", "senteval", "cifar10"])
def test_a_kill_at_any_move_is_healed_by_the_same_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = {"wiki1m": b"a\nb\nc\n", "senteval": archive(senteval()), "cifar10": cifar10()}[name]
    (given := tmp_path / "given").mkdir()
    (given / ("a.txt" if name == "wiki1m" else "a.tar.gz")).write_bytes(content)
    monkeypatch.setitem(DATA_SETS, "wiki1m", replace(DATA_SETS["wiki1m"], items=3))
    monkeypatch.setattr(lines, "OFFICIAL", {})  # so that the small sets count as whole
    moves = 0
    while True:
        monkeypatch.setenv("NLCSE_DATA", str(tmp_path / f"data-{moves}"))
        place = place_of(named(name))
        if name == "senteval":
            for file in ("STS/old", "MR/old", "mine"):
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                (place / file).write_text("old")
        if not killed(lambda: prepare(name, given), before=moves):
            break
        assert prepare(name, given)[1].warnings == []
        manifest = Manifest.read(place)
        assert manifest is not None
        assert manifest.name == name
        assert verify(name).problems == []
        if name == "senteval":
            assert (place / "mine").exists()
            assert not (place / "STS/old").exists()
        assert not {f".{place.name}.making", f".{place.name}.former"} & {path.name for path in place.parent.iterdir()}
        moves += 1
    assert moves >= 3  # checksums, manifest, data
