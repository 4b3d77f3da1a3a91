"""A tracker apart: told without waiting, and neither its server nor its end holds up a search."""

import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.launch.events import Audience, Watcher, watched
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.study import Study
from nlcse_tune.tracking import trackers
from nlcse_tune.tracking.apart import Apart
from tests.tracking.made import half, half_and_killed, made, work_of


class Kept(Watcher):
    """Appends the names of runs to a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def begun(self, spec: RunSpec) -> None:
        with self.file.open("a") as stream:
            stream.write(f"{spec.run_id}\n")
        print("nobody is to see this")

    def closed(self) -> None:
        with self.file.open("a") as stream:
            stream.write("closed\n")


class Broken(Watcher):
    def begun(self, spec: RunSpec) -> None:
        raise ValueError("no disk\nnor anything else")


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(100)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def test_all_is_told_in_its_order_and_again_after_the_end(
    tiny_study: Study, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    spec, _ = made(work_of(tiny_study, tmp_path), tiny_study)
    before = psutil.Process().children()  # the session's Ray, say
    apart = Apart("kept", partial(Kept, tmp_path / "told"))
    apart.closed()  # nothing was told, so there is no process
    for _ in range(2):
        apart.begun(spec)
        apart.closed()
    assert (tmp_path / "told").read_text().split() == [spec.run_id, "closed"] * 2
    new = [process for process in psutil.Process().children() if process not in before]
    assert len(new) <= 1  # multiprocessing's own
    assert "nobody" not in "".join(capfd.readouterr())


def test_what_it_raises_leaves_it_out_with_its_reason(tiny_study: Study, tmp_path: Path) -> None:
    spec, _ = made(work_of(tiny_study, tmp_path), tiny_study)
    notes: list[str] = []
    audience = Audience([Apart("broken", Broken)], notes.append)
    audience.begun(spec)
    while not notes:
        audience.begun(spec)
        time.sleep(0.05)
    assert notes == ["--track broken is left out from here on: RunError: ValueError: no disk"]
    assert not audience.watchers


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_server_that_never_answers_is_not_waited_for(
    name: str, silent: str, tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {"MLFLOW_TRACKING_URI": silent, "WANDB_BASE_URL": silent, "WANDB_API_KEY": "0" * 40}
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    work, before = work_of(tiny_study, tmp_path), {child.pid for child in psutil.Process().children(recursive=True)}
    spec, record = made(work, tiny_study)
    (apart,) = trackers(tiny_study, work.paths, "search", [name])
    assert isinstance(apart, Apart)
    apart.patience = 8.0
    half(apart, spec, record)
    with pytest.raises(RunError, match="did not take everything within 8 s|TimeoutError|CommError"):
        apart.closed()
        half(apart, spec, record)
        apart.closed()
    ours = [child for child in psutil.Process().children(recursive=True) if child.pid not in before]
    assert not [child for child in ours if "spawn_main" in " ".join(child.cmdline())]


def test_a_killed_driver_leaves_no_process(silent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the tracker waits for its server."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", silent)
    half_and_killed(tmp_path, "mlflow", lambda: True)


def test_names_are_checked_before_anything_starts(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = StudyPaths(tmp_path, "demo")
    assert trackers(tiny_study, paths, "search", ["none"]) == []
    assert [str(each) for each in trackers(tiny_study, paths, "search", None)] == ["TensorBoard"]
    names = ["tensorboard", "wandb", "mlflow", "wandb"]
    assert [str(each) for each in trackers(tiny_study, paths, "search", names)] == [
        "TensorBoard", "--track wandb", "--track mlflow",
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="--track wandbs: must be one of .*; did you mean 'wandb'?"):
        trackers(tiny_study, paths, "search", ["wandbs"])
    with pytest.raises(ConfigError, match="--track none: stands alone, got none and mlflow"):
        trackers(tiny_study, paths, "search", ["none", "mlflow"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="--track mlflow: mlflow is not installed; `pip install mlflow`"):
        trackers(tiny_study, paths, "search", ["tensorboard", "mlflow"])


def test_watchers_are_told_of_the_folders_and_of_the_end_whatever_happens(tmp_path: Path) -> None:
    heard: list[str] = []

    class Told(Watcher):
        def opened(self, paths: StudyPaths) -> None:
            heard.append(paths.study)

        def closed(self) -> None:
            heard.append("closed")

    with pytest.raises(KeyboardInterrupt), watched([Told()], heard.append, *(StudyPaths(tmp_path, s) for s in "ab")):
        raise KeyboardInterrupt
    assert heard == ["a", "b", "closed"]
