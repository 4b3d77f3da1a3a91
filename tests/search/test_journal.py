"""The search as optuna-dashboard reads it, and importances."""

import json
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint
from nlcse_tune.search.journal import Journal, importances
from nlcse_tune.search.search import SearchRuns
from nlcse_tune.search.state import SearchOptions, View, load_state
from nlcse_tune.space import SearchSpace, ValueList
from nlcse_tune.study import Study
from tests.search.test_state import plan_of, points, put


def loaded(paths: StudyPaths) -> optuna.Study:
    return optuna.load_study(study_name=paths.study, storage=JournalStorage(JournalFileBackend(str(paths.journal))))


def test_each_run_is_a_trial_with_its_curve_live_and_after_a_restart(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path, 4)
    source = SearchRuns(plan, SearchOptions(), View())
    spec = source.next()
    assert spec is not None
    [trial] = loaded(plan.paths).trials
    assert (trial.state.name, trial.user_attrs["run"]) == ("RUNNING", spec.run_id)
    assert trial.params == tiny_study.own_point

    record = put(plan, tiny_study.own_point, 50.0)
    curve = (DevPoint(step=2, score=40.0), DevPoint(step=4, score=50.0))
    assert source.judge(spec, record.model_copy(update={"dev_curve": curve[:1], "status": "running"})) is None
    assert loaded(plan.paths).trials[0].intermediate_values == {2: 40.0}
    source.judge(spec, record.model_copy(update={"dev_curve": curve, "status": "running"}))
    source.done(spec, record)
    [trial] = loaded(plan.paths).trials
    assert (trial.state.name, trial.value, trial.intermediate_values) == ("COMPLETE", 50.0, {2: 40.0, 4: 50.0})

    put(plan, points(tiny_study)[0], 30.0, status="failed")
    lock = plan.paths.journal.with_name("optuna.journal.lock")
    lock.touch()  # as a kill leaves it
    Journal(load_state(tiny_study, plan.paths, 4))
    assert sorted(trial.state.name for trial in loaded(plan.paths).trials) == ["COMPLETE", "FAIL"]


def test_a_later_call_adds_to_the_journal(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path, 6)
    source = SearchRuns(plan, SearchOptions(), View())
    first, second = source.next(), source.next()
    assert first is not None
    assert second is not None
    source.done(first, put(plan, plan.point_of(first.config), 50.0))
    before = plan.paths.journal.read_bytes()
    put(plan, plan.point_of(second.config), 40.0, status="stopped")  # its driver died before it could note it
    put(plan, points(tiny_study)[0], 30.0)
    Journal(load_state(tiny_study, plan.paths, 6))
    after = plan.paths.journal.read_bytes()
    assert after.startswith(before)
    ended = [(t.user_attrs["run"], t.state.name, t.value) for t in loaded(plan.paths).trials]
    assert ended[:2] == [(first.run_id, "COMPLETE", 50.0), (second.run_id, "PRUNED", 40.0)]
    assert ended[2][1:] == ("COMPLETE", 30.0)
    Journal(load_state(tiny_study, plan.paths, 6))
    assert len(loaded(plan.paths).trials) == 3
    assert len(plan.paths.journal.read_bytes()) - len(after) < 500  # nothing is told twice


def test_a_journal_of_another_space_or_of_a_torn_beginning_is_made_anew(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path, 4)
    put(plan, tiny_study.own_point, 50.0)
    Journal(load_state(tiny_study, plan.paths, 4))
    assert tiny_study.space is not None
    rates = tiny_study.space.parameters["text.learning_rate"].listed()
    wider = {**tiny_study.space.parameters, "text.learning_rate": ValueList(values=(*(rates or ()), 5e-3))}
    study = tiny_study.copied(space=SearchSpace(name="wider", parameters=wider))
    journal = Journal(load_state(study, plan.paths, 4))
    assert [trial.value for trial in loaded(plan.paths).trials] == [50.0]
    journal.begin("0123456789ab-s42", {**study.own_point, "text.learning_rate": 5e-3})
    # A kill between the two steps of a beginning leaves a trial that waits for its values.
    journal.study.enqueue_trial(study.own_point, user_attrs={"run": "a"})
    journal = Journal(load_state(study, plan.paths, 4))
    for run in ("a", "b"):
        journal.begin(run, study.own_point)
        journal.end(run, None)
    assert [trial.user_attrs["run"] for trial in loaded(plan.paths).trials[1:]] == ["a", "b"]


