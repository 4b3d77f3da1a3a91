"""How a study stands, from its folder alone: what works on it, how far each run is, and how old each word of it is.

For whoever looks from another terminal or machine; nothing is decided by it.
"""

import fcntl
import os
import re
import socket
from collections import Counter
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Literal

from nlcse_tune.config import Frozen
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import BegunRun, RunRecord, now
from nlcse_tune.records.ledger import ledger
from nlcse_tune.records.progress import Call, Numbers, RunProgress, StopRequest

SILENT = 60.0  # seconds without a word from which on that is said; commands write every 10, runs every 2
State = Literal["at work", "ended", "gone", "silent", "unknown"]


class RunStatus(Frozen):
    """A run that began and has no record yet."""

    run_id: str
    label: str
    progress: RunProgress | None = None  # None before its first step
    heard: float | None = None  # seconds since `progress` was written


class StudyStatus(Frozen):
    """A study's folder, read at `time`. `state` is that of the command that works, or worked last, on it."""

    study: str
    folder: Path
    time: str
    state: State
    call: Call | None = None
    heard: float | None = None  # seconds since the command last wrote
    under_way: tuple[RunStatus, ...] = ()
    on_record: dict[str, int] = {}  # runs by how they ended
    best_dev: float | None = None
    best_run: str | None = None

    @property
    def lacks(self) -> bool:
        """Whether the command ended otherwise than at its own end, so that it should be given again."""
        ended = self.state == "ended" and self.call is not None and not self.call.whole
        return ended or self.state in ("gone", "silent")


def study_status(paths: StudyPaths) -> StudyStatus:
    """How the study in this folder stands; ConfigError where nothing is."""
    if not paths.folder.is_dir():
        raise ConfigError(f"{paths.folder}: no such folder; `nlcse-tune status` lists the studies under {paths.root}")
    call = None
    with suppress(DataError):
        call = Call.read(paths.call)
    runs = {record.run_id: record for record in ledger(paths).runs}
    finished = [r for r in runs.values() if r.status == "completed" and r.best_dev is not None]
    best = max(finished, key=lambda record: record.best_dev or 0.0, default=None)
    under_way = (_under_way(run, runs.get(run.run_id)) for run in paths.checkpoints())
    return StudyStatus(
        study=paths.study, folder=paths.folder, time=now(), state=_state(paths, call), call=call,
        heard=_age(call.heard) if call else None,
        under_way=tuple(sorted(filter(None, under_way), key=lambda run: run.label)),
        on_record=dict(Counter(record.status for record in runs.values())),
        best_dev=best.best_dev if best else None, best_run=best.run_id if best else None,
    )  # fmt: skip


def studies_under(root: Path) -> list[StudyPaths]:
    """The folders under `root` on which a command worked, or that have records."""
    names = sorted(folder.name for folder in root.glob("*") if not folder.name.startswith("."))
    return [paths for name in names if (paths := StudyPaths(root, name)).call.is_file() or paths.records.is_dir()]


def ask_to_stop(paths: StudyPaths, call: Call) -> None:
    """Leaves the request that this one command end in order."""
    asked = StopRequest(host=call.host, process=call.process, began=call.began, by=socket.gethostname(), time=now())
    asked.write(paths.stop)


def find_log(name: str, root: Path) -> RunPaths:
    """The run that `name` means: its id, the start of one, or STUDY/NUMBER; ConfigError unless it means one log.

    NUMBER is that of its label: runs of one configuration with several seeds share it.
    """
    study, _, number = name.partition("/")
    pattern = f"*/logs/{name}*.log"
    if number.isdecimal():
        numbers = Numbers.read(StudyPaths(root, study).numbers) or Numbers()
        known = dict(enumerate(numbers.configurations, start=1))
        pattern = f"{study}/logs/{known.get(int(number), 'none')}-s*.log"
    elif not re.fullmatch(r"[0-9a-f]{1,12}(-s\d*)?", name):
        raise ConfigError(f"{name}: must be a run's id, the start of one, or STUDY/NUMBER, for instance demo/2")
    logs = sorted(root.glob(pattern))
    logs = [log for log in logs if log.stem == name] or logs
    if not logs:
        raise ConfigError(f"{name}: no run of this name under {root} has a log; `nlcse-tune status` names runs")
    if len(logs) > 1:
        raise ConfigError(f"{name}: {len(logs)} runs go by this name: {', '.join(log.stem for log in logs)}; give one")
    return StudyPaths(root, logs[0].parent.parent.name).run(logs[0].stem)


def is_over(status: StudyStatus, run: RunPaths) -> bool:
    """Whether nothing works on a run any more."""
    return status.state != "at work" or (
        run.record.is_file() and run.run_id not in {other.run_id for other in status.under_way}
    )


def _under_way(run: RunPaths, record: RunRecord | None) -> RunStatus | None:
    progress, begun = None, None
    with suppress(DataError):
        progress = RunProgress.read(run.progress)
    with suppress(DataError):
        begun = BegunRun.read(run.begun)
    if progress is not None and (record is None or progress.time > record.finished):
        return RunStatus(run_id=run.run_id, label=progress.label, progress=progress, heard=_age(progress.time))
    if record is not None or begun is None:
        return None
    return RunStatus(run_id=run.run_id, label=begun.label or run.run_id)


def _state(paths: StudyPaths, call: Call | None) -> State:
    if call is None or call.ended:
        return "ended" if call else "unknown"
    fresh = (_age(call.heard) or 0.0) < SILENT
    if call.host != socket.gethostname():
        return "at work" if fresh else "silent"
    if not _lives(call.process):
        return "gone"
    # Only where its last word is old is the lock looked at: for a moment that would be in another command's way.
    return "at work" if fresh else "silent" if _held(paths.lock) else "gone"


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _held(lock: Path) -> bool:
    try:
        with lock.open("a") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _age(time: str) -> float | None:
    """Seconds since; clocks of two machines may differ, and nothing is younger than new."""
    with suppress(ValueError):
        return max(0.0, (datetime.fromisoformat(now()) - datetime.fromisoformat(time)).total_seconds())
    return None
