"""`status`, `stop` and `logs`: from a folder alone, and of a real search, from other processes."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.progress import Call, StopRequest
from nlcse_tune.study import Study
from tests.cli.conftest import Cli
from tests.search.test_state import plan_of, points, put
from tests.synthetic_records import progress_of


def ago(seconds: float) -> str:
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def begin(study: Study, root: Path, heard: float = 3.0, **call: Any) -> tuple[StudyPaths, RunSpec]:
    """A search elsewhere with one run on record, one that got to step 10 and one that has only begun."""
    plan = plan_of(study, root)
    done, first, second = points(study)[:3]
    for point in (done, first, second):
        plan.begin(plan.spec(point))
    put(plan, done, 84.27)
    spec = plan.begin(plan.spec(first))
    progress_of(spec).model_copy(update={"time": ago(heard)}).write(spec.paths.progress)
    told = {
        "command": "nlcse-tune search demo", "kind": "search", "study": "demo", "host": "elsewhere", "process": 123,
        "began": ago(600), "heard": ago(heard), "runs": 3, "done": 1, "at_a_time": 2, "seconds_left": 185.0,
    }  # fmt: skip
    Call.model_validate({**told, **call}).write(plan.paths.call)
    return plan.paths, spec


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_study_at_work_is_shown_with_the_age_of_each_word(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    begin(tiny_study, tmp_path / "runs")
    done = cli("status", "demo")
    text = words(done.stdout)
    assert done.status == 0, done.stderr
    assert re.search(r"demo: search at work on elsewhere \(process 123\), begun \S+; heard \d s ago", text)
    assert "1 of 3 runs done, 2 at a time; about 3 min 05 s left" in text
    assert re.search(r"002 \S.* 10/100 80.00 84.27 1,234 1m2\ds \d+s ago", text)
    assert re.search(r"003 \S.* begun - - - - -", text)
    assert "on record: 1 completed; best dev 84.27" in text
    (one,) = json.loads(cli("status", "--json").stdout)
    assert json.loads(cli("status", "demo", "--json").stdout)["call"] == one["call"]
    assert [run["label"].split()[1] for run in one["under_way"]] == ["002", "003"]
    assert one["under_way"][0]["progress"]["step"] == 10
    line = words(cli("status").stdout)
    assert re.search(r"demo search at work 1/3 3m05s \d+s ago 84.27", line)
    assert cli("status", "dmo").status == 1
    assert "no such folder" in cli("status", "dmo").stderr


def test_what_has_not_been_heard_of_is_said(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    begin(tiny_study, tmp_path / "runs", heard=185.0)
    done = cli("status", "demo")
    assert done.status == 3
    assert "(process 123 on elsewhere) was last heard 3 min 0" in words(done.stdout)
    begin(tiny_study, tmp_path / "runs", heard=185.0, host=os.uname().nodename, process=2**22 + 1)
    done = cli("status", "demo")
    assert done.status == 3
    gone = r"its driver \(process 4194305 on \S+\) is gone, last heard 3 min 0\d s ago; the same command goes on"
    assert re.search(gone, words(done.stdout))
    assert "2 runs to go on with:" in done.stdout
    begin(tiny_study, tmp_path / "runs", heard=2.0, ended=ago(2), outcome="ended by SIGTERM")
    done = cli("status", "demo")
    assert done.status == 3
    assert "search ended 2 s ago: ended by SIGTERM; the same command goes on" in words(done.stdout)


def test_a_run_that_lags_behind_its_living_driver_is_named(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    _, spec = begin(tiny_study, tmp_path / "runs")
    progress_of(spec).model_copy(update={"time": ago(300)}).write(spec.paths.progress)
    text = words(cli("status", "demo").stdout)
    assert "not heard of for over a minute, in a long evaluation or stuck: 002 " in text


def test_status_imports_nothing_slow(tiny_study: Study, tmp_path: Path) -> None:
    begin(tiny_study, tmp_path / "runs")
    code = (
        "import sys; from nlcse_tune.cli.main import main; sys.argv = ['nlcse-tune', 'status', 'demo']\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'ray', 'optuna', 'transformers', 'pandas'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_stop_with_nothing_at_work_says_so(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    paths, _ = begin(tiny_study, tmp_path / "runs", ended=ago(3), outcome="finished")
    done = cli("stop", "demo")
    assert done.status == 0
    assert re.fullmatch(r"demo: nothing is at work in runs/demo; search ended \d s ago: finished", words(done.stdout))
    assert not paths.stop.exists()


def test_stop_asks_the_command_at_work_and_does_not_wait_for_ever(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    paths, _ = begin(tiny_study, tmp_path / "runs")
    done = cli("stop", "demo", "--wait", "1")
    assert done.status == 1
    assert "asked to stop, and still at work after 1 s" in done.stdout
    request, call = StopRequest.read(paths.stop), Call.read(paths.call)
    assert request is not None
    assert call is not None
    assert call.is_same(request)


def test_a_log_is_found_by_id_and_by_number(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    paths, spec = begin(tiny_study, tmp_path / "runs", ended=ago(2), outcome="ended by SIGTERM")
    spec.paths.log.parent.mkdir()
    spec.paths.log.write_text("what it said\n")
    for name in (spec.run_id, spec.run_id[:6], "demo/2", "demo/002"):
        assert cli("logs", name).stdout == "what it said\n"
    assert cli("logs", "demo/2", "-f").stdout == "what it said\n"  # its driver has ended: there is nothing to wait for
    assert "no run of this name under runs has a log" in cli("logs", "demo/9").stderr
    assert "must be a run's id" in cli("logs", "nobody").stderr
    other = paths.run(spec.run_id.replace("-s42", "-s43")).log
    other.write_text("with another seed\n")
    assert f"2 runs go by this name: {spec.run_id}, " in cli("logs", "demo/2").stderr
    assert cli("logs", spec.run_id).stdout == "what it said\n"
    finished = next(paths.records.glob("*.json")).stem
    paths.run(finished).log.write_text("done\n")
    assert cli("logs", finished).stdout.splitlines()[-1] == "on record as completed: dev 84.27 at step 4, -"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_search_is_watched_stopped_and_continued_from_other_processes(tmp_path: Path) -> None:
    """The session's Ray is the cluster that it joins, so that its driver is a process that ends by itself."""
    import ray

    sets = {"encoder.scratch.hidden_size": 16, "text.batch_size": 32, "side.batch_size": 4, "train.epochs": 10,
            "train.max_steps": 400, "train.eval_every": 50, "train.checkpoint_every": 25}  # fmt: skip
    changed = [word for name, value in sets.items() for word in ("--set", f"{name}={value}")]
    address = ray.get_runtime_context().gcs_address
    search = ["search", "demo", *changed, "--trials", "2", "--concurrent", "1", "--address", address]

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "nlcse_tune", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)

    paths = StudyPaths(tmp_path / "runs", "demo")
    with (
        (tmp_path / "printed").open("w") as printed,
        subprocess.Popen(
            [sys.executable, "-m", "nlcse_tune", *search], stdout=printed, stderr=printed, cwd=tmp_path
        ) as process,
    ):
        for _ in range(300):
            assert process.poll() is None, (tmp_path / "printed").read_text()
            if any(paths.folder.glob("checkpoints/*/last-*.pt")):
                break
            time.sleep(1)
        seen = json.loads(call("status", "demo", "--json").stdout)
        stopped = call("stop", "demo")
        status = process.wait(timeout=300)
    text = (tmp_path / "printed").read_text()
    assert seen["state"] == "at work"
    (run,) = [run for run in seen["under_way"] if run["progress"]]
    assert run["label"].startswith("demo 001 text.batch_size=")
    assert 0 < run["progress"]["step"] < run["progress"]["total"] == 400
    assert seen["call"]["runs"] == 2
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert f"stopped by `nlcse-tune stop` from {os.uname().nodename}; the same command goes on" in stopped.stdout
    assert status == 143, text
    assert f"stopped by `nlcse-tune stop` from {os.uname().nodename} with 0 runs on record" in words(text)
    assert "Traceback" not in text
    assert not paths.stop.exists()
    assert call("status", "demo").returncode == 3

    again = call(*search)
    assert again.returncode == 0, again.stderr
    assert "[2/2]" in again.stdout
    assert call("status", "demo").returncode == 0
    log = call("logs", run["run_id"])
    assert "continued from step " in log.stdout
    assert log.stdout.splitlines()[-1].startswith("on record as completed: dev ")
