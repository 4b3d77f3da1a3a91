"""One at a time on a store, between processes that share nothing else."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nlcse_tune import storage
from nlcse_tune.errors import RunError, StorageError
from nlcse_tune.files import locked
from nlcse_tune.storage import claim as module
from nlcse_tune.storage.claim import Claim
from nlcse_tune.storage.store import Store
from tests.s3_server import S3Server
from tests.storage.conftest import Machine

HOLD = """
import sys, time
from nlcse_tune import storage
from nlcse_tune.files import locked
with locked(storage.folder_of(sys.argv[1]) / ".demo.lock", "demo"):
    print("held", flush=True)
    input()
"""


@pytest.fixture
def store(s3: S3Server) -> Store:
    return Store(s3.address())


def claim(store: Store, *, shared: bool = False) -> Claim:
    return Claim(store, ".demo.lock", "demo", shared=shared)


def test_a_second_one_is_refused_with_the_name_of_the_first(store: Store) -> None:
    with claim(store).held():
        with pytest.raises(RunError, match=r"^demo is in use by process \d+ on .+ \(nlcse-tune.*\); wait for it"):
            claim(store).held().__enter__()
        assert len(store.list()) == 1  # who is refused leaves nothing
    assert store.list() == {}
    with claim(store).held():
        pass


def test_shared_ones_let_each_other_in_and_no_other(store: Store) -> None:
    one, other = claim(store, shared=True), claim(store, shared=True)
    with one.held(), other.held(), pytest.raises(RunError, match="in use"):
        claim(store).held().__enter__()
    with claim(store).held(), pytest.raises(RunError, match="in use"):
        claim(store, shared=True).held().__enter__()


def test_a_killed_process_of_this_machine_holds_nothing(s3: S3Server, tmp_path: Path, machine: Machine) -> None:
    address = s3.address()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        machine("other")  # else this machine's own lock refuses
        lock = storage.folder_of(address) / ".demo.lock"
        with pytest.raises(RunError, match=f"in use by process {holder.pid} on"), locked(lock, "demo"):
            pass
        holder.kill()
        holder.wait()
        began = time.monotonic()
        with locked(lock, "demo"):
            assert len([name for name in Store(address).list() if name.startswith(".demo.lock/")]) == 1
    assert time.monotonic() - began < module.STALE


def test_one_of_another_machine_counts_until_it_is_stale(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    text = {"host": "far", "process": 1, "command": "nlcse-tune search demo", "shared": False, "boot": "x"}
    store.put(json.dumps(text).encode(), ".demo.lock/far.json")
    with pytest.raises(RunError, match="in use by process 1 on far"):
        claim(store).held().__enter__()
    monkeypatch.setattr(module, "STALE", 0.5)
    time.sleep(2.5)  # times of a store are whole seconds
    with claim(store).held():
        assert ".demo.lock/far.json" not in store.list()


def test_a_holder_renews_and_one_that_cannot_ends_by_itself(
    s3: S3Server, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEWED", 0.1)
    one = claim(store)
    with one.held():
        first = one.renewed
        while one.renewed == first:
            time.sleep(0.05)
        one.check()
        monkeypatch.setattr(module, "LOST", 1.0)
        with s3.down():
            deadline = time.monotonic() + 60
            while module._clock() - one.renewed < 1.5 and time.monotonic() < deadline:
                time.sleep(0.05)
        with pytest.raises(StorageError, match=r"not reached for \d+ s, so that the hold on demo may be lost"):
            one.check()
        time.sleep(1)
        with pytest.raises(StorageError, match="may be lost"):  # for good, though the store is back
            one.check()
