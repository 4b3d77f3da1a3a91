"""TensorBoard's event files: one a run, appended to by whoever goes on with it.

TensorBoard's own writer begins a new file each time, and starts a thread for each; only its messages are used here.
tensorboardX and torch have a writer too, and with it torch, which a driver does without (2.7 s against 0.1 s).
"""

import re
import struct
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo

from nlcse_tune.files import stored, writing
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.tracking.curves import Book, Point, Tracker

FILE = "events.out.tfevents.nlcse-tune"  # TensorBoard looks for `tfevents` in a name
START, END = "_hparams_/session_start_info", "_hparams_/session_end_info"
SENT = 60.0  # seconds between two times that a file goes into the store of an `--out` that is an address
LONGEST = 160  # letters of a folder's name that are for people


class TensorBoard(Tracker):
    """Event files in the study's folder, one folder for each run under a name for people."""

    def book(self, spec: RunSpec) -> "EventFile":
        return EventFile(_folder(spec), spec.run_id, self.work.values(spec))

    def behind(self, paths: StudyPaths) -> Iterable[str]:
        """Runs whose record is as young as their events: the last of these are written after the record."""
        written = {file.parent.name.rpartition(" ")[2]: file for file in paths.tensorboard.glob(f"*/{FILE}")}
        for record in sorted(paths.records.glob("*.json")):
            file = written.get(record.stem)
            if file is None or file.stat().st_mtime_ns <= record.stat().st_mtime_ns:
                yield record.stem


def _folder(spec: RunSpec) -> Path:
    """The run's folder, which keeps the name that it was given first."""
    there = spec.study.tensorboard
    readable = re.sub(r"[^\w.,=+-]+", " ", spec.label)[:LONGEST].strip()
    return next(there.glob(f"*{spec.run_id}"), there / f"{readable} {spec.run_id}".strip())


class EventFile(Book):
    """Each event is in the file once it is written: a kill costs at most the one that it cuts short."""

    def __init__(self, folder: Path, run_id: str, values: dict[str, Any]) -> None:
        self.path = folder / FILE
        with writing(self.path):
            folder.mkdir(parents=True, exist_ok=True)
            events, whole = self._read()
            self.stream = self.path.open("ab", buffering=0)
            self.stream.truncate(whole)
        summaries = [value for event in events for value in event.summary.value]
        self.newest = {}
        for event in events:
            self.newest |= {value.tag: event.step for value in event.summary.value if value.tag not in (START, END)}
        self.is_ended = any(value.tag == END for value in summaries)
        if not summaries:
            self._write([Event(wall_time=time.time(), file_version="brain.Event:2"), _start(run_id, values)])

    def write(self, points: list[Point]) -> None:
        now = time.time()
        self._write(
            Event(wall_time=now, step=p.step, summary={"value": [{"tag": p.curve, "simple_value": p.value}]})
            for p in points
        )
        stored(self.path, every=SENT)

    def close(self, record: RunRecord | None) -> None:
        if record is not None and not self.is_ended:
            self._write([_end(record)])
        self.stream.close()
        stored(self.path)

    def _write(self, events: Iterable[Any]) -> None:
        with writing(self.path):
            self.stream.write(b"".join(_framed(event.SerializeToString()) for event in events))

    def _read(self) -> tuple[list[Any], int]:
        """The events on disk, and where the last whole one ends."""
        data, at, events = self.path.read_bytes() if self.path.exists() else b"", 0, []
        while at + 12 <= len(data) and _checksum(data[at : at + 8]) == data[at + 8 : at + 12]:
            (size,) = struct.unpack_from("<Q", data, at)
            if (after := at + 12 + size + 4) > len(data):
                break
            events.append(Event.FromString(data[at + 12 : at + 12 + size]))
            at = after
        return events, at


def _framed(data: bytes) -> bytes:
    """One record of a TFRecord file."""
    size = struct.pack("<Q", len(data))
    return size + _checksum(size) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))


def _start(run_id: str, values: dict[str, Any]) -> Any:
    """The run's hyper-parameters, for the HParams page."""
    info = SessionStartInfo(group_name=run_id, start_time_secs=time.time())
    for name, value in values.items():
        kind = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
        setattr(info.hparams[name], kind, value if isinstance(value, (bool, int, float, str)) else str(value))
    return _of_hparams(START, session_start_info=info)


def _end(record: RunRecord) -> Any:
    status = Status.Value("STATUS_FAILURE" if record.status == "failed" else "STATUS_SUCCESS")
    finished = datetime.fromisoformat(record.finished).timestamp() if record.finished else time.time()
    return _of_hparams(END, session_end_info=SessionEndInfo(status=status, end_time_secs=finished))


def _of_hparams(tag: str, **content: Any) -> Any:
    data = HParamsPluginData(version=0, **content).SerializeToString()
    metadata = {"plugin_data": {"plugin_name": "hparams", "content": data}}
    return Event(wall_time=time.time(), summary={"value": [{"tag": tag, "metadata": metadata}]})
