"""The folder of a Ray that this tool starts: for its user alone, and gone with its driver.

Ray's own default, one folder for all in the system's temporary one, lets every user in and is never emptied.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nlcse_tune.errors import RunError, StorageError
from nlcse_tune.files import locked, writing

import ray  # isort: skip # it brings psutil with it
import psutil  # type: ignore[import-untyped] # isort: skip

PREFIX = "nlcse-ray-"
# Ray opens the folder that it is given to everybody, so it is given one inside.
INNER = "r"
# Below that one Ray makes its sockets, and the path of a Unix socket has at most so many bytes.
SOCKET_BYTES = 103 if sys.platform == "darwin" else 107
BELOW = len(f"/{INNER}/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")
PATIENCE = 5.0  # seconds that a process gets to end by itself


@contextmanager
def session_folder() -> Iterator[Path]:
    """A folder for one Ray, deleted at the end with whatever of it still runs; dead drivers' folders go before."""
    base = _base()
    clear_dead(base)
    with writing(base):
        made = Path(tempfile.mkdtemp(prefix="nlcse-new-", dir=base))  # mode 0700
    with locked(made / "driver", "the folder of a Ray"):
        folder = made.rename(made.with_name(made.name.replace("nlcse-new-", PREFIX)))  # only now may others look at it
        try:
            yield folder / INNER
        finally:
            end([process for process in users(folder) if _is_of_ray(process)])  # not somebody who reads its log
            shutil.rmtree(folder, ignore_errors=True)
            clear_dead(base)


def clear_dead(base: Path) -> None:
    """Deletes the folders whose driver is dead, unless something of its Ray still lives: the next call finds those."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError, RunError, StorageError):
            if folder.lstat().st_uid == os.getuid() and (folder / "driver").is_file():
                with locked(folder / "driver", "the folder of a Ray"):
                    if not users(folder):
                        shutil.rmtree(folder, ignore_errors=True)


def users(folder: Path) -> list[Any]:
    """Living processes (`psutil.Process`) other than this one that were started with the folder or have a file in it.

    A worker that trains has renamed itself, and still writes its log there.
    """
    return [process for process in psutil.process_iter() if process.pid != os.getpid() and _uses(process, f"{folder}/")]


def _uses(process: Any, folder: str) -> bool:
    with suppress(psutil.Error, OSError):
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        if any(folder in word for word in process.cmdline()):
            return True
        return any(opened.path.startswith(folder) for opened in process.open_files())
    return False


def _is_of_ray(process: Any) -> bool:
    with suppress(psutil.Error):
        command = " ".join(process.cmdline())
        return command.startswith(("ray::", "ray-dashboard")) or f"{Path(ray.__file__).parent}/" in command
    return False


def end(processes: list[Any]) -> None:
    """Ends processes: asked first, killed where that does not help."""
    for how in ("terminate", "kill"):
        for process in processes:
            with suppress(psutil.Error):
                getattr(process, how)()
        processes = psutil.wait_procs(processes, timeout=PATIENCE)[1]


def _base() -> Path:
    """The first of the usual temporary folders whose name is short enough for Ray's sockets."""
    longest = SOCKET_BYTES - BELOW - len(f"/{PREFIX}12345678")
    names = [os.environ.get("RAY_TMPDIR"), tempfile.gettempdir(), "/tmp"]
    return Path(next(name for name in names if name and len(os.fsencode(name)) <= longest))
