"""Runs that nobody trained, and what a command tells of them."""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.events import Watcher
from nlcse_tune.launch.spec import RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint, RunRecord, now
from nlcse_tune.records.progress import RunProgress
from nlcse_tune.study import Study
from nlcse_tune.tracking.curves import BEST, DEV, SIDE, TEXT, Work
from nlcse_tune.versions import versions

STEPS = (10, 20, 30, 40)
FIELDS = ("text.learning_rate", "side.weight", "side.loss")
SCORES = (60.0, 72.5, 71.0, 80.25)


def work_of(study: Study, folder: Path) -> Work:
    return Work(StudyPaths(folder, study.name), "search", FIELDS)


def made(work: Work, study: Study, seed: int = 1) -> tuple[RunSpec, RunRecord]:
    """A finished run, its record not on disk."""
    spec = run_spec(work.paths, study.config, seed, fingerprints(study.config))
    spec = spec.model_copy(update={"label": f"demo 001 side.loss=supcon/x seed {seed}"})
    curve = tuple(
        DevPoint(step=step, score=score, text_loss=1 / step, side_loss=2 / step)
        for step, score in zip(STEPS, SCORES, strict=True)
    )
    return spec, RunRecord(
        run_id=spec.run_id, study=study.name, seed=seed, config=spec.config, status="completed", dev_before=20.0,
        dev_curve=curve, best_dev=80.25, best_step=40, steps=40, total_steps=40, versions=versions("cpu"),
        data=fingerprints(spec.config), started=now(), finished=now(),
    )  # fmt: skip


def so_far(record: RunRecord, scores: int) -> RunRecord:
    """The record as it was after so many scores."""
    curve = record.dev_curve[:scores]
    return record.model_copy(update={"status": "running", "dev_curve": curve, "best_dev": max(p.score for p in curve)})


def progress(spec: RunSpec, step: int) -> RunProgress:
    return RunProgress(
        run_id=spec.run_id, label=spec.label, step=step, total=40, sentences_per_second=100.0 + step, began=now(),
        time=now(), host="here", process=1,
    )  # fmt: skip


def half(tracker: Watcher, spec: RunSpec, record: RunRecord) -> None:
    """What is told of a run until its driver is killed after the second score."""
    tracker.opened(spec.study)
    tracker.begun(spec)
    tracker.progressed(spec, progress(spec, 5))
    tracker.scored(spec, so_far(record, 1))
    tracker.progressed(spec, progress(spec, 15))
    tracker.scored(spec, so_far(record, 2))


def rest(tracker: Watcher, spec: RunSpec, record: RunRecord) -> None:
    """What the next call tells: the run goes on, and brings its old scores once more."""
    tracker.opened(spec.study)
    tracker.begun(spec)
    tracker.progressed(spec, progress(spec, 15))
    tracker.scored(spec, so_far(record, 3))
    tracker.progressed(spec, progress(spec, 35))
    tracker.ended(spec, record)
    tracker.closed()


DRIVER = """
import sys, time
from pathlib import Path
from nlcse_tune.study import find_study
from nlcse_tune.tracking import trackers
from tests.conftest import TINY
from tests.tracking.made import half, made, work_of

if __name__ == "__main__":
    study = find_study("demo").with_overrides(TINY)
    work = work_of(study, Path(sys.argv[1]))
    (apart,) = trackers(study.copied(space=None), work.paths, "search", [sys.argv[2]])
    half(apart, *made(work, study))
    print(apart.process.pid, flush=True)
    time.sleep(600)
"""


def half_and_killed(folder: Path, tracker: str, told: Callable[[], bool]) -> None:
    """The first half, told by a driver of its own that is killed once it is `told`; waits for all that it started."""
    script = folder / "driver.py"
    script.write_text(DRIVER)
    command = [sys.executable, str(script), str(folder), tracker]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        apart = psutil.Process(int(driver.stdout.readline()))
        while not told():
            assert apart.is_running()
            time.sleep(0.1)
        started = [apart, *apart.children(recursive=True)]
        driver.kill()
    assert not psutil.wait_procs(started, timeout=300)[1]


def curves(record: RunRecord) -> dict[str, list[tuple[int, float]]]:
    """What a tracker must have of a record: every point of it once."""
    points = record.dev_curve
    best = [max(p.score for p in points[: i + 1]) for i in range(len(points))]
    return {
        DEV: [(0, record.dev_before or 0.0), *((p.step, p.score) for p in points)],
        BEST: [(p.step, value) for p, value in zip(points, best, strict=True)],
        TEXT: [(p.step, p.text_loss or 0.0) for p in points],
        SIDE: [(p.step, p.side_loss or 0.0) for p in points],
    }


def steps(curve: Sequence[tuple[int, float]]) -> list[int]:
    return [step for step, _ in curve]
