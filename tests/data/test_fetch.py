"""Downloads, from a server on this machine that plays the hub."""

import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune.data import fetch
from nlcse_tune.data.fetch import Source
from nlcse_tune.errors import ConfigError, DataError, RunError


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder; `broken.txt` ends before the length it announced."""

    def do_GET(self) -> None:
        if self.path == "/broken.txt":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
            self.wfile.write(b"half")
        else:
            super().do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """(the folder that is served, its address)."""
    served = tmp_path / "hub"
    served.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(served))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield served, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def few_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training texts of three items."""
    for name, file in (("wiki1m", "wiki1m_for_simcse.txt"), ("nli", "nli_for_simcse.csv")):
        monkeypatch.setitem(fetch.SOURCES, name, Source(file, f"data/text/{file}", 3))


def test_text_is_downloaded_once(hub: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served, url = hub
    (served / "wiki1m_for_simcse.txt").write_text("a\nb\nc\n")
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, int | None]] = []
    fetched = fetch.fetch("wiki1m", base_url=url + "/", progress=lambda done, total: seen.append((done, total)))
    assert fetched.path == Path("data/text/wiki1m_for_simcse.txt")
    assert fetched.path.read_text() == "a\nb\nc\n"
    assert fetched.found == ("3 items",)
    assert seen == [(6, 6)]
    (served / "wiki1m_for_simcse.txt").unlink()
    assert fetch.fetch("wiki1m", base_url=url) == fetched  # what is there is not fetched again


def test_rows_of_a_quoted_csv(hub: tuple[Path, str], tmp_path: Path) -> None:
    served, url = hub
    (served / "nli_for_simcse.csv").write_text('sent0,sent1,hard_neg\na,b,c\n"d\ne",f,g\nh,i,j\n')
    assert fetch.fetch("nli", tmp_path / "nli.csv", base_url=url).found == ("3 items",)


def test_wrong_count_leaves_nothing(hub: tuple[Path, str], tmp_path: Path) -> None:
    served, url = hub
    (served / "wiki1m_for_simcse.txt").write_text("a\nb\n")
    with pytest.raises(DataError, match=r"2 items, but wiki1m_for_simcse\.txt has 3"):
        fetch.fetch("wiki1m", tmp_path / "to" / "wiki.txt", base_url=url)
    assert list((tmp_path / "to").iterdir()) == []


def test_another_file_in_the_place_is_not_overwritten(hub: tuple[Path, str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("my own\n")
    with pytest.raises(DataError, match="move it away"):
        fetch.fetch("wiki1m", tmp_path / "mine.txt", base_url=hub[1])
    assert (tmp_path / "mine.txt").read_text() == "my own\n"


def test_a_download_that_breaks_off(hub: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"broke off after 4 of 100 bytes"):
        fetch.download(f"{hub[1]}/broken.txt", tmp_path / "broken.txt")


def test_no_such_file_and_no_server(hub: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(RunError, match="the server answers 404"):
        fetch.fetch("wiki1m", tmp_path / "wiki.txt", base_url=hub[1])
    with pytest.raises(RunError, match="cannot be downloaded"):
        fetch.fetch("wiki1m", tmp_path / "wiki.txt", base_url="http://127.0.0.1:1")
    assert not (tmp_path / "wiki.txt").exists()


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'wiki1m'"):
        fetch.fetch("wiki")


def archive(path: Path, files: dict[str, str]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))


ROW = "g\tf\ty\t1\t{0}\ta\tb\n"


def test_archive_goes_where_studies_look(hub: tuple[Path, str], tmp_path: Path) -> None:
    served, url = hub
    dev = ROW.format(1) + ROW.format(2)
    archive(served / "senteval.tar", {"downstream/STS/STSBenchmark/sts-dev.csv": dev, "downstream/MR/x": "y"})
    (tmp_path / "senteval" / "MR").mkdir(parents=True)
    (tmp_path / "senteval" / "MR" / "old").write_text("from an earlier download")
    fetched = fetch.fetch("sts", tmp_path / "senteval", base_url=url)
    assert (fetched.path / "STS/STSBenchmark/sts-dev.csv").read_text() == dev
    assert [p.name for p in (fetched.path / "MR").iterdir()] == ["x"]
    assert "sts-dev: 2 scored pairs" in fetched.found
    assert any(warning.startswith("sts12: ") for warning in fetched.warnings)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hub", "senteval"]  # nothing temporary is left


@pytest.mark.parametrize(
    ("files", "message"),
    [({"../../escape": "x"}, "unpacked safely"), ({"downstream/other": "x"}, "holds no folder STS")],
)
def test_unsafe_or_foreign_archive(hub: tuple[Path, str], tmp_path: Path, files: dict[str, str], message: str) -> None:
    archive(hub[0] / "senteval.tar", files)
    with pytest.raises(DataError, match=message):
        fetch.fetch("sts", tmp_path / "senteval", base_url=hub[1])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hub"]


def test_not_an_archive(hub: tuple[Path, str], tmp_path: Path) -> None:
    (hub[0] / "senteval.tar").write_text("<html>")
    with pytest.raises(DataError, match="not a tar archive"):
        fetch.fetch("sts", tmp_path / "senteval", base_url=hub[1])
