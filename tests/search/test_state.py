"""What a search knows before Ray starts: its points, what was run, what was under way, and whether there is room."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from nlcse_tune.cli.show_search import overview
from nlcse_tune.config.fields import override
from nlcse_tune.errors import ConfigError, DataError, RunError, StorageError
from nlcse_tune.files import locked
from nlcse_tune.launch.single import train_one
from nlcse_tune.launch.spec import run_spec
from nlcse_tune.paths import RunPaths, StudyPaths
from nlcse_tune.records import BegunRun, DevPoint, RunRecord, now
from nlcse_tune.records.ledger import ledger
from nlcse_tune.saved_model import seal
from nlcse_tune.search import disk
from nlcse_tune.search.journal import importances
from nlcse_tune.search.search import SearchRuns, make_sampler, search
from nlcse_tune.search.state import (
    MANY,
    SearchOptions,
    SearchState,
    View,
    budget,
    check_call,
    complete_point,
    last_choice,
    load_state,
    prior,
    remarks,
    repetitions,
)
from nlcse_tune.space import Point, load_space, parse_space, spoken
from nlcse_tune.study import Study, find_study, resolve
from nlcse_tune.versions import versions


@pytest.fixture
def one_class(tmp_path: Path) -> Path:
    """A folder of pictures with a single class."""
    folder = tmp_path / "pictures" / "cat"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (20, 20)).save(folder / f"{number}.jpg")
    return folder.parent


def test_what_a_point_cannot_be_trained_on_is_found_before_ray(
    tiny_study: Study, tmp_path: Path, one_class: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlcse_tune.launch.single.run_here", lambda *arguments: pytest.fail("training began"))
    values = {"side.data": str(one_class), "side.loss": "simclr"}
    study, paths = tiny_study.with_overrides(values), StudyPaths(tmp_path, "demo")
    check_call(study, paths, SearchOptions())
    losses = parse_space({"parameters": {"side.loss": ["simclr", "supcon"]}}, name="losses", where="losses")
    with pytest.raises(DataError, match="holds one class, and side.loss supcon learns"):
        check_call(study.copied(space=losses), paths, SearchOptions())
    with pytest.raises(DataError, match="holds one class, and side.loss supcon learns"):
        train_one(study.with_overrides({"side.loss": "supcon"}), paths, 1)
    (one_class / "cat" / "2.jpg").write_bytes(b"no picture")
    for call in (partial(check_call, study, paths, SearchOptions()), partial(train_one, study, paths, 1)):
        with pytest.raises(DataError, match=r"cat/2.jpg: not readable as an image"):
            call()


def plan_of(study: Study, root: Path, trials: int | None = None) -> SearchState:
    return load_state(study, StudyPaths(root, study.name), trials)


def put(plan: SearchState, point: Point, dev: float, seed: int = 42, status: str = "completed") -> RunRecord:
    """A record as a run would leave it."""
    record = RunRecord(
        run_id=plan.spec(point, seed).run_id, study=plan.study.name, seed=seed,
        config=plan.study.configure(point), status=status,  # type: ignore[arg-type]
        dev_curve=(DevPoint(step=4, score=dev),), best_dev=dev, best_step=4,
        steps=4, total_steps=4, data=plan.data, versions=versions("cpu"), finished=now(),
    )  # fmt: skip
    record.write(plan.paths.run(record.run_id).record)
    return record


def leave_model(run: RunPaths) -> None:
    """A best model, as a run leaves it."""
    run.best.mkdir(parents=True, exist_ok=True)
    seal(run.best, "avg", head_at_test=False)


def points(study: Study) -> list[Point]:
    assert study.space is not None
    return list(study.space.points())


def test_the_budget_is_two_thirds_of_a_large_grid_and_all_of_a_small_one() -> None:
    assert budget(find_study("visualcse-bert"), None) == 36  # of 54
    assert budget(find_study("visualcse-bert"), 1000) == 54
    assert budget(find_study("simcse-bert"), None) == 9
    assert budget(find_study("demo"), None) == 6  # as the study says


@pytest.mark.parametrize(
    ("study", "space", "values", "expected"),
    [
        ("visualcse-bert", "released-grid", {}, r"side.weight \(omega\) is searched and nearly inert under two AdamWs"),
        ("visualcse-bert-sum", "released-grid", {}, r"side.learning_rate is searched and plays no part"),
        ("simcse-bert", "text-grid", {"text.batch_size": 512}, r"own point is not in .* text-grid .*batch_size=512"),
    ],
)
def test_a_search_says_what_it_does_unexpectedly(
    study: str, space: str, values: dict[str, object], expected: str
) -> None:
    searched = find_study(study).copied(space=load_space(resolve("search_spaces", space))).with_overrides(values)
    (line,) = remarks(searched)
    assert re.search(expected, line)


def test_a_search_notes_its_remarks(tiny_study: Study, tmp_path: Path) -> None:
    """Before Ray: what is asked for is on record already."""
    study = tiny_study.copied(space=parse_space({"parameters": {"side.weight": [0.5, 2.0]}}, name="w", where="w"))
    noted: list[str] = []

    class Listening(View):
        def note(self, text: str) -> None:
            noted.append(text)

    plan = plan_of(study, tmp_path, 1)
    record = put(plan, {"side.weight": 0.5}, 50.0)
    leave_model(plan.paths.run(record.run_id))
    search(study, plan.paths, SearchOptions(trials=1), view=Listening())
    assert [line for line in noted if "omega" in line] == [f"  {remarks(study)[1]}"]


def test_defaults_follow_the_number_of_points() -> None:
    assert [SearchOptions().seeds_for(points) for points in (MANY - 1, MANY)] == [1, 3]
    assert [SearchOptions().scheduler_for(points) for points in (MANY - 1, MANY)] == ["none", "asha"]
    assert SearchOptions(select_seeds=1).seeds_for(MANY) == 1
    assert SearchOptions(scheduler="none").scheduler_for(MANY) == "none"
    demo = SearchOptions(trials=18).on_equal_terms(find_study("demo"))  # the baseline's space has six points alone
    assert (demo.trials, demo.scheduler, demo.select_seeds) == (18, "asha", 3)


def test_a_run_that_was_under_way_comes_first(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    begun, finished = points(tiny_study)[5], points(tiny_study)[7]
    for point in (begun, finished):
        plan.begin(plan.spec(point))
    put(plan, finished, 50.0)
    (plan.paths.run("of-another-version-s42").begun).parent.mkdir()
    plan.paths.run("of-another-version-s42").begun.write_text('{"config": {"text": {"gone": 1}}, "seed": 42}')
    again = plan_of(tiny_study, tmp_path)
    assert again.under_way == [begun]
    assert make_sampler(again, SearchOptions()).ask() == begun
    other = tiny_study.with_overrides({"train.max_steps": 5})
    assert plan_of(other, tmp_path).under_way == []


def test_points_to_try_are_completed_and_checked(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    tried = complete_point(tiny_study, {"text.learning_rate": 3e-4})
    assert tried == {**tiny_study.own_point, "text.learning_rate": 3e-4}
    sampler = make_sampler(plan, SearchOptions(tries=({"text.learning_rate": 3e-4},)))
    assert [sampler.ask(), sampler.ask()] == [tried, tiny_study.own_point]
    with pytest.raises(ConfigError, match="not in the space demo-grid"):
        complete_point(tiny_study, {"text.learning_rate": 7.0})
    with pytest.raises(ConfigError, match=r"side\.weight is not searched by demo-grid"):
        complete_point(tiny_study, {"side.weight": 0.5})


def test_another_search_guides_this_one_where_its_points_lie_in_the_space(tiny_study: Study, tmp_path: Path) -> None:
    earlier = plan_of(tiny_study, tmp_path)
    own = tiny_study.own_point
    best, shared, *rest = [point for point in points(tiny_study) if point != own][3:9]
    for point, dev in zip((best, shared, *rest), (70.0, 60.0, 50.0, 51.0, 52.0, 53.0), strict=True):
        put(earlier, point, dev)
    put(earlier, best, 72.0, seed=43)
    put(earlier, own, 99.0, status="stopped")
    put(earlier, {**best, "text.batch_size": 16}, 99.0)  # outside the space
    later = tiny_study.model_copy(update={"name": "later", "config": override(tiny_study.config, {"side.weight": 0.5})})
    plan = plan_of(later, tmp_path)
    known = prior(plan, earlier.paths)
    assert {repr(point): score for point, score in known}[repr(best)] == 71.0  # the mean over its seeds
    assert len(known) == 6

    sampler = make_sampler(plan, SearchOptions(prior=earlier.paths))
    assert [sampler.ask() for _ in range(4)] == [own, best, shared, rest[3]]
    sampler.tell(best, 31.0)
    sampler.ask()
    values = sorted(trial.value for trial in sampler.optuna.trials if trial.value is not None)
    assert values == pytest.approx([10.0, 11.0, 12.0, 13.0, 20.0, 31.0, 31.0])  # shifted by 40 to our level
    with pytest.raises(ConfigError, match="no finished run there is in the space"):
        make_sampler(plan, SearchOptions(prior=StudyPaths(tmp_path, "nothing")))


def test_the_winner_is_a_run_that_finished(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    a, b, c, d = points(tiny_study)[:4]
    for point, dev, status in (
        (a, 60.0, "completed"),
        (b, 70.0, "stopped"),
        (c, 61.0, "completed"),
        (d, 0.0, "failed"),
    ):
        put(plan, point, dev, status=status)
    ranked = [candidate.point for candidate in plan_of(tiny_study, tmp_path).candidates()]
    assert ranked == [c, a, b, d]


def test_two_searches_on_one_folder_do_not_meet(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    code = f"""
import sys, time
from pathlib import Path
from nlcse_tune.files import locked
with locked(Path({str(paths.lock)!r}), "x"):
    print("held", flush=True)
    time.sleep(600)
