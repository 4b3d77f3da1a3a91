"""One file from a real server on this machine: resumed, retried, refused, checked; on full disks."""

import hashlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from nlcse_tune.data import download as module
from nlcse_tune.data.download import Remote, download
from nlcse_tune.errors import DataError, RunError, StorageError
from tests.publisher import BadDay, Publisher

CONTENT = b"0123456789" * 50
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that it would wait."""
    asked: list[float] = []
    monkeypatch.setattr(module.time, "sleep", asked.append)
    return asked


@pytest.fixture
def remote(publisher: Publisher) -> Remote:
    return Remote("file", publisher.put("/file", CONTENT), len(CONTENT), SHA256)


def there(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != "cache")


def test_a_whole_file_comes_and_nothing_else_stays(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    assert download(remote, tmp_path / "in" / "file", lambda *what: told.append(what)) == SHA256
    assert (tmp_path / "in" / "file").read_bytes() == CONTENT
    assert there(tmp_path / "in") == ["file"]
    assert told[-1] == ("file, MB", 0, 1)
    assert publisher.asked == ["GET"]


def test_a_cut_file_is_gone_on_with(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    publisher.bad_days = [BadDay(cut=100), BadDay(cut=50)]
    assert download(remote, tmp_path / "file") == SHA256
    assert publisher.asked == ["GET", "GET bytes=100-", "GET bytes=150-"]


def test_so_it_is_by_a_later_call(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    publisher.bad_days = [BadDay(cut=100), BadDay(status=403)]
    with pytest.raises(RunError, match="403 Forbidden: the server does not give it"):
        download(remote, tmp_path / "file")
    assert (tmp_path / "file.part").stat().st_size == 100
    publisher.asked.clear()
    assert download(remote, tmp_path / "file") == SHA256
    assert publisher.asked == ["GET bytes=100-"]


def test_what_came_whole_before_a_kill_is_not_asked_for(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert download(remote, tmp_path / "file") == SHA256
    assert publisher.asked == []


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_server_without_ranges_sends_all_of_it_again(
    size: int | None, publisher: Publisher, remote: Remote, tmp_path: Path
) -> None:
    publisher.knows_ranges = False
    publisher.bad_days = [BadDay(cut=100)]
    assert download(Remote("file", remote.url, size), tmp_path / "file") == SHA256


def test_a_file_that_changed_meanwhile_is_not_mixed(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    publisher.bad_days = [BadDay(cut=100), BadDay(status=403)]
    unknown = Remote("file", remote.url)
    with pytest.raises(RunError):
        download(unknown, tmp_path / "file")
    publisher.put("/file", other := CONTENT[::-1])
    download(unknown, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == other


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_without_a_name_of_the_version_it_begins_anew(
    size: int | None, publisher: Publisher, remote: Remote, tmp_path: Path
) -> None:
    publisher.names_versions = False
    publisher.bad_days = [BadDay(cut=100), BadDay(cut=200), BadDay(status=403)]
    unknown = Remote("file", remote.url, size)
    with pytest.raises(RunError):
        download(unknown, tmp_path / "file")
    publisher.put("/file", other := CONTENT[::-1])
    download(unknown, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == other
    assert set(publisher.asked) == {"GET"}
    publisher.bad_days = [BadDay(cut=100)] * 9
    with pytest.raises(RunError, match="100 of 500 bytes came.; the same command begins anew; or fetch"):
        download(unknown, tmp_path / "again")
    assert len(publisher.bad_days) == 9 - module.TRIES


def test_a_server_that_gives_the_rest_of_another_version(
    publisher: Publisher, remote: Remote, tmp_path: Path, waits: list[float]
) -> None:
    """As one that does not know If-Range."""
    publisher.bad_days = [BadDay(cut=100), BadDay(status=403)]
    unknown = Remote("file", remote.url)
    with pytest.raises(RunError):
        download(unknown, tmp_path / "file")
    (tmp_path / "file.part.etag").write_text('"older"')
    publisher.any_version = True
    download(unknown, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert publisher.asked[-2:] == ["GET bytes=100-", "GET"]


def test_what_no_server_may_say_is_one_line(publisher: Publisher, tmp_path: Path) -> None:
    remote = Remote("file", publisher.put("/file", CONTENT))
    publisher.length = "abc"
    with pytest.raises(RunError, match="HTTPException: Content-Length must be a number, got 'abc'.; .*begins anew"):
        download(remote, tmp_path / "file")
    publisher.length = ""
    publisher.bad_days = [BadDay(status=302, headers={"Location": "http://[::1/file"})] * 9
    with pytest.raises(RunError, match="InvalidURL: it leads to an address that is none: Invalid IPv6 URL") as caught:
        download(remote, tmp_path / "file")
    assert "\n" not in str(caught.value)


def test_more_than_there_is_begins_anew(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(CONTENT * 2)
    assert download(remote, tmp_path / "file") == SHA256
    assert publisher.asked == ["GET bytes=1000-", "GET"]


def test_what_is_not_there_is_asked_for_once(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"/none: 404 Not Found: the publisher has moved or removed it"):
        download(Remote("none", f"{publisher.address}/none"), tmp_path / "none")
    assert publisher.asked == ["GET"]
    assert there(tmp_path) == []


def test_it_waits_as_long_as_it_is_asked_to(
    publisher: Publisher, remote: Remote, tmp_path: Path, waits: list[float]
) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    publisher.bad_days = [BadDay(status=429, headers={"Retry-After": value}) for value in ("7", date)]
    assert download(remote, tmp_path / "file") == SHA256
    assert waits[0] == 7
    assert 50 < waits[1] <= 100


def test_it_does_not_wait_for_hours(publisher: Publisher, remote: Remote, tmp_path: Path, waits: list[float]) -> None:
    publisher.bad_days = [BadDay(cut=100), BadDay(status=429, headers={"Retry-After": "7200"})]
    with pytest.raises(RunError, match=r"429 .*it asks to wait for 7200 s; what has come is kept"):
        download(remote, tmp_path / "file")
    assert waits == [0.5]
    assert (tmp_path / "file.part").stat().st_size == 100


def test_a_server_out_of_order_is_asked_a_few_times(
    publisher: Publisher, remote: Remote, tmp_path: Path, waits: list[float]
) -> None:
    publisher.bad_days = [BadDay(status=500), BadDay(status=503)]
    assert download(remote, tmp_path / "file") == SHA256
    assert waits == [1, 2]
    publisher.bad_days = [BadDay(status=500)] * 9
    with pytest.raises(RunError, match="500 Internal Server Error"):
        download(remote, tmp_path / "again")
    assert len(publisher.bad_days) == 9 - module.TRIES


def test_no_server_at_all(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="Connection refused"):
        download(Remote("file", "http://127.0.0.1:9/file"), tmp_path / "file")


def test_other_bytes_are_not_kept(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    publisher.put("/file", CONTENT[::-1])
    with pytest.raises(DataError, match=f"its sha256 is [0-9a-f]*, and must be {SHA256}: it was damaged on the way"):
        download(remote, tmp_path / "file")
    assert there(tmp_path) == []
    publisher.put("/file", CONTENT + b"more")
    with pytest.raises(DataError, match="504 bytes came, and it has 500"):
        download(remote, tmp_path / "file")


def test_a_disk_without_room_is_told_before(publisher: Publisher, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"MB are to come and [\d,]+ MB are free; free space, or choose another --d"):
        download(Remote("file", f"{publisher.address}/file", 10**18), tmp_path / "file")
    assert publisher.asked == []


def test_a_disk_that_is_full_on_the_way(publisher: Publisher, remote: Remote, tmp_path: Path) -> None:
    (tmp_path / "file.part").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left on device; free space or choose another --data"):
        download(remote, tmp_path / "file")
    assert not (tmp_path / "file").exists()
