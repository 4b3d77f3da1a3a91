"""A seed study: what is repeated, what is missing, what is tested, and the table at the end."""

import json
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import records
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.files import write_json
from nlcse_tune.launch.search import make_plan
from nlcse_tune.launch.seeds import last_searched, missing_runs, parse_seeds, report_options, run_seeds, sides
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import TestRecord
from nlcse_tune.report import build, markdown
from nlcse_tune.study import Study, find_study
from tests.conftest import TINY
from tests.launch.test_plan import put


def test_a_baseline_without_search_takes_the_methods_text_settings(tiny_study: Study, tmp_path: Path) -> None:
    method, baseline = sides(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    assert (method.origin, baseline.origin) == ("study", "method")
    assert baseline.config.side is None
    assert baseline.config.text == method.config.text
    assert baseline.config.train == method.config.train
    assert baseline.paths.study == "demo-simcse"


def test_a_search_result_is_used_if_it_is_of_this_very_study(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    plan = make_plan(tiny_study, paths, 3)
    point = {**tiny_study.own_point, "text.learning_rate": 3e-3}
    chosen = plan.config(point)
    write_json(paths.search, {"config": chosen.model_dump(mode="json"), "point": point})
    method, baseline = sides(tiny_study, paths, TINY)
    assert (method.origin, baseline.origin) == ("search", "method")
    assert method.config == chosen
    assert baseline.config.text.learning_rate == 3e-3
    assert last_searched(paths) == "demo"
    other = tiny_study.with_overrides({"train.max_steps": 7})
    assert sides(other, paths, {**TINY, "train.max_steps": 7})[0].origin == "study"
    paths.search.write_text("{")
    with pytest.raises(DataError, match="not a search's result"):
        sides(tiny_study, paths, TINY)


def test_a_baseline_study_stands_alone(tmp_path: Path) -> None:
    assert len(sides(find_study("demo-simcse"), StudyPaths(tmp_path, "demo-simcse"), {})) == 1


def test_seed_lists() -> None:
    assert parse_seeds("7,8,9") == (7, 8, 9)
    with pytest.raises(ConfigError, match="whole numbers"):
        parse_seeds("7;8")


def test_runs_of_another_version_count_only_when_asked(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = sides(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    monkeypatch.setattr(records, "NUMERICS", "0")
    for side in both:
        plan = make_plan(tiny_study, side.paths, 3)
        data = fingerprints(side.config)
        name = records.run_id(side.config, 1, data)
        record = put(plan, tiny_study.own_point, 50.0).model_copy(
            update={"run_id": name, "config": side.config, "data": data, "seed": 1}
        )
        records.write_record(record, side.paths.run(name))
        tested = TestRecord(
            run_id=name, opened=records.now(), setting="all", scores={}, data={}, versions=record.versions
        )
        records.write_test_record(tested, side.paths.run(name))
    monkeypatch.setattr(records, "NUMERICS", "1")
    assert len(missing_runs(both, (1, 2))) == 4
    assert [spec.seed for spec in missing_runs(both, (1, 2), any_version=True)] == [2, 2]


def test_no_search_yet(tmp_path: Path) -> None:
    assert last_searched(StudyPaths(tmp_path, "")) is None


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_seeds_train_test_and_are_not_run_twice(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    both = sides(tiny_study, paths, TINY)
    assert [spec.seed for spec in missing_runs(both, (1, 2))] == [1, 1, 2, 2]
    run_seeds(both, (1, 2))
    assert missing_runs(both, (1, 2)) == []
    assert len(missing_runs(both, (1, 2, 3))) == 2
    for side in both:
        tested = records.tests_ledger(side.paths)
        assert len(tested) == 2
        for record in records.ledger(side.paths):
            card = tested[record.run_id]
            assert set(card.scores) == set(record.config.eval.tasks)
            assert card.average(record.config.eval.tasks) is not None
            assert set(card.geometry) == {"alignment", "uniformity"}
            kept = np.load(side.paths.run(record.run_id).similarities)
            assert kept["stsb"].shape == kept["gold_stsb"].shape == (card.scores["stsb"].pairs,)
        openings = [json.loads(line) for line in side.paths.openings.read_text().splitlines()]
        assert len(openings) == 1
        assert sorted(openings[0]["runs"]) == sorted(tested)
    table = markdown(build([tiny_study], tmp_path, report_options(both)))
    assert "demo-simcse" in table
    assert "n = 2" in table or "2 seeds" in table
    with pytest.raises(ConfigError, match="must differ"):
        run_seeds(both, (1, 1))
