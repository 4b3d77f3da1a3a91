"""`--submit`: the same words for a job, what travels with it, what is refused; and a search as a job."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from nlcse_tune.cli.main import app
from nlcse_tune.cli.submit import typed, words_of
from nlcse_tune.errors import ConfigError
from nlcse_tune.launch.dashboard import Dashboard
from nlcse_tune.launch.submit import pack
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.study import rests_on
from tests.conftest import TINY

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
OURS = "description: mine\nextends: mother\nspace: narrow\nbaseline: simcse-bert\n"


def context_of(*words: str) -> Any:
    return COMMANDS[words[0]].make_context(words[0], list(words[1:]))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a study of its own, that extends another, and a space."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "studies" / "mother.yaml").write_text("extends: demo\n")
    (tmp_path / "studies" / "mine.yaml").write_text(OURS)
    (tmp_path / "studies" / "stranger.yaml").write_text("extends: demo\n")
    (tmp_path / "search_spaces" / "narrow.yaml").write_text("parameters: {text.learning_rate: [1e-3, 3e-3]}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_job_is_called_with_the_same_words_less_what_concerns_this_call() -> None:
    words = ["search", "x/demo.yaml", "--set", "train.max_steps=4", "--set", "side.data=/a b", "--trials", "2"]
    words += ["--with-baseline", "--sampler", "tpe", "--out", "/mnt/runs"]
    called = context_of(*words, "--address", "http://h:8265", "--submit", "-v")
    again = words_of(called, study="demo", out=typed(called, "--out"))
    assert again[:2] == ["search", "demo"]
    assert sorted(again[2:]) == sorted(words[2:])
    heard = context_of(*again).params
    kept = {"study": "demo", "submit": False, "address": None, "verbose": False, "out": heard["out"]}
    assert heard == {**called.params, **kept}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), r"--out runs: is relative, and a job's own folder goes with it; give an absolute folder"),
        (("--out", "s3://key:hidden@bucket/runs"), r"--out s3://\.\.\./runs: holds a secret"),
        (("--out", "/mnt/runs", "--show"), "--show and --submit: a job shows nothing here"),
        (
            ("--out", "s3://runs", "--set", "text.data=some/lines.txt"),
            r"text\.data: some/lines\.txt is relative, and data do not travel with --submit; .*--set text\.data=/",
        ),
    ],
)
def test_what_would_mean_something_else_on_the_cluster_is_refused(words: tuple[str, ...], said: str) -> None:
    called = CliRunner().invoke(app, ["search", "demo", "--submit", "--address", "http://127.0.0.1:1", *words])
    assert isinstance(called.exception, ConfigError)
    with pytest.raises(ConfigError, match=said):
        raise called.exception


def test_the_package_and_the_files_of_the_study_travel(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("job")
    pack(folder, here / "studies" / "mine.yaml", None)
    own = sorted(str(path.relative_to(folder)) for path in folder.glob("s*/*"))
    assert own == ["search_spaces/narrow.yaml", "studies/mine.yaml", "studies/mother.yaml"]
    code = "import nlcse_tune; from nlcse_tune.study import find_study; s = find_study('mine')\n"
    code += "print(nlcse_tune.__file__, s.space.name, s.baseline, find_study('simcse-bert').name)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={"PATH": ""}, capture_output=True, text=True)
    assert done.stdout.split() == [f"{folder}/nlcse_tune/__init__.py", "narrow", "simcse-bert", "simcse-bert"], done


def test_a_study_rests_on_what_it_extends_on_its_space_and_on_its_baseline(here: Path) -> None:
    found = [(kind, path.stem) for kind, path in rests_on(here / "studies" / "mine.yaml")]
    assert {("studies", "mine"), ("studies", "mother"), ("studies", "demo"), ("studies", "simcse-bert")} < set(found)
    assert ("search_spaces", "narrow") in found
    assert ("studies", "stranger") not in found


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1200)  # of Ray's own: a job's agent and its supervisor first import for a while
@pytest.mark.usefixtures("ray_session")
def test_a_search_as_a_job(here: Path) -> None:
    import ray

    dashboard, out = Dashboard(f"http://{ray._private.worker.get_dashboard_url()}"), here / "runs"
    words = ["search", "mine", "--submit", "--address", dashboard.url, "--out", str(out), "--trials", "1"]
    words += [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    called = CliRunner().invoke(app, words, catch_exceptions=False)
    (job,) = [word for word in called.output.replace(";", " ").split() if word.startswith("mine-")][:1]
    assert f"job stop {job} --address {dashboard.url}" in called.output
    until = time.monotonic() + 600
    while (told := dashboard.get(f"/api/jobs/{job}"))["status"] in ("PENDING", "RUNNING") and time.monotonic() < until:
        time.sleep(0.5)
    assert told["status"] == "SUCCEEDED", dashboard.get(f"/api/jobs/{job}/logs")["logs"]
    assert told["metadata"]["study"] == "mine"
    assert told["metadata"]["command"].startswith("nlcse-tune search mine ")
    assert [record.status for record in ledger(StudyPaths(out, "mine")).runs] == ["completed"]
