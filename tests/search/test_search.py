"""A search: dev only, each point once, continued from its records."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from nlcse_tune.errors import ConfigError
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.records.progress import Call
from nlcse_tune.search.search import SearchOptions, search
from nlcse_tune.search.state import Candidate, View, load_state
from nlcse_tune.study import Study, find_study
from tests.search.test_state import leave_model, put

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_session")
def test_a_search_ranks_by_dev_and_goes_on_from_its_records(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    seen: list[tuple[Candidate, int, int]] = []

    class Watching(View):
        placed_runs: list[str] = []
        batches: list[int] = []

        def expected(self, batches: Sequence[int], at_a_time: int) -> None:
            self.batches.extend(batches)

        def placed(self, spec: RunSpec) -> None:
            self.placed_runs.append(spec.label)

        def finished(self, candidate: Candidate, done: int, trials: int) -> None:
            seen.append((candidate, done, trials))

    first = search(tiny_study, paths, SearchOptions(trials=3), view=Watching())
    assert [done for _, done, _ in seen] == [1, 2, 3]
    assert Watching.batches == [3]
    assert sorted(label.split()[1] for label in Watching.placed_runs) == ["001", "002", "003"]
    call = Call.read(paths.call)
    assert call is not None
    assert (call.done, call.runs, call.outcome) == (3, 3, "finished")
    scores = [candidate.record.best_dev for candidate in first.candidates]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]
    assert first.trained == 3
    assert any(candidate.point == tiny_study.own_point for candidate in first.candidates)

    choice = json.loads(paths.search.read_text())
    assert choice["run_id"] == first.best.record.run_id
    assert (paths.folder / choice["checkpoint"] / "config.json").is_file()
    assert not paths.tests.exists()  # a search never scores a test set

    again = search(tiny_study, paths, SearchOptions(trials=3))
    assert again.trained == 0
    assert again.candidates == first.candidates

    shutil.rmtree(paths.run(first.best.record.run_id).folder)  # as a search with another winner would
    restored = search(tiny_study, paths, SearchOptions(trials=3))
    assert (paths.folder / choice["checkpoint"] / "config.json").is_file()
    assert restored.best.record.best_dev == first.best.record.best_dev

    more = search(tiny_study, paths, SearchOptions(trials=5))
    assert more.trained == 2
    ids = [record.run_id for record in ledger(paths).runs]
    assert len(ids) == len(set(ids)) == 5


def test_records_of_another_base_do_not_count(tiny_study: Study, tmp_path: Path) -> None:
    from nlcse_tune.launch.worker import run_here

    paths = StudyPaths(tmp_path, tiny_study.name)
    plan = load_state(tiny_study, paths, 3)
    spec = plan.spec(tiny_study.own_point)
    run_here(spec, lambda record: None)
    assert len(load_state(tiny_study, paths, 3).done) == 1
    changed = tiny_study.with_overrides({"train.max_steps": 5})
    assert load_state(changed, paths, 3).done == {}
    assert load_state(tiny_study.model_copy(update={"search_seed": 43}), paths, 3).done == {}


def test_a_search_reads_no_test_scores(tiny_study: Study, tmp_path: Path) -> None:
    """Test records that nobody could read without an error lie beside every run: a search passes them by."""
    state = load_state(tiny_study, StudyPaths(tmp_path, tiny_study.name), 2)
    for i, point in enumerate(list(state.space.points())[:2]):
        run = state.paths.run(put(state, point, 50.0 + i).run_id)
        leave_model(run)
        run.test.parent.mkdir(exist_ok=True)
        run.test.write_text("not a test record")
    result = search(tiny_study, state.paths, SearchOptions(trials=2))
    assert [candidate.record.best_dev for candidate in result.candidates] == [51.0, 50.0]


def test_a_study_without_space_cannot_be_searched(tmp_path: Path) -> None:
    plain = find_study("demo").model_copy(update={"space": None})
    with pytest.raises(ConfigError, match="has no search space"):
        load_state(plain, StudyPaths(tmp_path, "demo"), None)


def test_more_trials_than_points_are_cut_to_the_grid(tiny_study: Study, tmp_path: Path) -> None:
    assert load_state(tiny_study, StudyPaths(tmp_path, "demo"), 1000).trials == 18
    assert load_state(tiny_study, StudyPaths(tmp_path, "demo"), None).trials == 6  # the study says so
