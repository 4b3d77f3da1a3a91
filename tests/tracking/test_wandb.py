"""W&B's files, as it keeps them offline, hold a group and the runs in it."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import wandb
from wandb.proto.wandb_internal_pb2 import Record

from nlcse_tune.study import Study
from nlcse_tune.tracking.curves import BEST, DEV, SIDE, SPEED, TEXT
from nlcse_tune.tracking.wandb import Sent, WandB
from tests.tracking.made import curves, half_and_killed, made, rest, work_of

BLOCK = 32_768


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.delenv("WANDB_DIR", raising=False)


def records(path: Path) -> Iterator[Any]:
    """What is in a .wandb file: LevelDB's log format, after seven bytes of its own."""
    data, at, whole = path.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := BLOCK - at % BLOCK) < 7:
            at += left
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole, at = whole + data[at + 7 : at + 7 + size], at + 7 + size
        if kind in (1, 4):  # the whole, or its last part
            yield Record.FromString(whole)
            whole = b""


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Of all files together, by id: group, name, kind, configuration, curves, summary."""
    wandb.teardown()  # it writes behind our back, until its own process has ended
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob("wandb/offline-run-*/*.wandb")):
        for record in records(path):
            if record.HasField("run"):
                run = record.run
                own = found.setdefault(run.run_id, {"curves": {}, "summary": {}})
                own |= {"group": run.run_group, "kind": run.job_type, "name": run.display_name}
                own["config"] = {item.key: json.loads(item.value_json) for item in run.config.update}
            elif record.HasField("history"):
                row = {
                    "/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item
                }
                for name, value in row.items():
                    if "/" in name:
                        own["curves"].setdefault(name, []).append((row["step"], value))
            elif record.HasField("summary"):
                own["summary"] |= {item.key: json.loads(item.value_json) for item in record.summary.update}
    return found


def sent(folder: Path) -> bool:
    """Whether W&B has the first half."""
    told = {DEV: 20, BEST: 20, TEXT: 20, SIDE: 20, SPEED: 15}
    return any((Sent.read(path) or Sent()).newest == told for path in folder.glob("wandb/sent-*"))


def test_a_search_that_goes_on_adds_to_its_runs(tiny_study: Study, tmp_path: Path) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, record = made(work, tiny_study)
    half_and_killed(tmp_path, "wandb", lambda: sent(work.paths.folder))
    rest(WandB(work), spec, record)
    found = kept(work.paths.folder)
    own = work.identity()
    assert found.keys() == {f"{own}-search", f"{own}-{spec.run_id}"}
    whole, run = found[f"{own}-search"], found[f"{own}-{spec.run_id}"]
    assert (whole["kind"], run["kind"], run["name"]) == ("search", "run", spec.label)
    assert whole["group"] == run["group"] == f"search {tiny_study.name} {own}"
    assert {"side.loss": "supcon", "seed": 1, "method": "VisualCSE"}.items() <= run["config"].items()
    assert run["curves"].pop(SPEED) == [(5, 105.0), (15, 115.0), (35, 135.0)]
    assert run["curves"] == curves(record)
    assert run["summary"]["status"] == whole["summary"]["status"] == "completed"


def test_a_run_whose_end_a_killed_driver_did_not_see_is_ended(tiny_study: Study, tmp_path: Path) -> None:
    work = work_of(tiny_study, tmp_path)
    spec, record = made(work, tiny_study)
    half_and_killed(tmp_path, "wandb", lambda: sent(work.paths.folder))
    record.write(spec.paths.record)
    tracker = WandB(work)
    assert list(tracker.behind(work.paths)) == [spec.run_id]
    tracker.opened(work.paths)
    tracker.closed()
    assert not list(WandB(work).behind(work.paths))
    run = kept(work.paths.folder)[f"{work.identity()}-{spec.run_id}"]
    assert {curve: run["curves"][curve] for curve in curves(record)} == curves(record)
    assert run["summary"]["status"] == "completed"
