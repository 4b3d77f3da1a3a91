"""Records of runs that never were: nothing is trained, scores are random numbers around the paper's.

What tests and `benchmarks.report` make their folders with.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from nlcse_tune import stats
from nlcse_tune.config import AUTO, STS_TASKS, RunConfig, StsTask
from nlcse_tune.config.fields import override
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint, RunRecord, TestRecord, Timings, configuration_id, now
from nlcse_tune.records.progress import RunProgress
from nlcse_tune.records.scores import TaskScore
from nlcse_tune.study import Study
from nlcse_tune.versions import NUMERICS, Versions

VERSIONS = Versions(
    nlcse_tune="0.1.0",
    numerics=NUMERICS,
    commit="0123456789ab",
    python="3.11.9",
    packages={"torch": "2.14"},
    device="H100",
)
PAPER = {"sts12": 68.40, "sts13": 82.41, "sts14": 74.38, "sts15": 80.91, "sts16": 78.56, "stsb": 76.85, "sickr": 72.23}
DATA = {"text": "t1", "dev": "d1", "encoder": "e1"}


def make_run(
    root: Path,
    study: Study,
    seed: int,
    rng: np.random.Generator,
    *,
    config: RunConfig | None = None,
    shift: float = 0.0,
    std: float = 0.5,
    tasks: Iterable[StsTask] = STS_TASKS,
    tested: bool = True,
    pairs: int = 0,
    data: dict[str, str] | None = None,
    points: int = 12,
    **changes: Any,
) -> RunRecord:
    """Writes one run's record and, if `tested`, its test record; with `pairs` also that many similarities a task."""
    config = config or study.config
    if config.train.precision == AUTO:
        config = override(config, {"train.precision": "fp16"})
    data = {**DATA, **({"side": "s1"} if config.side else {}), **(data or {})}
    paths = StudyPaths(root, study.name)
    own = std * rng.standard_normal() + shift
    curve = tuple(
        DevPoint(step=125 * (i + 1), score=80 + own - 8 * 0.6**i + 0.3 * rng.standard_normal(), text_loss=1 / (i + 1))
        for i in range(points)
    )
    numerics = changes.get("versions", VERSIONS).numerics
    best = max(curve, key=lambda point: point.score) if curve else None
    fields: dict[str, Any] = {
        "run_id": f"{configuration_id(config, data, numerics)}-s{seed}", "study": study.name, "seed": seed,
        "config": config, "status": "completed", "dev_before": 40.0, "dev_curve": curve,
        "best_step": best and best.step, "best_dev": best and best.score, "steps": 125 * points, "data": data,
        "versions": VERSIONS,
        "timings": Timings(setup=5, train=3000, evaluate=60, total=3065),
        "finished": f"2026-11-20T10:{seed % 60:02d}:00+00:00",
    }  # fmt: skip
    record = RunRecord(**{**fields, **changes})
    record.write(paths.run(record.run_id).record)
    if tested:
        _test_run(record, paths, own, rng, list(tasks), pairs)
    return record


def _test_run(
    record: RunRecord, paths: StudyPaths, own: float, rng: np.random.Generator, tasks: list[StsTask], pairs: int
) -> None:
    scores: dict[StsTask, TaskScore] = {}
    kept: dict[str, np.ndarray] = {}
    for task in tasks:
        value = PAPER[task] + own + 0.3 * rng.standard_normal()
        if pairs:
            gold = np.random.default_rng(len(task)).random(pairs).round(1) * 5
            noise = np.random.default_rng(1).standard_normal(pairs) + 0.3 * rng.standard_normal(pairs)
            kept |= {f"gold_{task}": gold, task: (gold / 5 + (0.3 - 0.01 * own) * noise).astype(np.float32)}
            value = float(stats.spearman(kept[task], gold)[0])
        scores[task] = TaskScore(all=value, mean=value - 1, wmean=value - 0.5, pearson=value, pairs=pairs or 1000)
    test = TestRecord(
        run_id=record.run_id, opened="2026-11-20T12:00:00+00:00", setting="all", scores=scores,
        geometry={"alignment": 0.2 + 0.01 * rng.standard_normal(), "uniformity": -2.3 - 0.1 * own, "positives": 1491},
        data={task: f"sha-{task}" for task in tasks}, versions=VERSIONS,
    )  # fmt: skip
    test.write(paths.run(record.run_id).test)
    if kept:
        np.savez_compressed(paths.run(record.run_id).similarities, **kept)  # type: ignore[arg-type]


def make_study(
    root: Path, study: Study, seeds: Iterable[int], rng: np.random.Generator, *, shift: float = 0.0, **options: Any
) -> None:
    """Tested runs of `seeds`, and the log of the opening that tested them."""
    records = [make_run(root, study, seed, rng, shift=shift, **options) for seed in seeds]
    paths = StudyPaths(root, study.name)
    opening = {
        "time": "2026-11-20T12:00:00+00:00",
        "command": "seeds",
        "by": "seeds",
        "runs": [r.run_id for r in records],
    }
    with paths.opening_lines.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(opening) + "\n")


def progress_of(spec: RunSpec, step: int = 10, total: int = 100, left: float | None = 90.0) -> RunProgress:
    """What a run that trains elsewhere says of itself."""
    return RunProgress(
        run_id=spec.run_id, label=spec.label, step=step, total=total, dev=80.0, best_dev=84.27, best_step=5,
        sentences_per_second=1234.5, seconds_left=left, began=now(), time=now(), host="elsewhere", process=1,
    )  # fmt: skip