@pytest.mark.parametrize("kept", [0.5, 0.9, 0.0])
def test_a_journal_that_cannot_be_read_is_made_anew(tiny_study: Study, tmp_path: Path, kept: float) -> None:
    plan = plan_of(tiny_study, tmp_path, 4)
    for i, point in enumerate(points(tiny_study)[:3]):
        put(plan, point, 50.0 + i)
    Journal(load_state(tiny_study, plan.paths, 4))
    content = plan.paths.journal.read_bytes()
    plan.paths.journal.write_bytes(content[: int(len(content) * kept)] + b"\x00 no journal\n")
    Journal(load_state(tiny_study, plan.paths, 4))
    assert sorted(trial.value for trial in loaded(plan.paths).trials) == [50.0, 51.0, 52.0]


def test_the_dashboard_opens_the_file(tiny_study: Study, tmp_path: Path) -> None:
    from optuna_dashboard import wsgi

    plan = plan_of(tiny_study, tmp_path, 4)
    for i, point in enumerate(points(tiny_study)[:3]):
        put(plan, point, 50.0 + i)
    Journal(load_state(tiny_study, plan.paths, 4))
    application = wsgi(JournalStorage(JournalFileBackend(str(plan.paths.journal))))
    answered: dict[str, Any] = {}
    environment = {
        "REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies/0", "QUERY_STRING": "after=0", "SERVER_NAME": "localhost",
        "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": BytesIO(), "wsgi.url_scheme": "http",
        "wsgi.errors": StringIO(),
    }  # fmt: skip
    body = b"".join(application(environment, lambda status, *rest: answered.update(status=status)))
    assert answered["status"].startswith("200")
    assert sorted(trial["values"] for trial in json.loads(body)["trials"]) == [[50.0], [51.0], [52.0]]


def test_importances_find_the_field_that_matters(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path, 18)
    for i, point in enumerate(points(tiny_study)):
        put(plan, point, 60.0 + 1000 * point["text.learning_rate"] + 0.01 * (i % 3))
    plan = load_state(tiny_study, plan.paths, 18)
    by_field, runs, share = importances(plan, plan.candidates())
    assert (runs, share) == (18, 1.0)
    assert max(by_field, key=lambda name: by_field[name]) == "text.learning_rate"
    assert sum(by_field.values()) == pytest.approx(1.0)
    assert importances(plan, plan.candidates()[:3])[0] == {}


def test_importances_compare_stopped_runs_with_the_others_where_they_stopped(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path, 18)
    for i, point in enumerate(points(tiny_study)):
        record = put(plan, point, 60.0)
        early = 1e5 * point["side.learning_rate"] + 0.01 * (i % 3)
        curve = (DevPoint(step=1, score=early), DevPoint(step=4, score=60.0 + i))
        stopped = point["side.learning_rate"] < 3e-4
        curve = curve[:1] if stopped else curve
        best = max(point.score for point in curve)
        update = {"dev_curve": curve, "best_dev": best, "status": "stopped" if stopped else "completed"}
        record.model_copy(update=update).write(plan.paths.run(record.run_id).record)
    by_field, runs, share = importances(plan, load_state(tiny_study, plan.paths, 18).candidates())
    assert (runs, share) == (18, 0.25)
    assert by_field["side.learning_rate"] > 0.9
