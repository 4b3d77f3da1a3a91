"""Archives: odd paths, links, bombs and cut ones are refused before anything is written."""

import gzip
import io
import random
import tarfile
from pathlib import Path

import pytest

from nlcse_tune.data import bounds
from nlcse_tune.data.archive import unpack
from nlcse_tune.errors import DataError


def archive(files: dict[str, str | bytes], *others: tarfile.TarInfo) -> bytes:
    """A tar archive of these files, and of members without content."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            content = content.encode() if isinstance(content, str) else content
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in others:
            tar.addfile(info)
    return stream.getvalue()


def member(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def refused(content: bytes, folder: Path) -> str:
    """Why; and that nothing was written."""
    (folder / "a.tar").write_bytes(content)
    with pytest.raises(DataError) as told:
        unpack(folder / "a.tar", folder / "into")
    assert not (folder / "into").exists()
    return str(told.value)


def test_files_and_folders_come_out(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(archive({"x/y": "text"}, member("empty", tarfile.DIRTYPE)))
    unpack(tmp_path / "a.tar", tmp_path / "into")
    assert (tmp_path / "into/x/y").read_text() == "text"
    assert (tmp_path / "into/empty").is_dir()


@pytest.mark.parametrize("name", ["../../escape", "x/../../escape", "/etc/escape", "x\\..\\escape"])
def test_a_path_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    assert "which leads out of its folder; remove it" in refused(archive({"fine": "x", name: "y"}), tmp_path)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (tarfile.SYMTYPE, "which is a link"),
        (tarfile.LNKTYPE, "which is a link"),
        (tarfile.FIFOTYPE, "neither file nor folder"),
        (tarfile.CHRTYPE, "neither file nor folder"),
    ],
)
def test_what_is_no_file(kind: bytes, words: str, tmp_path: Path) -> None:
    assert words in refused(archive({"fine": "x"}, member("odd", kind, "fine")), tmp_path)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a": "x", "a/STS/x": "y"}, "holds 'a' as a file and as a folder"),
        ({"b/a/STS/x": "y", "b/./a": "x"}, "holds 'b/a' as a file and as a folder"),
        ({"STS/" + "x" * 300: "y"}, "a name of more than 255 bytes"),
        ({"é" * 200 + "/x": "y"}, "a name of more than 255 bytes"),
        ({".": "y"}, "holds '.' as a file and as a folder"),
    ],
)
def test_paths_that_no_folder_can_hold(files: dict[str, str | bytes], words: str, tmp_path: Path) -> None:
    assert words in refused(archive(files), tmp_path)


@pytest.mark.parametrize(("members", "each"), [(1, 3_000_000), (6000, 0)])
def test_what_unpacks_to_much_is_not_unpacked(tmp_path: Path, members: int, each: int) -> None:
    packed = gzip.compress(archive({f"STS/{number}": "\0" * each for number in range(members)}))
    assert "unpacks to more than" in refused(packed, tmp_path)


def test_what_is_beyond_the_bound_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNPACKED_RATIO", 1)
    assert "unpacks to more than" in refused(gzip.compress(archive({"STS/a": "x" * 2000})), tmp_path)


@pytest.mark.parametrize("size", [0.3, 0.9])
def test_a_cut_archive_is_named(tmp_path: Path, size: float) -> None:
    noise = random.Random(0).randbytes(50_000).hex()
    whole = gzip.compress(archive({"STS/a": noise, "STS/b": noise}))
    assert "a.tar: not a tar archive that can be read" in refused(whole[: int(len(whole) * size)], tmp_path)
    assert "not a tar archive" in refused(b"<html>", tmp_path)
