"""One run of a study, outside any search: `nlcse-tune train`."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from uuid import uuid4

import torch

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.files import locked
from nlcse_tune.launch.spec import Launch, RunSpec, run_spec
from nlcse_tune.launch.worker import execute, run_on_workers
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint, RunRecord, is_whole
from nlcse_tune.study import Study
from nlcse_tune.training.context import RunContext

OnPoint = Callable[[DevPoint], None]


@dataclass
class ConsoleContext(RunContext):
    """A run in this process that tells each dev point to whoever watches."""

    on_point: OnPoint = field(default=lambda point: None)

    def report(self, record: RunRecord | None) -> None:
        if record is not None:
            self.on_point(record.dev_curve[-1])


def train_one(
    study: Study,
    paths: StudyPaths,
    seed: int,
    launch: Launch = Launch(),  # noqa: B008
    *,
    on_point: OnPoint = lambda point: None,
) -> RunRecord:
    """The record of the study's own configuration at `seed`, trained unless it is there with its best model.

    A run that a search stopped early, or whose model it cleared away, is trained to its end. RunError where a search
    or a seed study works on this folder, or another process on this run.
    """
    spec = run_spec(paths, study.config, seed, fingerprints(study.config))
    with locked(paths.lock, str(paths.folder), shared=True), locked(spec.paths.lock, f"run {spec.run_id}"):
        record = RunRecord.read(spec.paths.record)
        if record and (record.status == "failed" or is_whole(record, spec.paths)):
            return record
        return _train(spec, launch, on_point)


def _train(spec: RunSpec, launch: Launch, on_point: OnPoint) -> RunRecord:
    if launch.workers == 1:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return execute(spec, ConsoleContext(spec.paths.folder, device=device, on_point=on_point))
    from nlcse_tune.launch.pool import open_pool  # Ray, which one worker does without

    with open_pool(replace(launch, concurrent=1)) as pool:
        return run_on_workers(spec, pool.resources, uuid4().hex[:8], callbacks=[])
