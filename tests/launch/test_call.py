"""A command that works on a folder says so there, and a request there ends it, and no other."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlcse_tune import errors
from nlcse_tune.errors import RunError
from nlcse_tune.launch import call as call_module
from nlcse_tune.launch.call import ASK, Calling
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.progress import Call, StopRequest
from nlcse_tune.records.status import ask_to_stop, study_status


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(call_module, "LOOK", 0.05)
    former = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP, ASK)}
    yield
    errors._interruptions.clear()
    for each, handler in former.items():
        signal.signal(each, handler)


@pytest.fixture
def folders(tmp_path: Path) -> list[StudyPaths]:
    return [StudyPaths(tmp_path, "method"), StudyPaths(tmp_path, "baseline")]


def written(paths: StudyPaths) -> Call:
    call = Call.read(paths.call)
    assert call is not None
    return call


def test_each_folder_says_what_works_on_it_and_how_it_ended(folders: list[StudyPaths]) -> None:
    with Calling(folders, "seeds") as calling:
        calling.expected([3, 2], 2)
        for paths in folders:
            assert (written(paths).kind, written(paths).process, written(paths).runs) == ("seeds", os.getpid(), 5)
            assert study_status(paths).state == "at work"
    for paths in folders:
        assert written(paths).whole
        assert study_status(paths).state == "ended"
        assert not study_status(paths).lacks
    with pytest.raises(RunError), Calling(folders, "seeds"):
        raise RunError("no loss\nany more")
    assert written(folders[0]).outcome == "RunError: no loss any more"
    assert study_status(folders[0]).lacks


def test_a_request_ends_a_command_in_order(folders: list[StudyPaths]) -> None:
    method, baseline = folders
    with pytest.raises(KeyboardInterrupt), Calling(folders, "seeds"):
        ask_to_stop(baseline, written(baseline))  # whichever of its folders it is asked in
        time.sleep(60)  # interrupted
    assert written(method).outcome == f"stopped by `nlcse-tune stop` from {os.uname().nodename}"
    assert errors.interrupted_status() == 128 + signal.SIGTERM
    assert not baseline.stop.exists()
    assert study_status(method).lacks


def test_a_request_to_an_earlier_command_stops_no_later_one(folders: list[StudyPaths]) -> None:
    method = folders[0]
    with Calling([method], "search"):
        earlier = written(method)
    looks: list[None] = []
    with Calling([method], "search", lambda: looks.append(None)) as calling:
        calling.call = calling.call.model_copy(update={"began": "2026-11-22T00:00:00+00:00"})  # not in the same second
        ask_to_stop(method, earlier)
        while len(looks) < 5:
            time.sleep(0.05)
    assert calling.outcome == "finished"
    assert StopRequest.read(method.stop) is not None


def test_of_two_trainings_in_a_folder_the_newest_is_told_of(folders: list[StudyPaths]) -> None:
    method = folders[0]
    with Calling([method], "train") as first:
        first.call = first.call.model_copy(update={"began": "2026-11-22T00:00:00+00:00"})
        first.say()
        with Calling([method], "train") as second:
            first.say(done=1)
            assert written(method).is_same(second.call)
        first.say(done=1)
    assert written(method).is_same(second.call)
    assert written(method).ended


def test_a_killed_command_is_gone_and_its_word_stays(folders: list[StudyPaths]) -> None:
    code = (
        "import sys, time; from pathlib import Path; from nlcse_tune.launch.call import Calling\n"
        "from nlcse_tune.paths import StudyPaths\n"
        "with Calling([StudyPaths(Path(sys.argv[1]), 'method')], 'search'): print('up', flush=True); time.sleep(600)"
    )
    method = folders[0]
    command = [sys.executable, "-c", code, str(method.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        assert study_status(method).state == "at work"
        process.kill()
    seen = study_status(method)
    assert (seen.state, seen.lacks) == ("gone", True)
    assert written(method).ended is None


def test_outside_the_main_thread_nothing_is_interrupted(folders: list[StudyPaths]) -> None:
    outcomes: list[str] = []

    def work() -> None:
        looks: list[None] = []
        with Calling(folders, "train", lambda: looks.append(None)) as calling:
            ask_to_stop(folders[0], calling.call)
            while len(looks) < 5:
                time.sleep(0.05)
        outcomes.append(calling.outcome)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert outcomes == ["finished"]
