"""MLflow: a search or a seed study is one parent run, its runs are nested in it.

Where to, under which experiment and as whom is said as MLflow has it: MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and
so on.
"""

import os
import time
from collections.abc import Iterable

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.tracking.curves import BEST, CURVES, Book, Point, Tracker, Work

WORK = "nlcse_tune.work"  # the tag by which the runs of one folder and kind of command are known again
STATUS = {"completed": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


class MLflow(Tracker):
    """Runs are found again by their tags, so that a command that goes on adds to them."""

    def __init__(self, work: Work) -> None:
        super().__init__(work)
        self.client, self.began = MlflowClient(), time.time()
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or work.paths.study
        known = self.client.get_experiment_by_name(name)
        self.experiment = known.experiment_id if known else self.client.create_experiment(name)
        self.parent: str | None = None
        self.same = ""  # what all runs of this work share, as a filter

    def opened(self, paths: StudyPaths) -> None:
        if not self.same:
            self._begin()
        super().opened(paths)

    def _begin(self) -> None:
        """Finds or makes the parent; a run of `train` stands alone."""
        own, kind = f"{self.work.identity()}-{self.work.kind}", self.work.kind
        self.same = f"tags.`{WORK}` = '{own}'"
        self.tags = {WORK: own, "study": self.work.paths.study}
        if kind != "train":
            found = self._find(f"tags.kind = '{kind}'")
            self.parent = self._go_on(found) if found else self._create(self.work.name, {"kind": kind})
            self.tags |= {MLFLOW_PARENT_RUN_ID: self.parent}

    def book(self, spec: RunSpec) -> "NestedRun":
        if not self.same:
            self._begin()
        if found := self._find(f"tags.run_id = '{spec.run_id}'"):
            return NestedRun(self.client, self._go_on(found))
        tags = {"study": spec.study.study, "run_id": spec.run_id, "method": spec.config.method, "status": "running"}
        run = self._create(spec.label or spec.run_id, tags)
        self.client.log_batch(run, params=[Param(name, str(value)) for name, value in self.work.values(spec).items()])
        return NestedRun(self.client, run)

    def behind(self, paths: StudyPaths) -> Iterable[str]:
        return [
            run.data.tags["run_id"] for run in self._search(f"tags.status = 'running' and tags.study = '{paths.study}'")
        ]

    def closed(self) -> None:
        status = "KILLED" if self.books else "FINISHED"
        super().closed()
        if self.parent is not None:
            if (choice := self.work.chosen(since=self.began)) is not None:
                tags = {"best run_id": choice.run_id} | {f"best {name}": value for name, value in choice.point.items()}
                metrics = [_metric(Point(0, BEST, choice.dev))] if choice.dev is not None else []
                self.client.log_batch(self.parent, metrics, tags=[RunTag(name, str(tags[name])) for name in tags])
            self.client.set_terminated(self.parent, status)
        self.parent, self.same = None, ""

    def _search(self, condition: str) -> list[Run]:
        return list(self.client.search_runs([self.experiment], f"{self.same} and {condition}", max_results=1000))

    def _find(self, condition: str) -> Run | None:
        return next(iter(self._search(condition)), None)

    def _create(self, name: str, tags: dict[str, str]) -> str:
        return str(self.client.create_run(self.experiment, run_name=name, tags=self.tags | tags).info.run_id)

    def _go_on(self, run: Run) -> str:
        self.client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)


class NestedRun(Book):
    """One run; what MLflow has of its curves is asked for once."""

    def __init__(self, client: MlflowClient, run: str) -> None:
        self.client, self.run = client, run
        steps = {curve: [metric.step for metric in client.get_metric_history(run, curve)] for curve in CURVES}
        self.newest = {curve: max(known) for curve, known in steps.items() if known}

    def write(self, points: list[Point]) -> None:
        self.client.log_batch(self.run, [_metric(point) for point in points])

    def close(self, record: RunRecord | None) -> None:
        if record is not None:
            self.client.set_tag(self.run, "status", record.status)
        self.client.set_terminated(self.run, STATUS[record.status] if record else "KILLED")


def _metric(point: Point) -> Metric:
    return Metric(point.curve, point.value, int(time.time() * 1000), point.step)
