"""Fingerprints of big files: read once for each version of a file."""

import os
from pathlib import Path

import pytest

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.data import catalog
from nlcse_tune.data.catalog import fingerprint, fingerprints
from nlcse_tune.errors import DataError


def rewrite(path: Path, content: bytes, mtime_ns: int) -> None:
    """Other bytes in the same file, and a time of change of one's own; the file system's clock has gone on."""
    before = path.stat().st_ctime_ns
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(mtime_ns, mtime_ns))
    while path.stat().st_ctime_ns == before:
        os.utime(path, ns=(mtime_ns, mtime_ns))


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_bytes(b"a" * catalog.REMEMBERED_FROM)
    return path


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that were made just now are kept in mind as older ones are."""
    monkeypatch.setattr(catalog, "SETTLED", -3600.0)


@pytest.mark.usefixtures("settled")
def test_a_big_file_is_read_once_until_it_changes(big: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, first = big.stat(), fingerprint(str(big))
    assert first == (digest := catalog._digest)([big])
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "_digest", lambda files: pytest.fail("read twice"))
        assert fingerprint(str(big)) == first
    rewrite(big, b"b", state.st_mtime_ns)  # as rsync and tar do; that it was written shows all the same
    assert fingerprint(str(big)) == digest([big]) != first


def test_nothing_is_kept_of_a_file_that_was_changed_a_moment_ago(
    big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second change within one tick of the file system's clock leaves every time as it was."""
    monkeypatch.setattr(catalog, "SETTLED", 3600.0)
    fingerprint(str(big))
    assert not (tmp_path / "cache" / "fingerprints").exists()
    monkeypatch.setattr(catalog, "SETTLED", -3600.0)
    fingerprint(str(big))
    assert len(list((tmp_path / "cache" / "fingerprints").iterdir())) == 1


@pytest.mark.usefixtures("settled")
def test_a_file_put_in_the_place_of_another_is_read(big: Path, tmp_path: Path) -> None:
    state, first = big.stat(), fingerprint(str(big))
    other = tmp_path / "other"
    other.write_bytes(b"b" * catalog.REMEMBERED_FROM)
    os.utime(other, ns=(state.st_mtime_ns, state.st_mtime_ns))
    other.replace(big)
    assert fingerprint(str(big)) == catalog._digest([big]) != first


@pytest.mark.usefixtures("settled")
def test_a_link_of_another_name_has_a_digest_of_its_own(big: Path, tmp_path: Path) -> None:
    first = fingerprint(str(big))
    (tmp_path / "link.txt").symlink_to(big)
    assert fingerprint(str(tmp_path / "link.txt")) == catalog._digest([tmp_path / "link.txt"]) != first


def test_a_missing_dev_set_is_named(tmp_path: Path, tiny_config: RunConfig) -> None:
    with pytest.raises(
        DataError, match=r"senteval/STS/STSBenchmark/sts-dev.csv: not found: run `nlcse-tune data fetch"
    ):
        fingerprints(override(tiny_config, {"eval.data": str(tmp_path / "senteval")}))


def test_a_folder_with_a_name_that_is_no_text_has_a_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    Path(os.fsdecode(bytes(tmp_path) + b"/cat/\xff.jpg")).touch()
    assert len(fingerprint(str(tmp_path))) == 16


@pytest.mark.usefixtures("settled")
def test_a_small_file_leaves_nothing_and_a_cache_that_cannot_be_written_is_no_error(
    big: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "small.txt").write_text("a")
    fingerprint(str(tmp_path / "small.txt"))
    assert not (tmp_path / "cache" / "fingerprints").exists()
    monkeypatch.setenv("NLCSE_CACHE", str(big))  # a file: no folder can be made in it
    assert fingerprint(str(big)) == catalog._digest([big])


def test_how_pictures_are_decoded_names_a_run_on_a_folder_of_them_alone(tmp_path: Path, tiny_config: RunConfig) -> None:
    """Runs on embedded data, audio or text alone keep the ids that they had before it counted."""
    folder = {"side.data": str(tmp_path)}
    assert fingerprints(override(tiny_config, folder))["decoding"] == "short side 256"
    for values in ({}, {**folder, "side.modality": "audio"}, {"side": None}):
        assert "decoding" not in fingerprints(override(tiny_config, values))
