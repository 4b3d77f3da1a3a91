"""What one machine writes below its mirror another finds in its own, and what neither may destroy."""

import os
import time
from pathlib import Path

import pytest

from nlcse_tune import files, storage
from nlcse_tune.errors import ConfigError, StorageError
from nlcse_tune.files import fetch, fetch_folder, gone, keeper_of, moved, named, stored, write_text
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Opening
from nlcse_tune.records.ledger import log_opening, read_openings
from nlcse_tune.storage.mirror import Mirror
from tests.s3_server import S3Server
from tests.storage.conftest import Machine, refreshed


@pytest.fixture(params=["s3", "local"])
def address(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> str:
    return s3.address() if request.param == "s3" else f"local://{tmp_path}/store"


def mirror(folder: Path) -> Mirror:
    keeper = keeper_of(folder)
    assert isinstance(keeper, Mirror)
    return keeper


def test_what_is_written_here_is_found_there(address: str, machine: Machine) -> None:
    machine("cache")
    here = refreshed(address)
    write_text(here / "demo/records/a.json", "one")
    write_text(here / "demo/search.json", "two")
    (here / "demo/optuna.journal").write_text("three")
    stored(here / "demo/optuna.journal")
    machine("other")
    there = refreshed(address)
    assert there != here
    assert sorted(p.name for p in there.rglob("*.*") if p.is_file()) == [
        ".address", "a.json", "optuna.journal", "search.json"
    ]  # fmt: skip
    assert (there / "demo/records/a.json").read_text() == "one"
    write_text(there / "demo/records/a.json", "new")  # as long, and within the same second
    (there / "demo/search.json").unlink()
    gone(there / "demo/search.json")
    machine("cache")
    assert refreshed(address) == here
    assert (here / "demo/records/a.json").read_text() == "new"
    assert not (here / "demo/search.json").exists()


def test_unfinished_files_locks_and_what_ray_and_wandb_keep_stay_here(address: str) -> None:
    here = refreshed(address)
    for name in (".demo.lock", "demo/ray/tuner.pkl", "demo/wandb/a/b.wandb", "demo/checkpoints/x/lock", "demo/.new"):
        write_text(here / name, "x")
    assert mirror(here).store.list() == {}


def test_what_comes_into_the_store_while_it_is_asked_is_not_taken_for_deleted(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `status --watch` beside a run would otherwise delete its models here, and the run's next upload there."""
    here = refreshed(address)
    store = mirror(here).store
    asked = store.list

    def list_then_another_writes(below: str = "") -> object:
        there = asked(below)
        write_text(here / "demo/records/a.json", "a run's, just now")
        return there

    monkeypatch.setattr(store, "list", list_then_another_writes)
    mirror(here).refresh()
    assert (here / "demo/records/a.json").read_text() == "a run's, just now"


def test_a_file_that_never_came_into_the_store_does_not_count_for_who_alone_works_on_it(address: str) -> None:
    here = refreshed(address)
    record = here / "demo/records/a.json"
    record.parent.mkdir(parents=True)
    record.write_text("its upload failed")
    fetch(record)
    assert record.exists()
    fetch(record, mine=True)
    assert not record.exists()


def test_an_opening_is_written_once_whatever_the_machine(address: str, machine: Machine) -> None:
    opening = Opening.by_this_command("seeds")
    log_opening(StudyPaths(refreshed(address), "demo"), opening.model_copy(), "a-s1")
    (first,), _ = read_openings(StudyPaths(refreshed(address), "demo"))
    machine("other")
    there = StudyPaths(storage.folder_of(address), "demo")
    time.sleep(1.1)  # times are of seconds
    log_opening(there, opening, "a-s1")
    (again,), _ = read_openings(there)
    assert again.time == first.time


def test_what_others_of_this_machine_just_wrote_is_left_alone(address: str) -> None:
    """A report must neither delete nor overwrite what a run is about to put into the store."""
    here = refreshed(address)
    write_text(here / "demo/records/a.json", "stored")
    (here / "demo/records/a.json").write_text("newer")
    (here / "demo/records/b.json").write_text("new")
    refreshed(address)
    fetch(here / "demo/records/a.json", here / "demo/records/b.json")
    assert (here / "demo/records/a.json").read_text() == "newer"
    assert (here / "demo/records/b.json").read_text() == "new"
    mirror(here).refresh(here / "demo", mine=True)  # who holds the study knows that a killed command left them
    assert (here / "demo/records/a.json").read_text() == "stored"
    assert not (here / "demo/records/b.json").exists()


def write_run(folder: Path, step: int) -> None:
    model = folder / f"best-{step:06d}"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_text(f"weights {step}")
    (model / "nlcse_pooling.json").write_text("{}")
    (folder / "best").unlink(missing_ok=True)
    (folder / "best").symlink_to(model.name)
    (folder / f"last-{step:06d}-abc.pt").write_text(f"point {step}")


def test_models_come_when_they_are_needed_and_go_when_they_are_replaced(address: str, machine: Machine) -> None:
    run = StudyPaths(refreshed(address), "demo").run("0123456789ab-s1")
    write_text(run.begun, "{}")
    write_run(run.folder, 2)
    mirror(run.folder).push(run.folder)
    machine("other")
    other = StudyPaths(refreshed(address), "demo").run(run.run_id)
    assert other.best.readlink() == Path("best-000002")
    assert (other.best / "nlcse_pooling.json").is_file()
    assert not (other.best / "model.safetensors").exists()
    fetch_folder(other.folder, mine=True)
    assert (other.best / "model.safetensors").read_text() == "weights 2"
    assert [path.name for path in other.folder.glob("last-*")] == ["last-000002-abc.pt"]
    write_run(other.folder, 4)
    (other.folder / "best-000002/model.safetensors").unlink()
    (other.folder / "best-000002/nlcse_pooling.json").unlink()
    mirror(other.folder).push(other.folder)
    names = {name.removeprefix("demo/checkpoints/0123456789ab-s1/") for name in mirror(other.folder).store.list()}
    assert names == {
        "run.json", "best.link", "best-000004/model.safetensors", "best-000004/nlcse_pooling.json",
        "last-000002-abc.pt", "last-000004-abc.pt",
    }  # fmt: skip
    mirror(other.folder).release(other.folder)
    assert not list(other.folder.glob("last-*"))
    (machine("cache"), fetch_folder(run.folder, mine=True))
    assert (run.best / "model.safetensors").read_text() == "weights 4"
    assert not (run.folder / "best-000002/model.safetensors").exists()


def test_what_is_cleared_or_set_aside_is_so_in_the_store(address: str, machine: Machine) -> None:
    paths = StudyPaths(refreshed(address), "demo")
    for name in ("0123456789ab-s1", "0123456789ab-s2"):
        write_run(paths.run(name).folder, 2)
        mirror(paths.folder).push(paths.run(name).folder)
    gone(paths.run("0123456789ab-s1").folder, whole_folder=True)
    refreshed(address)
    assert [run.run_id for run in paths.checkpoints()] == ["0123456789ab-s2"]  # an empty folder would be a run
    aside = paths.set_aside()
    assert aside is not None
    moved(paths.folder, aside)
    names = mirror(paths.root).store.list()
    assert len(names) == 4
    assert all(name.startswith(f".former/{aside.name}/checkpoints/0123456789ab-s2/") for name in names)
    machine("other")
    assert not list(refreshed(address).glob("[!.]*"))


def test_what_changes_all_the_time_is_sent_now_and_then_and_never_raises(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = refreshed(s3.address())
    path, keeper = here / "demo/checkpoints/x/progress.json", mirror(here)
    for number in range(5):
        write_text(path, str(number), durable=False)
        keeper._wait()
    assert keeper.store.read("demo/checkpoints/x/progress.json") == b"0"
    monkeypatch.setattr(files, "UNWATCHED", 0.0)
    with s3.down():
        write_text(path, "5", durable=False)
        keeper._wait()
    write_text(path, "6", durable=False)
    path.unlink()
    gone(path)  # not before what is on its way has come
    assert keeper.store.list() == {}


def test_messages_have_the_address(s3: S3Server) -> None:
    address = s3.address()
    here, plain = storage.folder_of(address), address.partition("?")[0]
    assert named(f"record: {here}/demo/records/a.json") == f"record: {plain}/demo/records/a.json"
    assert named(f"nothing under {here}") == f"nothing under {address}"
    assert storage.here(f"{plain}/demo/best.yaml") == str(here / "demo/best.yaml")
    assert storage.here("demo") == "demo"
    with pytest.raises(ConfigError, match="lies in no store that this command was told of; add --out"):
        storage.here("s3://elsewhere/demo/best.yaml")
    assert here.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("address", ["s3://key:hush@bucket/runs", "abfs://c@x/runs?account_key=hush"])
def test_an_address_with_a_secret_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(ConfigError, match="holds a secret") as caught:
        storage.folder_of(address)
    assert "hush" not in str(caught.value)


def test_a_plain_folder_has_no_keeper_and_no_store(tmp_path: Path) -> None:
    assert storage.folder_of("runs") == Path("runs")
    assert storage.folder_of(f"file://{tmp_path}") == tmp_path
    assert storage.address_of(tmp_path) is None
    assert keeper_of(Path("runs/demo")) is None


def test_a_full_cache_is_not_a_full_store(s3: S3Server) -> None:
    here = storage.folder_of(s3.address())
    (here / "demo").write_text("in the way")
    with pytest.raises(StorageError, match=r"stores: cannot be written: .*another NLCSE_CACHE") as caught:
        write_text(here / "demo/records/a.json", "x")
    assert "s3://" not in named(str(caught.value))


def test_a_probe_says_what_cannot_be_done(s3: S3Server) -> None:
    address = s3.address()
    storage.probe(address)
    assert mirror(storage.folder_of(address)).store.list() == {}
    with s3.refusing(), pytest.raises(StorageError, match="access is denied; check the credentials"):
        storage.probe(address)


def test_a_file_of_the_store_keeps_its_time(address: str, machine: Machine) -> None:
    write_text(refreshed(address) / "demo/search.json", "x")
    machine("other")
    assert abs(os.stat(refreshed(address) / "demo/search.json").st_mtime - time.time()) < 600
