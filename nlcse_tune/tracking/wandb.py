"""W&B: a search or a seed study is a group, with one run of its own for the whole and one for each run in it.

Where to, under which project and as whom is said as W&B has it: WANDB_MODE, WANDB_PROJECT, WANDB_ENTITY,
WANDB_BASE_URL, WANDB_API_KEY or `wandb login`.
"""

import os
import time
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import wandb

from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, Stored
from nlcse_tune.tracking.curves import BEST, Book, Point, Tracker, Work

# Its client would read the terminal, the machine and the repository beside what it is told.
QUIET = {"console": "off", "silent": True, "disable_git": True, "disable_code": True, "x_disable_stats": True}
FOLDER = "wandb"  # which W&B makes where it is told


class Sent(Stored):
    """What W&B was told of a run: it has no way to ask that also works offline."""

    advice = "without it W&B is told once more what it knows"

    newest: dict[str, int] = {}
    ended: bool = False


class WandB(Tracker):
    """Runs are resumed by an id that is made of the folder's and theirs."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.began, self.whole = time.time(), None
        self.folder = Path(os.environ.get("WANDB_DIR") or work.paths.folder.resolve())

    def book(self, spec: RunSpec) -> "GroupedRun":
        if self.whole is None and self.work.kind != "train":
            self.whole = self._init(self.work.kind, self.work.name, self.work.kind, {})
        config = self.work.values(spec) | {
            "study": spec.study.study,
            "method": spec.config.method,
            "run_id": spec.run_id,
        }
        run = self._init(spec.run_id, spec.label or spec.run_id, "run", config)
        return GroupedRun(run, self._sent(spec.run_id))

    def behind(self, paths: StudyPaths) -> Iterable[str]:
        for record in sorted(paths.records.glob("*.json")):
            known = Sent.read(self._sent(record.stem))
            if known is not None and not known.ended:
                yield record.stem

    def closed(self) -> None:
        status = "stopped" if self.books else "completed"
        super().closed()
        if self.whole is not None:
            if (choice := self.work.chosen(since=self.began)) is not None:
                self.whole.summary.update({BEST: choice.dev, "run_id": choice.run_id, **choice.point})
            self.whole.summary["status"] = status
            self.whole.finish()
        self.whole = None

    def _init(self, name: str, label: str, kind: str, config: dict[str, Any]) -> Any:
        group = f"{self.work.name} {self.work.identity()}"
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "nlcse-tune", dir=self.folder, group=group, job_type=kind,
            id=f"{self.work.identity()}-{name}", name=label, config=config, resume="allow", reinit="create_new",
            settings=wandb.Settings(**QUIET),
        )  # fmt: skip
        run.define_metric("step")
        run.define_metric("*", step_metric="step")
        return run

    def _sent(self, run_id: str) -> Path:
        return self.folder / FOLDER / f"sent-{self.work.identity()}-{run_id}.json"


class GroupedRun(Book):
    """One run. Its rows carry their step: of W&B's own, one that comes late is dropped."""

    def __init__(self, run: Any, sent: Path) -> None:
        self.run, self.sent = run, sent
        self.newest = dict((Sent.read(sent) or Sent()).newest)

    def write(self, points: list[Point]) -> None:
        for step, row in groupby(sorted(points), key=lambda point: point.step):
            self.run.log({"step": step} | {point.curve: point.value for point in row})
        self._keep(ended=False)

    def close(self, record: RunRecord | None) -> None:
        if record is not None:
            self.run.summary.update({"status": record.status, BEST: record.best_dev})
        self.run.finish(exit_code=0 if record and record.status != "failed" else 1)
        self._keep(ended=record is not None)

    def _keep(self, *, ended: bool) -> None:
        Sent(newest=self.newest, ended=ended).write(self.sent, durable=False)
