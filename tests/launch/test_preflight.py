"""fp16 on a machine without GPU is found before data, torch and Ray, where it is certain."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.errors import ConfigError
from nlcse_tune.launch.preflight import check_precision, may_have_gpu
from nlcse_tune.launch.spec import Launch
from nlcse_tune.paths import StudyPaths
from nlcse_tune.search.state import SearchOptions, check_call
from nlcse_tune.space import parse_space
from nlcse_tune.study import Study, find_study
from tests.synthetic_records import make_run


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def test_fp16_is_refused_where_the_runs_are_certain_to_be_on_a_cpu(tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "simcse-bert")
    with pytest.raises(ConfigError, match="train.precision: fp16 needs a GPU and this machine has none"):
        check_precision(["fp16"], paths, here=True)
    check_precision(["bf16", "fp32"], paths, here=True)
    check_precision(["fp16"], paths, here=False)  # a cluster's worker looks itself


def test_fp16_runs_on_record_may_be_all_that_is_wanted(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    study = find_study("simcse-bert")
    paths = StudyPaths(tmp_path, study.name)
    make_run(tmp_path, study, 1, rng, config=study.configure({"train.precision": "fp32"}))
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        check_precision(["fp16"], paths, here=True)
    make_run(tmp_path, study, 1, rng)
    check_precision(["fp16"], paths, here=True)


def test_a_searched_precision_counts_and_not_the_studys_own(tiny_study: Study, tmp_path: Path) -> None:
    space = parse_space({"parameters": {"train.precision": ["fp32", "fp16"]}}, name="x", where="x")
    paths = StudyPaths(tmp_path, tiny_study.name)
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        check_call(tiny_study.copied(space=space), paths, SearchOptions(), Launch())
    check_call(tiny_study, paths, SearchOptions(), Launch())


def test_where_runs_will_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not may_have_gpu()
    assert Launch().here
    assert not Launch(address="auto").here
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert not Launch().here
