"""`nlcse-tune dashboard`: where it is, how to get in, and Prometheus; the token is shown to a terminal alone."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nlcse_tune.cli.main import app
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.launch.dashboard import Dashboard, ray_token
from nlcse_tune.launch.prometheus import collecting
from nlcse_tune.launch.whereabouts import dashboard_of_call
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.progress import Call

SECRET = "d0d0cafed0d0cafed0d0cafed0d0cafe"


def write_call(root: Path, study: str, **fields: object) -> None:
    call = Call(command=f"nlcse-tune search {study}", kind="search", study=study, host=socket.gethostname(), process=1,
                began="2026-11-22T00:00:00")  # fmt: skip
    call.model_copy(update=fields).write(StudyPaths(root, study).call)


def test_the_dashboard_is_that_of_the_command_that_works(tmp_path: Path) -> None:
    write_call(tmp_path, "over", dashboard="http://127.0.0.1:1", ended="2026-11-22T01:00:00")
    with pytest.raises(RunError, match=r"no command that works there has told where its dashboard is; .*--address"):
        dashboard_of_call(tmp_path, None, "here")
    write_call(tmp_path, "demo", dashboard="http://127.0.0.1:2/")
    assert dashboard_of_call(tmp_path, None, socket.gethostname()) == Dashboard("http://127.0.0.1:2")
    with pytest.raises(RunError, match="no command of over that works"):
        dashboard_of_call(tmp_path, "over", "here")


def test_a_dashboard_on_another_machine_is_reached_by_a_tunnel(tmp_path: Path) -> None:
    write_call(tmp_path, "demo", dashboard="http://127.0.0.1:8265", host="node7")
    said = CliRunner().invoke(app, ["dashboard", "--out", str(tmp_path)]).output
    assert "ssh -N -L 8265:127.0.0.1:8265 node7\n" in said
    assert Dashboard("http://10.0.0.5:8265").tunnel("gate") == "ssh -N -L 8265:10.0.0.5:8265 gate"
    refused = CliRunner().invoke(app, ["dashboard", "--out", str(tmp_path), "--metrics"])
    assert isinstance(refused.exception, ConfigError)
    assert str(refused.exception) == "--metrics: the metrics are on node7; give the command there"


def test_one_that_does_not_answer_is_one_sentence() -> None:
    with pytest.raises(
        RunError, match=r"http://127.0.0.1:1: no dashboard of Ray answers: .*; see whether its Ray is up"
    ):
        Dashboard("http://127.0.0.1:1").asks_for_token()


def test_the_token_is_found_where_ray_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ray_token() is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    assert ray_token() == "home"
    (tmp_path / "other").write_text("path")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "other"))
    assert ray_token() == "path"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "value")
    assert ray_token() == "value"


def test_the_token_goes_to_a_terminal_and_nowhere_else() -> None:
    command = [sys.executable, "-m", "nlcse_tune", "dashboard", "--token"]
    environment = {**os.environ, "RAY_AUTH_TOKEN": SECRET}
    piped = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert piped.returncode == 1
    assert SECRET not in piped.stdout + piped.stderr
    assert piped.stderr == "error: --token: shows the token on a terminal only, and this is a pipe or a file\n"
    terminal, end = pty.openpty()
    subprocess.run(command, env=environment, stdout=end, check=True)
    assert os.read(terminal, 1000).decode().strip() == SECRET


def test_without_prometheus_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="--metrics: there is no program `prometheus` here; install it"):
        collecting(Dashboard("http://127.0.0.1:1")).__enter__()


@pytest.fixture
def url(ray_session: None) -> str:
    import ray

    return f"http://{ray._private.worker.get_dashboard_url()}"


@pytest.mark.ray
def test_a_running_search_has_its_dashboard_shown_without_the_token(url: str, tmp_path: Path) -> None:
    write_call(tmp_path, "demo", dashboard=url)
    said = CliRunner().invoke(app, ["dashboard", "demo", "--out", str(tmp_path)]).output
    token = ray_token()
    assert token
    assert said.startswith(f"Ray dashboard: {url}\n")
    assert "it asks for a token: `nlcse-tune dashboard --token` shows it" in said
    assert token not in said


@pytest.mark.ray
def test_another_token_is_refused_in_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", SECRET)
    with pytest.raises(RunError, match=r"answers 403: it asks for another token; take that of the user who started it"):
        Dashboard(url).get("/nodes?view=summary")


@pytest.mark.ray
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Prometheus (Debian: apt install prometheus)")
def test_prometheus_collects_until_ctrl_c_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "nlcse_tune", "dashboard", "--address", url, "--metrics"]
    environment = {**os.environ, "TMPDIR": str(tmp_path), "COLUMNS": "80"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as called:
        assert called.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = called.stdout.readline()
            assert line
            said += line
        (prometheus,) = re.findall(r"^Prometheus: (http://127\.0\.0\.1:\d+)$", said, re.MULTILINE)
        (board,) = re.findall(r"import (\S+\.json)$", said, re.MULTILINE)
        assert Path(board).is_file()
        with urllib.request.urlopen(f"{prometheus}/api/v1/status/config", timeout=60) as answer:
            assert b"targets.json" in answer.read()
        files = [file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()]
        token = ray_token()
        assert token
        assert len(files) > 2
        assert not [text for text in files if token.encode() in text]
        called.send_signal(signal.SIGINT)
        called.wait(120)
    assert called.returncode == 0
    assert not list(tmp_path.iterdir())
    with pytest.raises(urllib.error.URLError, match="refused"):
        urllib.request.urlopen(prometheus, timeout=5)
