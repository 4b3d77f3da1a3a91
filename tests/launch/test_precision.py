"""`train.precision: auto`: what it comes to, where it is written, and that it holds whatever machine comes next."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.config.fields import override
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.launch.precision import Card, cards_of_node, expected, find, known, least, settle
from nlcse_tune.launch.single import train_one
from nlcse_tune.launch.spec import Launch
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.precision import HeldPrecision, held_precision, hold
from nlcse_tune.search.search import search
from nlcse_tune.search.state import SearchOptions, check_call, load_state
from nlcse_tune.seeds import planned_arms, run_seeds
from nlcse_tune.space import parse_space
from nlcse_tune.study import Study, find_study
from tests.conftest import TINY
from tests.synthetic_records import VERSIONS, make_run

AUTO = {"train.precision": "auto"}
ON_A_GPU = HeldPrecision.found("bf16", "NVIDIA H200")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.fixture
def study(tiny_study: Study) -> Study:
    return tiny_study.with_overrides(AUTO)


def settled(study: Study, root: Path) -> str:
    """What `auto` comes to for a command that runs now, on this machine."""
    return settle(study, StudyPaths(root, study.name), Launch(), print).config.train.precision


def test_the_least_capable_card_decides_and_is_named() -> None:
    new, old = Card("NVIDIA H200", bf16=True), Card("Quadro RTX 6000", bf16=False)
    found = [(least(cards).precision, least(cards).device) for cards in ([new, new], [new, old], [])]
    assert found == [("bf16", "NVIDIA H200"), ("fp16", "Quadro RTX 6000"), ("fp32", "torch sees no GPU")]


@pytest.mark.slow
def test_torch_is_asked_in_a_process_of_its_own() -> None:
    import torch

    assert len(cards_of_node()) == torch.cuda.device_count()


def test_what_is_found_first_is_written_and_said(
    study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = StudyPaths(tmp_path, study.name)
    assert settled(study, tmp_path) == "fp32"
    assert capsys.readouterr().out == "demo: train.precision auto is fp32 (without a GPU)\n"
    kept = held_precision(paths)
    assert kept is not None
    assert (kept.precision, kept.device) == ("fp32", "without a GPU")


def test_a_study_begun_on_a_gpu_goes_on_in_its_precision_on_a_cpu(study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, study.name)
    hold(paths, ON_A_GPU)
    assert settled(study, tmp_path) == "bf16"
    assert expected(study, paths).config.train.precision == "bf16"
    assert held_precision(paths) == ON_A_GPU
    assert expected(study, paths, fresh=True).config.train.precision == "fp32"  # its folder is set aside


def test_a_precision_that_is_given_is_taken_and_leaves_no_mark(study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, study.name)
    given = study.with_overrides({"train.precision": "fp16"})
    assert settled(given, tmp_path) == "fp16"
    assert expected(given, paths) == given
    assert not paths.precision.exists()
    hold(paths, ON_A_GPU)
    assert settled(given, tmp_path) == "fp16"


def test_runs_from_before_there_was_auto_keep_their_names(tmp_path: Path) -> None:
    study = find_study("simcse-bert")
    paths = StudyPaths(tmp_path, study.name)
    make_run(tmp_path, study, 1, np.random.default_rng(0), config=study.configure({"train.precision": "fp32"}))
    assert known(study, paths).config.train.precision == "auto"  # somebody's trial on a laptop
    fp16 = study.configure({"train.precision": "fp16"})
    make_run(tmp_path, study, 2, np.random.default_rng(0), config=fp16)
    assert known(study, paths).config.train.precision == "auto"  # of today: one was asked for, for one call
    earlier = VERSIONS.model_copy(update={"numerics": "1"})
    make_run(tmp_path, study, 1, np.random.default_rng(0), config=fp16, versions=earlier)
    assert known(study, paths).config.train.precision == "fp16"


def test_an_arm_and_its_baseline_have_one_precision(study: Study, tmp_path: Path) -> None:
    method, baseline = StudyPaths(tmp_path, "demo"), StudyPaths(tmp_path, "demo-simcse")
    assert study.with_precision("bf16").baseline_study(AUTO).config.train.precision == "bf16"  # type: ignore[union-attr]
    hold(baseline, ON_A_GPU)  # it was searched before
    assert settled(study, tmp_path) == "bf16"
    assert held_precision(method) == ON_A_GPU


def test_another_value_that_was_found_meanwhile_is_refused(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    hold(paths, ON_A_GPU)
    hold(paths, ON_A_GPU)
    with pytest.raises(RunError, match=r"was begun in bf16 \(NVIDIA H200\) meanwhile, and this command found fp32"):
        hold(paths, HeldPrecision.found("fp32", "without a GPU"))


def test_no_gpu_for_a_worker_is_fp32_wherever_it_is(study: Study, tmp_path: Path) -> None:
    there = Launch(address="127.0.0.1:1", gpus_per_worker=0)  # nobody is asked
    found = find(study, StudyPaths(tmp_path, "demo"), there, print)
    assert found is not None
    assert found.precision == "fp32"


def test_auto_is_nothing_to_search(tiny_study: Study) -> None:
    space = parse_space({"parameters": {"train.precision": ["auto", "fp32"]}}, name="x", where="x")
    with pytest.raises(ConfigError, match=r"space: train.precision: auto is no value of its own"):
        tiny_study.copied(space=space)


def test_training_under_auto_is_the_run_under_what_it_came_to(study: Study, tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, study.name)
    record = train_one(study, paths, 1)
    assert record.config == override(study.config, {"train.precision": "fp32"})
    assert train_one(tiny_study, paths, 1) == record  # by its name: it is not trained again


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_search_and_its_seeds_under_auto_share_runs(study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, study.name)
    check_call(study, paths, SearchOptions(trials=1))
    result = search(study, paths, SearchOptions(trials=1))
    assert result.best.record.config.train.precision == "fp32"
    assert len(load_state(expected(study, paths), paths, 1).done) == 1
    found = find(study, paths, Launch(), print)
    assert found is not None
    arms = planned_arms(study.with_precision(found.precision), paths, TINY | AUTO)
    assert [(arm.origin, arm.config.train.precision) for arm in arms] == [("search", "fp32"), ("method", "fp32")]
    run_seeds(arms[1:], (1,), found=found)
    assert held_precision(arms[1].paths) == found
