"""Records that do not fit their place are named, left out and counted; they block nothing and are never believed."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.single import train_one
from nlcse_tune.launch.spec import run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import keep_record, kept_record, kept_test, ledger
from nlcse_tune.search.state import load_state
from nlcse_tune.study import Study, find_study
from tests.report.made import build, warnings
from tests.synthetic_records import make_run, make_study

METHOD = find_study("visualcse-bert").with_precision("fp16")


def changed(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def cut(path: Path) -> str:
    path.write_text(path.read_text()[:100])
    return "not a readable RunRecord (Invalid JSON"


def newer(path: Path) -> str:
    changed(path, invented="since")
    return "not a readable RunRecord (invented: Extra inputs"


def foreign(path: Path) -> str:
    path.write_text(next(p for p in sorted(path.parent.glob("*.json")) if p != path).read_text())
    return "holds the record of another run"


def other_configuration(path: Path) -> str:
    config = override(METHOD.config, {"text.learning_rate": 9e-5})
    changed(path, config=config.model_dump(mode="json"))
    return "its configuration, data and seed are those of"


def other_data(path: Path) -> str:
    changed(path, data={"text": "t9"})
    return "its configuration, data and seed are those of"


def better(path: Path) -> str:
    changed(path, best_dev=99.9)
    return "its best dev score is 99.9, and that of its curve"


def no_number(path: Path) -> str:
    path.write_text(path.read_text().replace('"score": 7', '"score": 7777', 1).replace('"score": 8', '"score": 8888'))
    return "its dev scores are no Spearman x 100"


HARMS = [cut, newer, foreign, other_configuration, other_data, better, no_number]


@pytest.mark.parametrize("harm", HARMS, ids=lambda harm: harm.__name__)
def test_a_record_that_does_not_fit_is_named_and_left_out(harm: Any, tmp_path: Path) -> None:
    rng, paths = np.random.default_rng(0), StudyPaths(tmp_path, METHOD.name)
    runs = [make_run(tmp_path, METHOD, seed, rng) for seed in (1, 2, 3)]
    path = paths.run(runs[1].run_id).record
    why = harm(path)
    kept = ledger(paths)
    assert [record.seed for record in kept.runs] == [1, 3]
    [line] = kept.left_out
    assert line.startswith(f"{path}: ")
    assert why in line
    assert "http" not in line
    assert "\n" not in line
    assert kept_record(paths.run(runs[1].run_id)) is None
    assert kept_record(paths.run(runs[0].run_id)) == runs[0]


def test_a_report_goes_on_without_it_and_says_so(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    make_study(tmp_path, find_study("simcse-bert"), range(1, 6), rng)
    make_study(tmp_path, METHOD, range(1, 6), rng)
    paths = StudyPaths(tmp_path, METHOD.name)
    run = next(record for record in ledger(paths).runs if record.seed == 2)
    path = paths.run(run.run_id).record
    cut(path)
    tests = paths.run(next(r for r in ledger(paths).runs if r.seed == 3).run_id).test
    changed(tests, run_id=run.run_id)
    paths.search.write_text('{"study": "vis')
    made = build(tmp_path)
    assert made.blocks[0].comparisons[0].method.seeds == (1, 4, 5)
    text = warnings(made)
    assert f"records/{path.name}: not a readable RunRecord" in text
    assert f"tests/{path.name}: has no run record" in text
    assert "search.json: not a readable Choice" in text
    assert f"tests/{tests.name}: holds the scores of another run" in text


def test_scores_of_another_model_than_the_record_names_are_not_its_scores(tmp_path: Path) -> None:
    record = make_run(tmp_path, METHOD, 1, np.random.default_rng(0), best_model="a" * 32)
    run = StudyPaths(tmp_path, METHOD.name).run(record.run_id)
    assert kept_test(run, record) is None  # of an early version's model, and the run was trained again since
    assert kept_test(run, record.model_copy(update={"best_model": None})) is not None
    changed(run.test, model="b" * 32)
    assert kept_test(run, record) is None
    changed(run.test, model="a" * 32)
    assert kept_test(run, record) is not None


def test_what_lies_in_a_records_place_is_moved_aside_not_lost(tmp_path: Path) -> None:
    record = make_run(tmp_path, METHOD, 1, np.random.default_rng(0))
    run = StudyPaths(tmp_path, METHOD.name).run(record.run_id)
    assert keep_record(record, run) == record
    assert len(list(run.record.parent.iterdir())) == 1  # its own former record was simply replaced
    cut(run.record)
    torn = run.record.read_bytes()
    kept = keep_record(record, run)
    [aside] = run.record.parent.glob("*.left-out-*")
    assert aside.read_bytes() == torn
    assert kept.events == (f"no record of this run, moved to {aside.name}",)
    assert ledger(StudyPaths(tmp_path, METHOD.name)) == ([kept], [])


def test_train_does_not_believe_a_foreign_record(tiny_study: Study, tmp_path: Path) -> None:
    """A record of another run under this run's name, dev 99.9: it was returned as the run's own."""
    study = tiny_study.with_overrides({"train.max_steps": 2})
    paths = StudyPaths(tmp_path, study.name)
    spec = run_spec(paths, study.config, 1, fingerprints(study.config))
    other = make_run(tmp_path, study, 2, np.random.default_rng(0), tested=False)
    forged = json.loads(other.model_dump_json()) | {"best_dev": 99.9}
    spec.paths.record.write_text(json.dumps(forged))
    record = train_one(study, paths, 1)
    assert record.run_id == spec.run_id
    assert record.best_dev is not None
    assert record.best_dev < 99
    assert RunRecord.read(spec.paths.record) == record
    assert "moved to" in record.events[-1]


def test_a_search_goes_on_without_it(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    data = fingerprints(tiny_study.config)
    seed = tiny_study.search_seed
    record = make_run(tmp_path, tiny_study, seed, np.random.default_rng(0), data=data, tested=False)
    state = load_state(tiny_study, paths, None)
    assert list(state.done) == [record.run_id]
    cut(paths.run(record.run_id).record)
    state = load_state(tiny_study, paths, None)
    assert (list(state.done), len(state.left_out)) == ([], 1)
