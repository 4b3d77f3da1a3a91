"""Where things lie: one lock for a folder, whatever name leads to it."""

from pathlib import Path

import pytest

from nlcse_tune.errors import RunError
from nlcse_tune.files import locked
from nlcse_tune.paths import StudyPaths, cache_folder, data_folder, data_path


@pytest.fixture
def linked(tmp_path: Path) -> tuple[StudyPaths, StudyPaths]:
    """A study's folder, and a link to it under another name and another root."""
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "alias").symlink_to(tmp_path / "runs" / "demo")
    return StudyPaths(tmp_path / "runs", "demo"), StudyPaths(tmp_path / "other", "alias")


def test_two_names_of_one_folder_have_one_lock(linked: tuple[StudyPaths, StudyPaths]) -> None:
    own, alias = linked
    for first, second in ((own, alias), (alias, own)):
        with locked(first.lock, "x"), pytest.raises(RunError, match="in use by process"), locked(second.lock, "x"):
            pass


def test_a_folder_behind_a_link_is_set_aside_and_stays_one(linked: tuple[StudyPaths, StudyPaths]) -> None:
    own, alias = linked
    (own.folder / "search.json").write_text("{}")
    before = own.lock
    aside = alias.set_aside()
    assert aside is not None
    assert (aside / "search.json").is_file()
    assert alias.folder.is_symlink()
    assert own.lock == alias.lock == before
    assert list(own.folder.iterdir()) == []
    assert StudyPaths(own.root, "new").set_aside() is None


def test_data_are_looked_for_here_and_then_in_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert data_folder() == cache_folder() / "data"
    monkeypatch.setenv("NLCSE_DATA", "elsewhere")
    assert data_folder() == tmp_path / "elsewhere"
    assert data_path("data/text/a.txt") == Path("data/text/a.txt")  # nowhere: an error names the place here
    (tmp_path / "elsewhere/text").mkdir(parents=True)
    (tmp_path / "elsewhere/text/a.txt").touch()
    assert data_path("data/text/a.txt") == tmp_path / "elsewhere/text/a.txt"
    assert data_path("text/a.txt") == Path("text/a.txt")
    (tmp_path / "data/text").mkdir(parents=True)
    (tmp_path / "data/text/a.txt").touch()
    assert data_path("data/text/a.txt") == Path("data/text/a.txt")
