"""Watchers are told what happens to runs, and cannot end a search."""

from pathlib import Path

from nlcse_tune.config import RunConfig
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.events import Audience, Watcher
from nlcse_tune.launch.pulse import Pulse
from nlcse_tune.launch.spec import RunSpec, run_spec
from nlcse_tune.launch.worker import run_here
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.progress import RunProgress
from nlcse_tune.training.context import Progress
from tests.synthetic_records import progress_of


class Broken(Watcher):
    def begun(self, spec: RunSpec) -> None:
        raise ValueError("no disk")


class Told(Watcher):
    def __init__(self) -> None:
        self.heard: list[str] = []
        self.steps: list[int] = []

    def begun(self, spec: RunSpec) -> None:
        self.heard.append(spec.run_id)

    def progressed(self, spec: RunSpec, progress: RunProgress) -> None:
        self.steps.append(progress.step)


def spec_of(config: RunConfig, folder: Path) -> RunSpec:
    return run_spec(StudyPaths(folder, "tiny"), config, 1, fingerprints(config))


def test_a_watcher_that_raises_is_left_out_and_the_others_go_on(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec, told, notes = spec_of(tiny_config, tmp_path), Told(), list[str]()
    audience = Audience([Broken(), told], notes.append)
    audience.begun(spec)
    audience.begun(spec)
    assert told.heard == [spec.run_id] * 2
    assert notes == ["Broken is left out from here on: ValueError: no disk"]


def test_each_new_progress_is_told_once(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec, told, beats = spec_of(tiny_config, tmp_path), Told(), list[RunProgress]()
    pulse = Pulse(spec, "cpu", beats.append)
    pulse(Progress(step=3, total=4, train_seconds=1.5))
    (beat,) = beats
    beat.write(spec.paths.progress, durable=False)
    audience = Audience([told])
    for _ in range(2):
        audience.looked = 0.0
        audience.look([spec])
    assert told.steps == [3]


def test_what_a_killed_attempt_left_is_not_told_as_new(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec, told = spec_of(tiny_config, tmp_path), Told()
    progress_of(spec, step=3).model_copy(update={"time": "2026-11-22T00:00:00+00:00"}).write(spec.paths.progress)
    audience = Audience([told])
    audience.begun(spec)
    audience.look([spec])
    assert told.steps == []
    progress_of(spec, step=4).write(spec.paths.progress)
    audience.looked = 0.0
    audience.look([spec])
    assert told.steps == [4]


def test_a_run_says_how_far_it_is_and_leaves_no_progress_behind(tiny_config: RunConfig, tmp_path: Path) -> None:
    spec, seen = spec_of(tiny_config, tmp_path), list[RunProgress]()
    run_here(spec, lambda record: seen.append(RunProgress.read(spec.paths.progress)) if record else None)  # type: ignore[arg-type]
    before, half = seen
    assert before is not None
    assert (before.step, before.total) == (1, 4)
    assert half is not None
    assert half.step in (2, 3)
    assert half.dev is not None
    assert half.sentences_per_second is not None
    assert not spec.paths.progress.exists()
