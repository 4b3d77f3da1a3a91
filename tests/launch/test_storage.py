"""A full disk, a read-only folder, a folder that vanishes: one clear error, and what was there stays as it was."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlcse_tune.errors import StorageError
from nlcse_tune.launch.spec import Launch
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.search.search import search
from nlcse_tune.search.state import Candidate, SearchOptions, View
from nlcse_tune.study import Study

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_session")]
ONE = Launch(concurrent=1)  # where no second run at a time is needed: each is a process that first imports torch


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no right to mount a file system here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def refused(study: Study, paths: StudyPaths) -> str:
    """The error of a further search; the records of the earlier one stay as they were."""
    records = {path: path.read_bytes() for path in paths.records.glob("*.json")}
    assert records
    with pytest.raises(StorageError) as caught:
        search(study, paths, SearchOptions(trials=6, scheduler="none"), ONE)
    assert {path: path.read_bytes() for path in records} == records
    return str(caught.value)


def test_a_full_disk_ends_the_search_and_keeps_what_was_found(tiny_study: Study, small_disk: Path) -> None:
    paths = StudyPaths(small_disk, tiny_study.name)
    search(tiny_study, paths, SearchOptions(trials=1, scheduler="none"), ONE)
    (small_disk / "ballast").write_bytes(b"x" * shutil.disk_usage(small_disk).free)
    assert "free space" in refused(tiny_study, paths)
    (small_disk / "ballast").unlink()
    again = search(tiny_study, paths, SearchOptions(trials=2, scheduler="none"), ONE)
    assert len(again.candidates) == 2


def test_a_disk_that_fills_up_during_a_run_makes_no_failed_record(tiny_study: Study, small_disk: Path) -> None:
    paths = StudyPaths(small_disk, tiny_study.name)

    class Filling(View):
        def finished(self, candidate: Candidate, done: int, trials: int) -> None:
            free = shutil.disk_usage(small_disk).free
            (small_disk / "ballast").write_bytes(b"x" * max(0, free - 40_000))  # less than a model, more than a record

    with pytest.raises(StorageError, match=r"cannot be written: .*No space left on device.*; free space"):
        search(tiny_study, paths, SearchOptions(trials=6, scheduler="none", keep=6), view=Filling())
    assert {record.status for record in ledger(paths).runs} == {"completed"}


def test_a_read_only_folder_is_refused(tiny_study: Study, small_disk: Path) -> None:
    paths = StudyPaths(small_disk, tiny_study.name)
    search(tiny_study, paths, SearchOptions(trials=1, scheduler="none"), ONE)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "Read-only file system; free space or choose another --out" in refused(tiny_study, paths)


def test_a_folder_that_vanishes_ends_the_search_with_its_name(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path / "gone", tiny_study.name)
    study = tiny_study.with_overrides({"train.max_steps": 400, "train.eval_every": 2})
    ended = threading.Event()

    def vanish() -> None:
        while not list(paths.folder.glob("checkpoints/*/best")):
            if ended.wait(0.05):
                return
        shutil.move(paths.folder, tmp_path / "elsewhere")
        paths.folder.touch()  # nothing can be made there again

    thread = threading.Thread(target=vanish)
    thread.start()
    try:
        with pytest.raises(StorageError, match=r"gone/.*cannot be written"):
            search(study, paths, SearchOptions(trials=2, scheduler="none"), ONE)
    finally:
        ended.set()
        thread.join()
    assert list((tmp_path / "elsewhere").glob("checkpoints/*/best"))
