"""Searches and seeds whose folder is in a store, by Ray nodes that share no folder with each other or the driver."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from nlcse_tune import storage
from nlcse_tune.launch.cluster import OWN_ENVIRONMENT
from nlcse_tune.launch.session import end
from nlcse_tune.launch.spec import Launch
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import ledger, read_openings
from nlcse_tune.search.search import search
from nlcse_tune.search.state import SearchOptions, load_state
from nlcse_tune.seeds import planned_arms, run_seeds
from nlcse_tune.storage.store import Store
from nlcse_tune.study import Study
from tests.conftest import TINY
from tests.launch.test_cluster import free_address, wait_for_head
from tests.launch.test_store_runs import same
from tests.s3_server import S3Server

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def records(out: Path) -> dict[str, RunRecord]:
    return {path.stem: RunRecord.model_validate_json(path.read_bytes()) for path in out.glob("*/records/*.json")}


def equal(one: dict[str, RunRecord], other: dict[str, RunRecord]) -> bool:
    assert one.keys() == other.keys()
    for name in one:
        assert same(one[name], other[name]), f"{one[name].model_dump_json()}\n{other[name].model_dump_json()}"
    return True


def other_machine(address: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NLCSE_CACHE", str(cache))
    out = storage.folder_of(address)
    storage.refresh(out)
    return out


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.long)])
@pytest.mark.timeout(1800)
@pytest.mark.usefixtures("ray_session")
def test_a_search_and_seeds_leave_in_a_store_what_they_leave_in_a_folder(
    workers: int, tiny_study: Study, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, options, launch = s3.address(), SearchOptions(trials=2, scheduler="none", keep=1), Launch(workers)
    made = []
    for out in (tmp_path / "plain", storage.folder_of(address)):
        paths = StudyPaths(out, tiny_study.name)
        search(tiny_study, paths, options, launch)
        run_seeds(planned_arms(tiny_study, paths, TINY)[:1], (1,), launch)
        made.append(records(out))
    assert equal(*made)
    third = other_machine(address, tmp_path / "third", monkeypatch)
    assert equal(records(third), made[0])
    paths, plain = StudyPaths(third, tiny_study.name), StudyPaths(tmp_path / "plain", tiny_study.name)
    links = {best.with_name("best.link") for best in plain.folder.glob("checkpoints/*/best")}
    files = {path for path in plain.folder.rglob("*") if path.is_file()} | links
    here = {path.relative_to(plain.root).as_posix() for path in files}
    there = set(Store(address).list(tiny_study.name))
    assert {name for name in here ^ there if "test-openings" not in name} == set()  # each call names its own
    assert [len(opening.runs) for opening in read_openings(paths)[0]] == [1]
    again = load_state(tiny_study, paths, 2)
    assert len(again.done) == 2


@contextmanager
def ray_node(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A Ray node with a cache and a working folder of its own, ended with all its processes."""
    for name in ("cache", "work"):
        (folder / name).mkdir(parents=True)
    # This process has the environment of a Ray of its own, which lets no other machine in.
    own = {name: value for name, value in os.environ.items() if name not in OWN_ENVIRONMENT}
    environment = {**own, "NLCSE_CACHE": str(folder / "cache"), "RAY_AUTH_MODE": "disabled"}
    call = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", *arguments]
    with (folder / "log").open("wb") as log:
        node = subprocess.Popen(call, cwd=folder / "work", env=environment, stdout=log, stderr=log)
    try:
        while "Ray runtime started" not in (said := (folder / "log").read_text()):
            assert node.poll() is None, said
            time.sleep(0.2)
        yield node
    finally:
        family = [psutil.Process(node.pid), *psutil.Process(node.pid).children(recursive=True)]
        end(family)
        node.wait()


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of three nodes of one CPU each, with nothing in common."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    address = free_address()
    host, port = address.split(":")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e") as folder, ExitStack() as stack:
        head = ("--head", f"--port={port}", f"--temp-dir={folder}", "--include-dashboard=false")
        node = stack.enter_context(ray_node(tmp_path / "head", f"--node-ip-address={host}", *head))
        wait_for_head(address, node)
        for name in ("second", "third"):
            stack.enter_context(ray_node(tmp_path / name, f"--address={address}"))
        yield address


def command(*words: str, cache: Path) -> "subprocess.Popen[str]":
    call = [sys.executable, "-m", "nlcse_tune", *words]
    cache.mkdir(exist_ok=True)
    environment = {**os.environ, "NLCSE_CACHE": str(cache)}
    return subprocess.Popen(
        call, cwd=cache, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_three_nodes_without_a_common_folder(
    cluster: str, tiny_study: Study, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver is killed in mid-search, and goes on from an empty cache; a third one reads."""
    values = {**TINY, "train.max_steps": 40, "train.eval_every": 10, "train.checkpoint_every": 10}
    sets = [word for name, value in values.items() for word in ("--set", f"{name}={value}")]
    address, store = s3.address(), None
    words = ("search", "demo", *sets, "--trials", "4", "--scheduler", "none", "--out", address, "--address", cluster)
    with command(*words, cache=tmp_path / "driver") as driver:
        store = Store(address)
        while not any("/records/" in name for name in store.list("demo")):
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.5)
        driver.send_signal(signal.SIGKILL)
    time.sleep(1)
    with command(*words, cache=tmp_path / "again") as driver:
        said = driver.communicate()[0]
    print(said)
    assert driver.returncode == 0
    assert f"checkpoint: {address.partition('?')[0]}/demo/checkpoints/" in said
    assert said.count(str(tmp_path)) == 1  # the journal: optuna-dashboard reads no store
    words = ("seeds", "demo", *sets, "--n", "2", "--out", address, "--address", cluster)
    with command(*words, cache=tmp_path / "again") as driver:
        said = driver.communicate()[0]
    print(said)
    assert driver.returncode == 0
    assert all(list((tmp_path / name).glob("cache/stores/*/demo")) for name in ("head", "second", "third"))
    third = tmp_path / "reader"
    for words in (("report", "demo"), ("search", "demo", *sets, "--trials", "4", "--show")):
        with command(*words, "--out", address, cache=third) as reader:
            said = reader.communicate()[0]
        print(said)
        assert reader.returncode == 0
    out = other_machine(address, tmp_path / "fourth", monkeypatch)
    assert len(list(out.glob("*/tests/*.json"))) == len(list(out.glob("*/tests/*.npz"))) == 4
    assert len(records(out)) == 8
    assert not ledger(StudyPaths(out, "demo")).left_out
    plain = tmp_path / "plain"
    for words in (
        ("search", "demo", *sets, "--trials", "4", "--scheduler", "none"),
        ("seeds", "demo", *sets, "--n", "2"),
    ):
        with command(*words, "--out", str(plain), cache=tmp_path / "again") as driver:
            said = driver.communicate()[0]
        assert driver.returncode == 0, said
    assert equal(records(out), records(plain))
