"""The worker function: one run inside a Ray Tune trial, or one worker of a run under Ray Train.

The loop sees a RunContext only; everything that knows Ray about a run is here.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from nlcse_tune.config import RunConfig
from nlcse_tune.errors import RunError
from nlcse_tune.files import fetch, fetch_folder, gone, keeper_of, released, writing
from nlcse_tune.launch.pulse import Pulse
from nlcse_tune.launch.runlog import logging_run
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.launch.travel import at_hand, check_node
from nlcse_tune.plugins import RECORDED
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import is_under_way, keep_record, kept_record
from nlcse_tune.records.progress import RunProgress
from nlcse_tune.run import run_one
from nlcse_tune.saved_model import damage
from nlcse_tune.training.checkpoint import finish
from nlcse_tune.training.context import Progress, RunContext, StopRun
from nlcse_tune.training.profile import StepProfile

API = "RAY_API_SERVER_ADDRESS"


def reporting(send: Callable[[dict[str, Any]], None]) -> Callable[[RunRecord | None], None]:
    """Hands Ray the newest dev score, and the record so far for whoever decides about the run."""

    def report(record: RunRecord | None) -> None:
        try:
            send({"dev": record.dev_curve[-1].score, "record": record.model_dump_json()} if record else {})
        except SystemExit:  # how Tune tells a function that its trial is over
            raise StopRun("told to stop") from None

    return report


def unshown(progress: RunProgress) -> None:
    """For a run that is nobody's concern but its own: there is no Ray to show it."""


def execute(spec: RunSpec, context: RunContext, show: Callable[[RunProgress], None] = unshown) -> RunRecord:
    """Runs `spec` and, on the leading worker, writes its record; `show` is told there how far it is.

    A run that was told to stop writes none: whoever told it knows whether it is over (the scheduler, which writes the
    record with its reason) or will go on from its restart point (the end of a search's time).
    """
    paths, config = spec.paths, at_hand(spec.config)
    with writing(paths.folder):
        paths.folder.mkdir(parents=True, exist_ok=True)
    fetch_folder(paths.folder, mine=context.leads)  # the run may have come further on another machine
    fetch(paths.record)
    keeper = keeper_of(paths.folder)
    if keeper is not None:
        context.kept = lambda: keeper.push(paths.folder)
    earlier = kept_record(paths)  # its model was cleared away or damaged, or a search stopped it before its end
    if earlier and earlier.status == "completed" and paths.best.exists() and not is_under_way(paths):
        why = damage(paths.best, earlier.best_model)
        context.events += (f"trained again: its best model was not as it was written ({why})",) if why else ()
    if config != spec.config:  # a record has the paths of whoever started the search
        context.report = _with_config(spec.config, context.report)
    with logging_run(spec, context) as log:
        if log is not None:

            def tell(progress: RunProgress) -> None:
                show(progress)
                progress.write(paths.progress, durable=False)

            traced = [StepProfile(paths.trace, paths.profile)] if spec.profile else []
            context.stepped = both(Pulse(spec, context.device, tell), log, *traced)
        record = run_one(config, spec.seed, context, study=spec.study.study).model_copy(update={"config": spec.config})
        if log is not None:
            log.ended(record)
    if context.leads and record.status != "stopped":
        context.kept()
        fetch(paths.record)
        if earlier is not None or kept_record(paths) is None:  # else it was stopped meanwhile, and the driver says so
            record = keep_record(record, paths)
        finish(paths.folder, record.best_step)
        paths.progress.unlink(missing_ok=True)
        if keeper is not None:
            gone(paths.progress)
            keeper.tidy(paths.folder)
    return record


def _with_config(config: RunConfig, report: Callable[[RunRecord | None], None]) -> Callable[[RunRecord | None], None]:
    return lambda record: report(record and record.model_copy(update={"config": config}))


def both(*told: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """What is called after a step, where several are to hear of it."""

    def stepped(progress: Progress) -> None:
        for tell in told:
            tell(progress)

    return stepped


def run_here(
    spec: RunSpec,
    report: Callable[[RunRecord | None], None],
    cpus: float | None = None,
    show: Callable[[RunProgress], None] = unshown,
) -> RunRecord:
    """One run in this process, on its GPU if it has one, else on so many threads (None: as torch has it)."""
    if cpus is not None:
        torch.set_num_threads(max(1, int(cpus)))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return execute(spec, RunContext(spec.paths.folder, device=device, report=report), show)


def _train_worker(settings: dict[str, Any]) -> None:
    """What each Ray Train worker runs."""
    import ray.train.torch

    from nlcse_tune.launch.metrics import shown  # Ray, which a run of its own does without

    place = ray.train.get_context()
    torch.set_num_threads(max(1, int(settings["cpus"])))
    spec = RunSpec.model_validate(settings["spec"], context=RECORDED)
    check_node(spec)
    rank, workers = place.get_world_rank(), place.get_world_size()
    device, report = str(ray.train.torch.get_device()), reporting(ray.train.report)
    with shown(spec) as show:
        execute(spec, RunContext(spec.paths.folder, rank, workers, device, report), show)
    if rank == 0:
        released(spec.paths.folder)


@contextmanager
def _asking_this_ray() -> Iterator[None]:
    """Around what starts a Train run: its cleaner asks the State API of the Ray that it is in.

    By itself it asks whichever Ray it finds on the machine. Of several it takes none, ends, and leaves the workers'
    CPUs taken for ever; in another one it would not find its run, and take the workers' place away.
    """
    import ray
    from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE

    ENV_VARS_TO_PROPAGATE.add(API)
    before, os.environ[API] = os.environ.get(API), ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        if before is None:
            del os.environ[API]
        else:
            os.environ[API] = before


def run_on_workers(spec: RunSpec, resources: Resources, callbacks: Sequence[Any] = ()) -> RunRecord:
    """One run on several workers through Ray Train; returns the record that the leading worker wrote.

    Train's own files of this run go, those that a killed call left too: whoever calls holds the run's or the study's
    lock.
    """
    from ray import train  # its types are those of Train V1
    from ray.train.torch import TorchTrainer

    v2: Any = train
    each = {"CPU": resources.cpus} | ({"GPU": resources.gpus} if resources.gpus else {})
    trainer = TorchTrainer(
        _train_worker,
        train_loop_config={"spec": spec.model_dump(mode="json"), "cpus": resources.cpus},
        scaling_config=v2.ScalingConfig(
            num_workers=resources.workers, use_gpu=resources.gpus > 0, resources_per_worker=each
        ),
        run_config=v2.RunConfig(
            # Two runs of one name and folder would share checkpoints.
            name=f"{spec.folder_name} {spec.run_id}-{uuid.uuid4().hex[:8]}",
            storage_path=str(spec.study.ray_train),
            failure_config=v2.FailureConfig(max_failures=0, controller_failure_limit=3),
            callbacks=list(callbacks),
            logging_config=v2.LoggingConfig(log_level="ERROR"),
        ),
    )
    try:
        with _asking_this_ray():
            trainer.fit()
    finally:
        for own in spec.study.ray_train.glob(f"*{spec.run_id}-*"):
            shutil.rmtree(own, ignore_errors=True)
    fetch(spec.paths.record)
    if (record := kept_record(spec.paths)) is None:
        raise RunError(f"{spec.run_id}: Ray Train ended without a record; the same command goes on with it")
    return record
