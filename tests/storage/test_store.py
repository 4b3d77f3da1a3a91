"""The same calls against a real S3 server, and a file system that only fsspec knows."""

import threading
import time
from pathlib import Path

import pytest

from nlcse_tune.errors import ConfigError, StorageError
from nlcse_tune.storage import store as module
from nlcse_tune.storage.store import CHUNK, Store
from tests.s3_server import S3Server


@pytest.fixture(params=["s3", "local"])
def store(request: pytest.FixtureRequest, s3: S3Server, tmp_path: Path) -> Store:
    return Store(s3.address() if request.param == "s3" else f"local://{tmp_path}/store")


def test_what_is_written_is_read_listed_moved_and_deleted(store: Store, tmp_path: Path) -> None:
    assert store.list() == {}
    store.put(b"one", "a/one.json")
    store.put(b"three", "a/b/three.json")
    store.put(b"other", "other.json")
    assert {name: info.size for name, info in store.list().items()} == {
        "a/one.json": 3, "a/b/three.json": 5, "other.json": 5,
    }  # fmt: skip
    assert set(store.list("a")) == {"a/one.json", "a/b/three.json"}
    assert store.read("a/one.json") == b"one"
    assert store.read("a/none.json") is None
    assert store.info("a/none.json") is None
    assert abs((store.list()["other.json"].second or 0) - time.time()) < 600
    store.put(b"two", "a/one.json")
    assert store.read("a/one.json") == b"two"
    store.move("a/one.json", "c/moved.json")
    store.delete("other.json", "not-there.json")
    store.delete_below("a")
    store.delete_below("not-there")
    assert set(store.list()) == {"c/moved.json"}
    assert not store.get("a/one.json", tmp_path / "copy")


def test_a_large_file_goes_there_and_back_in_parts(store: Store, tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(range(256)) * (2 * CHUNK // 256) + b"end")
    store.put(large, "large.bin")
    assert store.list()["large.bin"].size == large.stat().st_size
    assert store.get("large.bin", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == large.read_bytes()


def test_a_bucket_that_is_not_there_is_no_empty_one(s3: S3Server) -> None:
    store = Store(s3.address().replace("s3://bucket", "s3://no-bucket"))
    for call in (store.list, lambda: store.put(b"x", "x")):
        with pytest.raises(StorageError, match=r"^s3://no-bucket.*there is no such bucket; make it, or check"):
            call()


def test_wrong_credentials_are_one_sentence_at_once(s3: S3Server) -> None:
    store, began = Store(s3.address()), time.monotonic()
    with s3.refusing():
        for call in (store.list, lambda: store.put(b"x", "x"), lambda: store.read("x")):
            with pytest.raises(StorageError, match=r"access is denied; check the credentials") as caught:
                call()
            assert "testing" not in str(caught.value)
    assert time.monotonic() - began < sum(module.PAUSES)  # it was not tried again


def test_a_store_that_is_away_for_seconds_is_waited_for(s3: S3Server) -> None:
    store = Store(s3.address())
    with s3.down():
        thread = threading.Thread(target=store.put, args=(b"late", "x"))
        thread.start()
        time.sleep(8)  # longer than pyarrow waits by itself
        assert thread.is_alive()
    thread.join()
    assert store.read("x") == b"late"


def test_one_that_stays_away_is_one_sentence(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.1,))
    store = Store(s3.address())
    with s3.down(), pytest.raises(StorageError) as caught:
        store.put(b"x", "x")
    said = str(caught.value)
    assert said.startswith(f"{store.address}: cannot be written: NETWORK_CONNECTION")
    assert said.endswith("see to the network and the store, the same command goes on")
    assert "\n" not in said


def test_what_no_library_here_knows_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--out nonsense://x/y: cannot be opened: .*give a folder, or an address"):
        Store("nonsense://x/y")


def test_where_files_are_moved_into_place_a_reader_never_meets_a_part(tmp_path: Path) -> None:
    store = Store(f"local://{tmp_path}/store")
    store.put(b"former", "x")

    class Broken(Exception):
        pass

    def write(source: Path | bytes, path: str) -> None:
        (tmp_path / "store" / path.rpartition("/")[2]).write_bytes(b"par")
        raise Broken

    store._write = write  # type: ignore[method-assign]
    with pytest.raises(Broken):
        store.put(b"partial", "x")
    assert store.read("x") == b"former"
