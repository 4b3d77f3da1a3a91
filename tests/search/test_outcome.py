"""What a search leaves beside its records."""

import csv
from pathlib import Path

import pytest

from nlcse_tune import seeds
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.spec import run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, RunRecord
from nlcse_tune.search.outcome import write_best, write_choice, write_trials
from nlcse_tune.search.search import SearchOptions, search
from nlcse_tune.search.state import Candidate, SearchState
from nlcse_tune.space import parse_space
from nlcse_tune.study import Study, find_study
from tests.search.test_state import leave_model, plan_of, points, put


def searched(study: Study, root: Path, *, seed: int = 42, n: int = 3) -> SearchState:
    """A search whose runs are all on record, with their checkpoints: nothing is left to train."""
    study = study.copied(search_seed=seed)
    plan = plan_of(study, root, n)
    for i, point in enumerate(points(study)[:n]):
        leave_model(plan.paths.run(put(plan, point, 50.0 + i, seed).run_id))
    search(study, plan.paths, SearchOptions(trials=n))
    return plan_of(study, root, n)


def test_the_best_is_a_study_that_runs_as_it_is(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any folder: the very run of the search, the search's own choice, the same baseline and space."""
    text = tmp_path / "sentences.txt"
    text.write_text("a sentence\n")
    changed = {"text.data": "sentences.txt", "text.objective": "unsupervised", "text.temperature": 0.07}
    monkeypatch.chdir(tmp_path)
    state = searched(tiny_study.with_overrides(changed), tmp_path / "runs")
    best = state.candidates()[0]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    study = find_study(str(state.paths.best))
    assert study.config == best.record.config
    assert study.config.text.data == str(text)
    assert study.config.text.learning_rate == best.point["text.learning_rate"] != tiny_study.config.text.learning_rate
    assert (study.name, study.baseline, study.space) == ("demo", "demo-simcse", tiny_study.space)
    assert run_spec(state.paths, study.config, 42, fingerprints(study.config)).run_id == best.record.run_id
    method, _ = seeds.planned_arms(study, state.paths, {})
    assert (method.origin, method.config) == ("search", best.record.config)


def test_published_numbers_stay_with_the_study_as_written(tmp_path: Path) -> None:
    """What was searched may be another configuration: `--set` changes what no published number is of."""
    study = find_study("visualcse-bert")
    assert study.published is not None
    state = SearchState(study, StudyPaths(tmp_path, study.name), 42, {}, 1)
    record = RunRecord.model_construct(run_id="0123456789ab-s42", status="completed", best_dev=50.0)
    write_best(state, Candidate(study.own_point, record), (50.0, 51.0))
    assert "dev 50.50 (n=2)" in state.paths.best.read_text().splitlines()[0]
    assert find_study(str(state.paths.best)).published is None


def test_every_run_is_a_row_of_the_table(tiny_study: Study, tmp_path: Path) -> None:
    space = parse_space(
        {"parameters": {"side.loss": ["supcon", "simclr"],
                        "side.temperature": {"values": [0.1, 0.2], "when": {"side.loss": "simclr"}}}},
        name="two-losses", where="test",
    )  # fmt: skip
    plan = plan_of(tiny_study.copied(space=space), tmp_path, 3)
    first, second, third = plan.study.space.points()  # type: ignore[union-attr]
    put(plan, first, 50.0)
    put(plan, second, 51.0)
    untrained = {"dev_curve": (), "best_step": None, "best_dev": None, "error": "a loss, of NaN"}
    failed = put(plan, third, 0.0, status="failed").model_copy(update=untrained)
    failed.write(plan.paths.run(failed.run_id).record)
    put(plan, second, 49.0, seed=43)
    put(plan, second, 48.0, seed=1)  # a run of `seeds`, and none of the search's
    write_trials(plan_of(plan.study, tmp_path, 3), 2)
    with plan.paths.trials.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    told = [(r["status"], r["side.loss"], r["side.temperature"], r["dev"], r["seed"], r["error"]) for r in rows]
    assert told == [
        ("completed", "simclr", "0.1", "51.0", "42", ""),
        ("completed", "supcon", "", "50.0", "42", ""),
        ("failed", "simclr", "0.2", "", "42", "a loss, of NaN"),
        ("completed", "simclr", "0.1", "49.0", "43", ""),
    ]
    assert {"run_id", "dev_before", "best_step", "steps", "total_steps", "seconds"} <= rows[0].keys()


def test_seeds_that_earlier_searches_chose_by_are_not_fresh(tiny_study: Study, tmp_path: Path) -> None:
    searched(tiny_study, tmp_path, seed=7)
    state = searched(tiny_study, tmp_path, seed=2)
    choice = Choice.read(state.paths.search)
    assert choice is not None
    assert (choice.seed, choice.former_seeds) == (2, (7,))
    assert choice.search_seeds == {2, 7}
    again = searched(tiny_study, tmp_path, seed=2)
    assert Choice.read(again.paths.search) == choice  # its own seed is no former one
    arms = seeds.planned_arms(tiny_study, state.paths, {})
    assert seeds._fresh_seeds(arms, 6) == (1, 3, 4, 5, 6, 8)


def test_a_choice_that_cannot_be_read_is_replaced(tiny_study: Study, tmp_path: Path) -> None:
    state = searched(tiny_study, tmp_path)
    state.paths.search.write_text(state.paths.search.read_text()[:40])
    write_choice(state, state.candidates()[0], (52.0,))
    choice = Choice.read(state.paths.search)
    assert choice is not None
    assert choice.dev_by_seed == {42: 52.0}
