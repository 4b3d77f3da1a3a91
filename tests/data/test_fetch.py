"""Downloads, from a server on this machine that plays the hub."""

import gzip
import hashlib
import io
import random
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from nlcse_tune.data import bounds, fetch
from nlcse_tune.errors import DataError, RunError

PREFIX = f"/datasets/{fetch.REPOSITORY}/resolve/main/"


class Hub(ThreadingHTTPServer):
    """Files by name; the next answer stops after `breaks_after` bytes, once."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.breaks_after: int | None = None
        self.asked: list[str] = []  # method, and for a GET the range


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.asked.append("HEAD")
        self._answer()

    def do_GET(self) -> None:
        self.server.asked.append(f"GET {self.headers.get('Range', '')}".strip())
        content = self._answer()
        if (end := self.server.breaks_after) is not None:
            self.server.breaks_after, content = None, content[:end]
            self.close_connection = True
        self.wfile.write(content)

    def _answer(self) -> bytes:
        """Sends the headers that the hub's own client asks for; returns the bytes that belong to them."""
        content = self.server.files.get(self.path.removeprefix(PREFIX))
        if content is None or not self.path.startswith(PREFIX):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            content = b""
        elif asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
            start, whole = int(asked[1]), content
            content = whole[start:]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        else:
            self.send_response(200)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        return content

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """The server, in the place of the real hub; its client reads the environment on import, so that comes too late."""
    with Hub() as server:
        url = f"http://127.0.0.1:{server.server_port}"
        for name, value in (
            ("ENDPOINT", url),
            ("HUGGINGFACE_CO_URL_TEMPLATE", f"{url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"),
            ("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub-cache"))),
            ("HF_HUB_OFFLINE", False),
        ):
            monkeypatch.setattr(constants, name, value)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training texts of three items."""
    monkeypatch.setattr(fetch, "ITEMS", {"wiki1m": 3, "nli": 3})


def test_text_is_downloaded_once(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["wiki1m_for_simcse.txt"] = b"a\nb\nc\n"
    monkeypatch.chdir(tmp_path)
    fetched = fetch.fetch("wiki1m")
    assert fetched == (Path("data/text/wiki1m_for_simcse.txt"), fetch.Contents(["3 items"], []))
    assert fetched[0].read_bytes() == b"a\nb\nc\n"
    hub.asked.clear()
    assert fetch.fetch("wiki1m") == fetched
    assert hub.asked == []  # what is there is not even asked for


def test_rows_of_a_quoted_csv(hub: Hub, tmp_path: Path) -> None:
    hub.files["nli_for_simcse.csv"] = b'sent0,sent1,hard_neg\na,b,c\n"d\ne",f,g\nh,i,j\n'
    assert fetch.fetch("nli", tmp_path / "nli.csv")[1].counts == ["3 items"]


def test_wrong_count_leaves_nothing(hub: Hub, tmp_path: Path) -> None:
    hub.files["wiki1m_for_simcse.txt"] = b"a\nb\n"
    with pytest.raises(DataError, match=r"2 items, but wiki1m_for_simcse\.txt has 3"):
        fetch.fetch("wiki1m", tmp_path / "to" / "wiki.txt")
    assert not (tmp_path / "to").exists()


def test_another_file_in_the_place_is_not_overwritten(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("my own\n")
    with pytest.raises(DataError, match="move it away"):
        fetch.fetch("wiki1m", tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "my own\n"


def test_a_download_that_breaks_off_goes_on_from_there(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2)
    hub.files["wiki1m_for_simcse.txt"] = b"a\nb\nc\n"
    hub.breaks_after = 4
    assert fetch.fetch("wiki1m", tmp_path / "wiki.txt")[1].counts == ["3 items"]
    assert hub.asked == ["HEAD", "GET", "GET bytes=4-"]


def test_no_such_file_and_no_connection(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match=r"wiki1m_for_simcse\.txt: cannot be downloaded \(RemoteEntryNotFoundError: 404"):
        fetch.fetch("wiki1m", tmp_path / "wiki.txt")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # a server that does not answer is tried for 20 s
    with pytest.raises(RunError, match="set HF_ENDPOINT to the address of a mirror"):
        fetch.fetch("wiki1m", tmp_path / "wiki.txt")
    assert not (tmp_path / "wiki.txt").exists()


def test_what_the_cache_has_needs_no_server(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["wiki1m_for_simcse.txt"] = b"a\nb\nc\n"
    fetch.fetch("wiki1m", tmp_path / "wiki.txt")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch.fetch("wiki1m", tmp_path / "again.txt")[1].counts == ["3 items"]


def archive(files: dict[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return stream.getvalue()


def packed(members: int, each: int) -> bytes:
    """A compressed archive of `members` files of `each` zeros."""
    return gzip.compress(archive({f"downstream/STS/{number}": "\0" * each for number in range(members)}))


@pytest.mark.parametrize(("members", "each"), [(1, 3_000_000), (6000, 0)])
def test_an_archive_that_unpacks_to_much_is_not_unpacked(hub: Hub, tmp_path: Path, members: int, each: int) -> None:
    hub.files["senteval.tar"] = packed(members, each)
    with pytest.raises(DataError, match=r"senteval.tar: unpacks to more than [\d,]+ bytes, .* another mirror"):
        fetch.fetch("sts", tmp_path / "senteval")
    assert not list(tmp_path.iterdir())


def test_an_archive_beyond_the_bound_is_not_unpacked(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "UNPACKED_BYTES", 2000)
    hub.files["senteval.tar"] = archive({"downstream/STS/a": "x" * 2000})
    with pytest.raises(DataError, match=r"senteval.tar: unpacks to more than 2,000 bytes"):
        fetch.fetch("sts", tmp_path / "senteval")


@pytest.mark.parametrize("size", [0.3, 0.9])
def test_a_cut_archive_is_named(hub: Hub, tmp_path: Path, size: float) -> None:
    noise = random.Random(0).randbytes(50_000).hex()
    whole = gzip.compress(archive({"downstream/STS/a": noise, "downstream/STS/b": noise}))
    hub.files["senteval.tar"] = whole[: int(len(whole) * size)]
    with pytest.raises(DataError, match=r"senteval.tar: not a tar archive that can be read"):
        fetch.fetch("sts", tmp_path / "senteval")


ROW = "g\tf\ty\t1\t{0}\ta\tb\n"


def test_archive_goes_where_studies_look(hub: Hub, tmp_path: Path) -> None:
    dev = ROW.format(1) + ROW.format(2)
    hub.files["senteval.tar"] = archive({"downstream/STS/STSBenchmark/sts-dev.csv": dev, "downstream/MR/x": "y"})
    (tmp_path / "senteval" / "MR").mkdir(parents=True)
    (tmp_path / "senteval" / "MR" / "old").write_text("from an earlier download")
    folder, contents = fetch.fetch("sts", tmp_path / "senteval")
    assert (folder / "STS/STSBenchmark/sts-dev.csv").read_text() == dev
    assert [p.name for p in (folder / "MR").iterdir()] == ["x"]
    assert "sts-dev: 2 scored pairs" in contents.counts
    assert any(warning.startswith("sts12: ") for warning in contents.warnings)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["senteval"]  # nothing temporary is left


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive({"../../escape": "x"}), "unpacked safely"),
        (archive({"downstream/other": "x"}), "holds no folder STS"),
        (b"<html>", "not a tar archive"),
    ],
)
def test_unsafe_or_foreign_archive(hub: Hub, tmp_path: Path, content: bytes, message: str) -> None:
    hub.files["senteval.tar"] = content
    with pytest.raises(DataError, match=message):
        fetch.fetch("sts", tmp_path / "senteval")
    assert not [path for path in tmp_path.rglob("*") if path != tmp_path / "senteval"]
