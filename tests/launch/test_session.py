"""The private folder of a Ray of our own: who may read it, when it goes, and whose is left alone."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nlcse_tune import errors
from nlcse_tune.errors import end_in_order
from nlcse_tune.launch.session import PREFIX, SOCKET_BYTES, clear_dead, session_folder

SESSION = "session_2026-11-21_22-08-26_408278_4194304/sockets/plasma_store"


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder with a short name, as Ray's sockets need."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="e") as name:
        monkeypatch.setenv("RAY_TMPDIR", name)
        yield Path(name)


def dead_folder(base: Path, name: str) -> Path:
    """What a driver that was killed leaves: its folder, with a lock that nobody holds."""
    folder = base / f"{PREFIX}{name}"
    (folder / "r" / "session" / "logs").mkdir(parents=True)
    (folder / "driver").write_text("process 1 on there\n")
    return folder


def test_it_is_private_short_enough_and_gone_at_the_end(base: Path) -> None:
    with session_folder() as inside:
        assert inside.parent.parent == base
        assert stat.S_IMODE(inside.parent.stat().st_mode) == 0o700
        assert len(str(inside / SESSION)) <= SOCKET_BYTES
        inside.mkdir()
        (inside / "log").touch()
    assert not list(base.iterdir())


def test_a_temporary_folder_with_a_long_name_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / ("long" * 10)))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 10)))
    with session_folder() as inside:
        assert inside.parent.parent == Path("/tmp")


def test_folders_of_dead_drivers_go_and_nobody_elses(base: Path) -> None:
    dead, of_others = dead_folder(base, "dead"), base / "session_2026-11-21_22-08-26_408278_17"
    of_others.mkdir()
    living, written = dead_folder(base, "living"), dead_folder(base, "written")
    log = written / "r" / "session" / "logs" / "raylet.out"
    hold = f"stream = open({str(log)!r}, 'w'); print(flush=True); input()"
    with (living / "driver").open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            with session_folder():
                assert not dead.exists()
                assert living.exists()
                assert written.exists()
            assert writer.poll() is None  # whoever reads a log is no process of Ray, and is not ended
            writer.communicate(b"\n")
    clear_dead(base)
    assert sorted(base.iterdir()) == [of_others]


def test_what_still_runs_of_ray_in_it_is_ended(base: Path) -> None:
    with session_folder() as inside:
        inside.mkdir()
        code = f"stream = open({str(inside / 'log')!r}, 'w'); import time; print(flush=True); time.sleep(600)"
        worker = subprocess.Popen(["ray::train", "-c", code], executable=sys.executable, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        worker.stdout.readline()
    worker.wait(timeout=10)
    assert not inside.parent.exists()


def test_a_folder_of_another_user_is_left_alone(base: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    other = dead_folder(base, "other")
    os.chown(other, 12345, 12345)
    clear_dead(base)
    assert other.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_that_end_a_process_end_it_in_order(number: signal.Signals) -> None:
    former = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(number, signal.SIG_IGN)
        end_in_order()
        assert signal.getsignal(number) is signal.SIG_IGN  # as under nohup
        signal.signal(number, signal.SIG_DFL)
        end_in_order()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(1)
        assert errors.interrupted_status() == 128 + number
    finally:
        errors._interruptions.clear()
        for each, handler in former.items():
            signal.signal(each, handler)
