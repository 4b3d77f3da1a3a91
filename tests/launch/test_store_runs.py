"""One run whose folder is in a store: killed as it writes there, and taken up by a machine that has nothing of it."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from nlcse_tune import storage
from nlcse_tune.errors import StorageError
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.launch.single import train_one
from nlcse_tune.paths import StudyPaths, find_model
from nlcse_tune.records import RunRecord
from nlcse_tune.storage import store as module
from nlcse_tune.storage.store import Store
from nlcse_tune.study import Study
from tests.conftest import TINY
from tests.s3_server import S3Server

STEPS = {"train.max_steps": 6, "train.eval_every": 2, "train.checkpoint_every": 2}
# Killed when a file whose name matches is to be written for the so manieth time: before, or in the midst of it.
KILLED = """
import os, re, signal, sys
from nlcse_tune import storage
from nlcse_tune.launch.single import train_one
from nlcse_tune.paths import StudyPaths
from nlcse_tune.storage import store
from nlcse_tune.study import find_study
address, pattern, how, times, values = sys.argv[1:]
write, seen = store.Store._write, []

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def cut(source):
    yield bytes(11 * 2**20)  # a whole part of a multi-part upload is there by now
    kill()

def write_or_die(self, source, path):
    seen.extend(re.findall(pattern, path))
    if len(seen) == int(times):
        store._chunks = cut if how == "midst" else kill()
    write(self, source, path)

store.Store._write = write_or_die
study = find_study("demo").with_overrides(eval(values))
train_one(study, StudyPaths(storage.folder_of(address), "demo"), 1)
"""


def study_of(values: dict[str, Any]) -> Study:
    from nlcse_tune.study import find_study

    return find_study("demo").with_overrides({**TINY, **values})


def same(one: RunRecord, other: RunRecord) -> bool:
    """Whether two records are the same but for times, and for what happened to the process."""
    own = {"timings", "started", "finished", "events"}
    return one.model_dump(exclude=own) == other.model_dump(exclude=own)


@pytest.fixture
def undisturbed(tmp_path: Path) -> RunRecord:
    return train_one(study_of(STEPS), StudyPaths(tmp_path / "plain", "demo"), 1)


@pytest.mark.parametrize(
    ("pattern", "how", "times", "goes_on"),
    [
        ("/last-", "before", 2, "continued from step 2"),  # a better model is there, and not the point that needs it
        ("/last-", "midst", 2, "continued from step 2"),
        ("model.safetensors", "midst", 2, "continued from step 2"),
        ("/records/", "before", 1, "continued from step 4"),  # all is there but the record
    ],
)
def test_a_run_killed_as_it_writes_goes_on_elsewhere_to_the_same_record(
    pattern: str, how: str, times: int, goes_on: str, s3: S3Server, undisturbed: RunRecord,
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    address, values = s3.address(), {**TINY, **STEPS}
    call = [sys.executable, "-c", KILLED, address, pattern, how, str(times), repr(values)]
    killed = subprocess.run(call, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "other"))
    paths = StudyPaths(storage.folder_of(address), "demo")
    record = train_one(study_of(STEPS), paths, 1)
    assert record.events == (goes_on,)  # and no restart point had to be discarded
    assert same(record, undisturbed)
    left = [name for name in Store(address).list() if "checkpoints" in name]
    assert {Path(name).parent.name for name in left} == {record.run_id, f"best-{record.best_step:06d}"}
    assert not [name for name in left if "last-" in name]


def test_a_model_of_the_store_is_found_checked_and_loaded(
    s3: S3Server, undisturbed: RunRecord, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    address = s3.address()
    record = train_one(study_of(STEPS), StudyPaths(storage.folder_of(address), "demo"), 1)
    assert same(record, undisturbed)
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "third"))
    out = storage.folder_of(address)
    storage.refresh(out)
    model = find_model(record.run_id[:8], out)
    assert model is not None
    assert not (model / "model.safetensors").exists()
    load_model(record.run_id[:8], out=out)
    assert (model / "model.safetensors").is_file()


def test_a_store_that_goes_away_for_seconds_costs_nothing(s3: S3Server, undisturbed: RunRecord) -> None:
    address = s3.address()
    paths = StudyPaths(storage.folder_of(address), "demo")
    store, ended = Store(address), threading.Event()

    def outage() -> None:
        while not any("last-" in name for name in store.list()):
            if ended.wait(0.02):
                return
        with s3.down(8):
            pass

    thread = threading.Thread(target=outage)
    thread.start()
    try:
        assert same(train_one(study_of(STEPS), paths, 1), undisturbed)
    finally:
        ended.set()
        thread.join()


def test_one_that_stays_away_ends_the_run_in_one_sentence_and_it_goes_on(
    s3: S3Server, undisturbed: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = s3.address()
    paths, write = StudyPaths(storage.folder_of(address), "demo"), Store._write
    calls: list[str] = []

    def fail(self: Store, source: Path | bytes, path: str) -> None:
        calls.extend([path] if "last-" in path else [])
        if len(calls) > 1:
            raise OSError("AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 7, gone")
        write(self, source, path)

    with monkeypatch.context() as broken:
        broken.setattr(module, "PAUSES", ())
        broken.setattr(Store, "_write", fail)
        said = r"^s3://.*: cannot be written: NETWORK_CONNECTION: .*same command goes on$"
        with pytest.raises(StorageError, match=said):
            train_one(study_of(STEPS), paths, 1)
    record = train_one(study_of(STEPS), paths, 1)
    assert "continued from step 2" in record.events
    assert same(record, undisturbed)