"""
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"{tiny_study.name} is in use by process {holder.pid} on .*wait for it"):
            search(tiny_study, paths, SearchOptions(trials=1))
    finally:
        holder.kill()  # as hard as it gets: the kernel lets go of the lock
        holder.wait()
    with locked(paths.lock, "x"):
        assert f"process {os.getpid()}" in paths.lock.read_text()


def test_train_and_search_do_not_meet_but_two_trainings_may(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    with locked(paths.lock, "x"), pytest.raises(RunError, match="in use by process"):
        train_one(tiny_study, paths, 7)
    with locked(paths.lock, "x", shared=True):
        record = train_one(tiny_study, paths, 7)
        with pytest.raises(RunError, match="is in use by"):
            search(tiny_study, paths, SearchOptions(trials=1))
    run = paths.run(record.run_id)
    with locked(run.lock, "x"), pytest.raises(RunError, match=f"run {record.run_id} is in use by"):
        train_one(tiny_study, paths, 7)
    assert train_one(tiny_study, paths, 7) == record  # not trained again
    shutil.rmtree(run.folder)
    again = train_one(tiny_study, paths, 7)
    assert run.best.is_dir()
    assert again.dev_curve == record.dev_curve


def test_show_names_the_winner_over_seeds_not_the_best_single_run(
    tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(tiny_study, tmp_path)
    for i, point in enumerate(points(tiny_study)[:5]):
        leave_model(plan.paths.run(put(plan, point, 50.0 + (i if i < 2 else 0)).run_id))
        put(plan, point, 60.0 - 5 * i, seed=43)
    assert last_choice(plan) is None
    search(tiny_study, plan.paths, SearchOptions(trials=5, select_seeds=2))
    capsys.readouterr()
    overview(load_state(tiny_study, plan.paths, 5), figures=True)
    text = capsys.readouterr().out
    own = plan_of(tiny_study, tmp_path)
    chosen = last_choice(own)
    assert chosen is not None
    assert chosen.point == points(tiny_study)[0]
    assert chosen.dev_by_seed == {42: 50.0, 43: 60.0}
    assert len(repetitions(own, chosen.dev_by_seed)) == 5
    assert "winner of the last search: dev 55.00 (seed 42, 43); text.batch_size=32" in text
    assert "for 5 repetitions of the best few" in text
    assert own.candidates()[0].point == points(tiny_study)[1]  # the best single run
    curves = (plan.paths.report / "search-curves.svg").read_text()
    assert "winner" in curves


def test_equal_scores_have_no_importances(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    for point in points(tiny_study)[:5]:
        put(plan, point, 50.0)
    plan = plan_of(tiny_study, tmp_path)
    by_field, runs, _ = importances(plan, plan.candidates())
    assert (by_field, runs) == ({}, 5)


def test_another_search_is_not_averaged_over_what_differs(tiny_study: Study, tmp_path: Path) -> None:
    """A short trial in the same folder, or other data, are on another level."""
    long, short = plan_of(tiny_study, tmp_path), plan_of(tiny_study.with_overrides({"train.max_steps": 2}), tmp_path)
    for point in points(tiny_study)[:3]:
        put(long, point, 57.0)
    for point in points(tiny_study)[:2]:
        put(short, point, 10.0)
    assert [score for _, score in prior(long, long.paths)] == [57.0] * 3


def test_fresh_moves_and_deletes_nothing(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    record = put(plan, tiny_study.own_point, 50.0)
    moved = plan.paths.set_aside()
    assert moved is not None
    assert (moved / "records" / f"{record.run_id}.json").is_file()
    assert plan_of(tiny_study, tmp_path).done == {}
    assert plan.paths.set_aside() is None
    plan.paths.records.mkdir(parents=True)
    (plan.paths.records / "0123456789ab-s42.json").write_text("{}")  # nothing that --fresh would need to read
    assert load_state(tiny_study, plan.paths, None, fresh=True).done == {}


def test_only_the_best_few_keep_their_checkpoints(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    records = [put(plan, point, 50.0 + i) for i, point in enumerate(points(tiny_study)[:4])]
    for record, point in zip(records, points(tiny_study), strict=False):
        plan.begin(plan.spec(point))
        leave_model(plan.paths.run(record.run_id))
    trained_by_hand = plan.paths.run(records[0].run_id)
    trained_by_hand.begun.unlink()
    plan = plan_of(tiny_study, tmp_path)
    disk.clear_checkpoints(plan, keep=2, winner=records[1].run_id)
    left = {folder.name for folder in (plan.paths.folder / "checkpoints").iterdir()}
    assert left == {records[0].run_id, records[1].run_id, records[3].run_id}
    assert len(ledger(plan.paths).runs) == 4


def test_a_disk_without_room_is_refused_with_the_arithmetic(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage(NamedTuple):
        free: int

    plan = plan_of(tiny_study, tmp_path)
    weights = disk.weights_bytes(plan.study.config)
    assert weights is not None
    needed = 2 * 3 * (5 + 1) * weights + 3 * weights  # two at a time, three restart points and models each; three kept
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed))
    disk.check_space(plan, 2, 3, seeds=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed - 1))
    with pytest.raises(StorageError, match=r"GiB free, and this search takes about .*2 runs at a time"):
        disk.check_space(plan, 2, 3, seeds=1)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(needed + 9 * weights - 1))
    with pytest.raises(StorageError, match="12 kept models"):  # six to repeat, and their repetitions
        disk.check_space(plan, 2, 3, seeds=3)


def test_the_weights_of_a_folder_are_its_files(tiny_study: Study, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"x" * 1000)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x" * 5000)
    config = override(tiny_study.config, {"encoder.checkpoint": str(tmp_path)})
    assert disk.weights_bytes(config) == 1000
    assert disk.weights_bytes(override(config, {"encoder.checkpoint": "nobody/has-this"})) is None


def test_a_large_space_is_exhausted_and_says_so(tiny_study: Study, tmp_path: Path) -> None:
    space = parse_space({"parameters": {"text.learning_rate": [1e-4, 3e-4]}}, name="two", where="two")
    study = tiny_study.model_copy(update={"space": space})
    plan = plan_of(study, tmp_path, 100)
    assert plan.trials == 2
    source = SearchRuns(plan, SearchOptions(), View())
    specs = [source.next(), source.next(), source.next()]
    assert specs[2] is None
    assert len({spec.run_id for spec in specs if spec}) == 2
    for point in points(study):
        leave_model(plan.paths.run(put(plan, point, 50.0).run_id))
    found = search(study, plan.paths, SearchOptions(trials=100))
    assert found.exhausted
    assert found.missing == 0


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_space_that_ends_early_is_exhausted_not_unfinished(tiny_study: Study, tmp_path: Path) -> None:
    """Of infinitely many points in name the sampler finds no more: the search has what it wanted."""
    space = parse_space({"parameters": {"text.learning_rate": {"low": 1e-4, "high": 1e-3}}}, name="x", where="x")
    study = tiny_study.copied(space=space)
    plan = plan_of(study, tmp_path, 10)
    with pytest.raises(ConfigError, match="--sampler grid: x has infinitely many points"):
        make_sampler(plan, SearchOptions(method="grid"))

    low = 1e-4
    # No grid, and yet one value alone: Optuna draws from such a range without its upper end.
    two = {"text.learning_rate": {"low": low, "high": math.nextafter(low, 1)}}
    study = tiny_study.copied(space=parse_space({"parameters": two}, name="x", where="x"))
    result = search(study, StudyPaths(tmp_path, study.name), SearchOptions(trials=10, select_seeds=1))
    assert (len(result.candidates), result.missing, result.exhausted, result.unrepeated) == (1, 0, True, False)


def test_the_choice_names_the_seeds_it_was_made_with(tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path)
    for i, point in enumerate(points(tiny_study)[:2]):
        leave_model(plan.paths.run(put(plan, point, 50.0 + i).run_id))
        put(plan, point, 60.0 - 5 * i, seed=43)
    result = search(tiny_study, plan.paths, SearchOptions(trials=2, select_seeds=2))  # all on record: Ray never starts
    assert [standing.scores for _, standing in result.standings] == [(50.0, 60.0), (51.0, 55.0)]
    choice = json.loads(plan.paths.search.read_text())
    assert choice["dev_by_seed"] == {"42": 50.0, "43": 60.0}
    assert result.trained == 0


def test_runs_are_numbered_as_they_are_begun_and_keep_their_number(tiny_study: Study, tmp_path: Path) -> None:
    first, second, third = points(tiny_study)[:3]
    plan = plan_of(tiny_study, tmp_path)
    assert [plan.begin(plan.spec(point)).label.split()[1] for point in (second, first)] == ["001", "002"]
    label = plan.begin(plan.spec(second, 43)).label
    assert label == f"demo 001 {spoken(second)} seed 43"
    assert set(second) == {word.partition("=")[0] for word in label.split() if "=" in word}
    put(plan, second, 50.0)
    again = plan_of(tiny_study, tmp_path)  # as after a kill
    assert [again.begin(again.spec(point)).label.split()[1] for point in (third, second)] == ["003", "001"]
    again.paths.numbers.write_text("{")  # those on record go first where there is no list
    assert again.begin(again.spec(first)).label.split()[1] == "002"
    begun = BegunRun.read(again.spec(first).paths.begun)
    assert begun is not None
    assert begun.label == f"demo 002 {spoken(first)} seed 42"
    assert again.spec(first).run_id == plan.spec(first).run_id


def test_other_runs_are_labelled_by_study_and_seed(tiny_study: Study, tmp_path: Path) -> None:
    assert run_spec(StudyPaths(tmp_path, "mine"), tiny_study.config, 3, {}).label == "mine seed 3"
