"""One contract, every launcher: in this process, in a Ray Tune trial, through Ray Train on two workers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from nlcse_tune.config.fields import override
from nlcse_tune.errors import DataError, RunError
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources, RunSpec
from nlcse_tune.launch.worker import run_here, run_on_workers
from nlcse_tune.models.encoder import load_encoder
from nlcse_tune.paths import LAST
from nlcse_tune.records import RunRecord, run_id
from nlcse_tune.study import Study
from tests.conftest import CPUS

pytestmark = pytest.mark.ray


def in_process(spec: RunSpec) -> RunRecord:
    return run_here(spec, lambda record: None)


def in_trials(specs: Sequence[RunSpec], resources: Resources) -> list[RunRecord | None]:
    """What a search makes of these runs, one after the other; the record of each."""
    Pool(resources, 1, None).run(ListedRuns(specs, lambda *_: None), specs[0].study.ray)
    return [RunRecord.read(spec.paths.record) for spec in specs]


def in_a_trial(spec: RunSpec) -> RunRecord:
    (record,) = in_trials([spec], Resources())
    assert record is not None
    return record


def on_two_workers(spec: RunSpec) -> RunRecord:
    return run_on_workers(spec, Resources(workers=2))


def in_a_trial_on_two_workers(spec: RunSpec) -> RunRecord:
    """With every CPU of the cluster asked for by the two workers: nothing may be left for the trial that watches."""
    (record,) = in_trials([spec], Resources(workers=2, cpus=CPUS / 2))
    assert record is not None
    return record


Launcher = Callable[[RunSpec], RunRecord]
LAUNCHERS: list[Launcher] = [in_process, in_a_trial, on_two_workers, in_a_trial_on_two_workers]


def spec_of(study: Study, folder: Path, **changes: object) -> RunSpec:
    from nlcse_tune.data.catalog import fingerprints

    config = override(study.config, {"encoder.dropout": 0.0, **changes})
    data = fingerprints(override(config, {"text.data": "synthetic", "eval.data": "synthetic"}))
    return RunSpec(folder=folder, run_id=run_id(config, 3, data), seed=3, config=config)


@pytest.mark.parametrize("launch", LAUNCHERS)
@pytest.mark.usefixtures("ray_session")
def test_contract(launch: Launcher, tiny_study: Study, tmp_path: Path) -> None:
    spec = spec_of(tiny_study, tmp_path / launch.__name__)
    if launch is not in_process:
        (spec.study.ray_train / f"{spec.run_id}-killed").mkdir(parents=True)  # what a killed call left
    record = launch(spec)
    assert not list(spec.study.folder.glob("ray/*/*"))
    assert record == RunRecord.read(spec.paths.record)
    assert (record.run_id, record.seed, record.status, record.steps) == (spec.run_id, 3, "completed", 4)
    assert [point.step for point in record.dev_curve] == [2, 4]
    assert record.best_dev == max(point.score for point in record.dev_curve)
    assert record.workers == (2 if "two" in launch.__name__ else 1)
    assert load_encoder(spec.paths.best).pooler == "avg"
    assert not (spec.paths.folder / LAST).exists()

    plain = in_process(spec.model_copy(update={"folder": tmp_path / "plain"}))
    assert record.dev_before == pytest.approx(plain.dev_before, abs=1e-9)
    for own, other in zip(record.dev_curve, plain.dev_curve, strict=True):
        assert own.score == pytest.approx(other.score, abs=0.02)  # ranks may swap where cosines differ by rounding
        assert own.text_loss == pytest.approx(other.text_loss, abs=1e-5)
        assert own.side_loss == pytest.approx(other.side_loss, abs=1e-5)


@pytest.mark.usefixtures("ray_session")
def test_a_run_that_diverges_is_a_record_and_what_befalls_every_run_ends_them_all(
    tiny_study: Study, tmp_path: Path
) -> None:
    diverging = spec_of(tiny_study, tmp_path, **{"text.learning_rate": 1e30})
    without_data = spec_of(tiny_study, tmp_path, **{"side.data": str(tmp_path / "no-such-folder")})
    never = spec_of(tiny_study, tmp_path)
    with pytest.raises(DataError, match="no such folder; set side.data"):
        in_trials([diverging, without_data, never], Resources())
    record = RunRecord.read(diverging.paths.record)
    assert record is not None
    assert record.status == "failed"
    assert record.error is not None
    assert "lower text.learning_rate" in record.error
    assert RunRecord.read(without_data.paths.record) is None
    assert RunRecord.read(never.paths.record) is None


def test_more_than_the_machine_has_is_refused_with_the_arithmetic() -> None:
    assert Resources(1, 1.0).concurrent([(2, 0)]) == 2
    assert Resources(2, 1.0).concurrent([(3, 0)]) == 1
    assert Resources(2, 2.0, 1.0).concurrent([(16, 3)]) == 1
    assert Resources(4, 1.0).concurrent([(2, 0)]) == 0
    assert Resources(1, 0.1).concurrent([(1, 0)]) == 10
    # A worker needs one node's CPUs and GPUs: of two nodes with four GPUs each, none has eight.
    assert Resources(1, 1.0, 8.0).concurrent([(16, 4), (16, 4)]) == 0
    assert Resources(8, 1.0, 1.0).concurrent([(16, 4), (16, 4)]) == 1
    assert Resources(1, 1.0, 3.0).concurrent([(16, 4), (16, 4)]) == 2
    assert str(Resources(4, 1.0, 0.5)) == "4 CPUs and 2 GPUs (4 workers)"
    assert str(Resources(1, 1.0, 1.0)) == "1 CPU and 1 GPU"


@pytest.mark.usefixtures("ray_session")
def test_a_run_that_can_never_be_scheduled_is_refused(tiny_study: Study, tmp_path: Path) -> None:
    from nlcse_tune.launch.spec import Launch
    from nlcse_tune.paths import StudyPaths
    from nlcse_tune.search.search import search
    from nlcse_tune.search.state import SearchOptions

    with pytest.raises(RunError, match=rf"a run asks for 64 CPUs \(64 workers\), and the cluster has {CPUS} CPUs"):
        search(tiny_study, StudyPaths(tmp_path, "demo"), SearchOptions(trials=1), Launch(workers=64))
