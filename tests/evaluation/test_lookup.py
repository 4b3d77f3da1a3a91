"""A name that is no model is answered at once, with where it was looked up."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nlcse_tune.errors import ConfigError
from nlcse_tune.evaluation.lookup import check_exists


class Hub(ThreadingHTTPServer):
    """A hub on this machine that has nothing, or is out of order; it notes what it is asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.asked: list[str] = []
        self.status, self.code = 404, "RepoNotFound"

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.server.asked.append(self.path)
        self.send_response(self.server.status)
        self.send_header("X-Error-Code", self.server.code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def evaluate(model: str, folder: Path, **environment: str) -> list[str]:
    """What the command says of a model: a process of its own, since the library reads its settings when imported."""
    command = [sys.executable, "-X", "importtime", "-m", "nlcse_tune", "evaluate", model, "--data", "synthetic"]
    around = {**os.environ, "HF_HOME": str(folder / "hf"), "NO_PROXY": "127.0.0.1", **environment}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, env=around)
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert not {"torch", "transformers"} & {line.rsplit("|", 1)[-1].strip() for line in lines}
    return [line for line in lines if not line.startswith("import time:")]


@pytest.mark.parametrize(
    ("status", "code", "why"),
    [(404, "RepoNotFound", "the Hugging Face hub has none"), (503, "", "the Hugging Face hub cannot be reached")],
)
def test_the_hub_is_asked_once(status: int, code: str, why: str, hub: Hub, tmp_path: Path) -> None:
    hub.status, hub.code = status, code
    (told,) = evaluate("nosuch", tmp_path, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.address)
    assert told.startswith("error: nosuch: no such model: no run under runs/*/checkpoints has an id that begins so, ")
    assert why in told
    assert [path for path in hub.asked if "nosuch" in path] == ["/nosuch/resolve/main/config.json"]


def test_the_hub_is_not_asked_offline_nor_for_what_is_no_name(hub: Hub, tmp_path: Path) -> None:
    (told,) = evaluate("nosuch", tmp_path, HF_HUB_OFFLINE="1", HF_ENDPOINT=hub.address)
    assert "the Hugging Face hub was not asked (HF_HUB_OFFLINE), nor is it in its cache here" in told
    (told,) = evaluate("some/folder/nosuch", tmp_path, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.address)
    assert "the Hugging Face hub cannot have one" in told
    assert not [path for path in hub.asked if "nosuch" in path]


def test_a_mistyped_run_is_looked_up_among_the_runs_alone(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "runs/demo/checkpoints/0123456789ab-s7").mkdir(parents=True)
    (told,) = evaluate("012345678ab-s7", tmp_path, HF_HUB_OFFLINE="0", HF_ENDPOINT=hub.address)
    assert "the Hugging Face hub was not asked for what looks like a run's id; did you mean '0123456789ab-s7'?" in told
    assert not hub.asked


def test_a_folder_or_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    for name in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(ConfigError, match="holds neither config.json nor modules.json; give the folder of a model"):
            check_exists(str(name), tmp_path)
    (tmp_path / "config.json").write_text("{}")
    check_exists(str(tmp_path), tmp_path)


def test_a_model_in_the_hubs_cache_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, as the tests are: what an earlier call brought."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConfigError, match="no such model"):
        check_exists("someone/cached", tmp_path)
    files = tmp_path / "models--someone--cached"
    (files / "refs").mkdir(parents=True)
    (files / "refs" / "main").write_text("0123abc")
    (files / "snapshots" / "0123abc").mkdir(parents=True)
    (files / "snapshots" / "0123abc" / "config.json").write_text("{}")
    check_exists("someone/cached", tmp_path)
