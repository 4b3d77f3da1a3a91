"""run_one: the only thing a launcher calls. Where training meets evaluation."""

import time
from functools import partial
from typing import Any

import numpy as np
import torch

from nlcse_tune.config import SCRATCH, STS_TASKS, EvalConfig, RunConfig
from nlcse_tune.data.catalog import fingerprints, task_fingerprint
from nlcse_tune.data.columns import TextSource
from nlcse_tune.data.manifest import described
from nlcse_tune.data.modalities import load_side
from nlcse_tune.data.sts import load_task
from nlcse_tune.data.text import load_text, scratch_tokenizer
from nlcse_tune.errors import ConfigError
from nlcse_tune.evaluation.geometry import score_geometry
from nlcse_tune.evaluation.sts import DevEvaluator, score_test_sets
from nlcse_tune.files import replacing
from nlcse_tune.models.encoder import build_encoder, load_encoder
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import Opening, RunRecord, TestRecord, Timings, now, run_id
from nlcse_tune.records.ledger import check_model, kept_test, log_opening
from nlcse_tune.training.context import Progress, RunContext
from nlcse_tune.training.loop import train
from nlcse_tune.training.seeding import derive
from nlcse_tune.versions import versions


def run_one(config: RunConfig, seed: int, context: RunContext, *, study: str = "") -> RunRecord:
    """Trains one configuration with one seed and returns its record; every worker of a run calls it.

    Only dev scores are in it. The best checkpoint lies in `context.folder / "best"`, and a restart point in the
    same folder makes a later call go on where this one was killed; `finish` (training/checkpoint.py) clears it away
    once the record is written.
    """
    if config.train.precision == "fp16" and context.device == "cpu":
        raise ConfigError("train.precision: fp16 needs a GPU and this run is on a CPU; use --set train.precision=fp32")
    started, clock = now(), time.perf_counter()
    data = fingerprints(config)
    sources = described(config, data)
    source = TextSource(config.text, data["text"])
    tokenizer = scratch_tokenizer(source, config.encoder) if config.encoder.checkpoint == SCRATCH else None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        encoder = build_encoder(
            config.encoder, supervised=config.text.objective == "supervised", sides=config.sides, tokenizer=tokenizer
        )
    encoder.to(context.device)
    text = load_text(source, encoder.tokenizer)
    sides = [load_side(side) if side.reads_data else None for side in config.sides]
    evaluator = DevEvaluator(config.eval.data, encoder, config.eval.language)
    dev_score = partial(evaluator, precision="fp32" if config.train.precision == "fp32" else "bf16")
    setup = time.perf_counter() - clock

    def snapshot(progress: Progress) -> RunRecord:
        # Training and evaluation count from the run's first step on, through restarts; the clock is this process's.
        spent = {"setup": setup, "train": progress.train_seconds, "evaluate": progress.evaluate_seconds}
        spent["total"] = max(sum(spent.values()), time.perf_counter() - clock)
        return RunRecord(
            run_id=run_id(config, seed, data),
            study=study,
            seed=seed,
            config=config,
            status="completed" if progress.step == progress.total else "stopped" if progress.stopped else "running",
            dev_before=progress.dev_before,
            dev_curve=tuple(progress.curve),
            best_step=progress.best.step if progress.best else None,
            best_dev=progress.best.score if progress.best else None,
            best_model=progress.best_model,
            steps=progress.step,
            total_steps=progress.total,
            workers=context.world_size,
            data=data,
            sources=sources,
            versions=versions(device_name(context.device)),
            timings=Timings(**{phase: round(seconds, 3) for phase, seconds in spent.items()}),
            events=(*progress.events, *([progress.stopped] if progress.stopped else [])),
            started=started,
            finished=now(),
        )

    return snapshot(train(encoder, text, sides, dev_score, snapshot, config, seed, context))


def score_run(record: RunRecord, paths: RunPaths, asked: EvalConfig, opening: Opening) -> None:
    """Scores the best checkpoint of a finished run on its test sets, in fp32, and writes the test record.

    Tasks of an earlier test record are scored again beside those asked for. `opening` is noted once there is
    something to score, and before it is scored. Only `seeds` calls this: what a search launches never does.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    check_model(paths.best)
    encoder = load_encoder(paths.best).to(device)
    earlier = kept_test(paths, record)
    tasks = tuple(task for task in STS_TASKS if task in asked.tasks or (earlier and task in earlier.scores))
    note = partial(log_opening, StudyPaths(paths.study.parent, paths.study.name), opening, paths.run_id)
    scores, similarities, missing = score_test_sets(encoder, asked.data, tasks, "fp32", note)
    geometry = score_geometry(encoder, asked.data, "fp32") if "stsb" in scores else None
    arrays: dict[str, Any] = {task: values.astype(np.float32) for task, values in similarities.items()}
    for task in scores:
        arrays[f"gold_{task}"] = np.concatenate([subset.gold for subset in load_task(asked.data, task)])
    with replacing(paths.similarities) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)
    TestRecord(
        run_id=record.run_id,
        opened=now(),
        setting=asked.setting,
        scores=scores,
        missing=missing,
        geometry=geometry.model_dump(include={"alignment", "uniformity", "positives"}) if geometry else {},
        model=record.best_model,
        data={task: task_fingerprint(asked.data, task) for task in scores},
        versions=versions(device_name(device)),
    ).write(paths.test)


def device_name(device: str) -> str:
    """The card's name, or the processor's kind and thread count."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return f"cpu, {torch.get_num_threads()} threads"
