"""A seed study: what is repeated, what is missing, what is tested, and the table at the end."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import records, stats
from nlcse_tune.cli.options import parse_seeds
from nlcse_tune.config import override
from nlcse_tune.data.catalog import fingerprint, fingerprints
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.launch.spec import SeedsView
from nlcse_tune.names import TestName
from nlcse_tune.paths import StudyPaths, last_searched
from nlcse_tune.records import Choice, TestRecord
from nlcse_tune.records.ledger import is_whole, kept_test, ledger, read_openings
from nlcse_tune.report import build, markdown
from nlcse_tune.saved_model import seal
from nlcse_tune.search.state import SearchState, load_state
from nlcse_tune.seeds import (
    PlannedArm,
    adopt_setting,
    declare,
    missing_runs,
    outdated,
    planned_arms,
    report_options,
    run_seeds,
    until_decided,
)
from nlcse_tune.space import Point
from nlcse_tune.study import Confirm, Study, find_study
from tests.conftest import TINY
from tests.search.test_state import put
from tests.synthetic_records import VERSIONS, make_run


def test_what_an_arm_cannot_be_trained_on_is_found_before_ray(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nlcse_tune.seeds.open_pool", lambda launch: pytest.fail("Ray was started"))
    values = {**TINY, "text.data": str(tmp_path / "none.txt")}
    arms = planned_arms(tiny_study.with_overrides(values), StudyPaths(tmp_path, "demo"), values)
    with pytest.raises(DataError, match=r"none.txt: no such file"):
        run_seeds(arms, (1, 2))
    assert not arms[0].paths.openings.exists()


def test_a_baseline_without_search_takes_the_methods_text_settings(tiny_study: Study, tmp_path: Path) -> None:
    method, baseline = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    assert (method.origin, baseline.origin) == ("study", "method")
    assert baseline.config.side is None
    assert baseline.config.text == method.config.text
    assert baseline.config.train == method.config.train
    assert baseline.paths.study == "demo-simcse"


def test_a_search_result_is_used_if_it_is_of_this_very_study(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    plan = load_state(tiny_study, paths, 3)
    point = {**tiny_study.own_point, "text.learning_rate": 3e-3}
    chosen = plan.study.configure(point)
    choice_of(plan, point).write(paths.search)
    method, baseline = planned_arms(tiny_study, paths, TINY)
    assert (method.origin, baseline.origin) == ("search", "method")
    assert method.config == chosen
    assert baseline.config.text.learning_rate == 3e-3
    assert last_searched(paths.root) == "demo"
    scored = tiny_study.with_overrides({"eval.setting": "wmean", "train.micro_batch": 8})
    assert planned_arms(scored, paths, TINY)[0].origin == "search"  # how it is scored is no other study
    assert planned_arms(scored, paths, TINY)[0].config.eval.setting == "wmean"
    other = tiny_study.with_overrides({"train.max_steps": 7})
    assert planned_arms(other, paths, {**TINY, "train.max_steps": 7})[0].origin == "changed"
    paths.search.write_text("{")
    with pytest.raises(DataError, match="not a readable Choice"):
        planned_arms(tiny_study, paths, TINY)


def choice_of(plan: SearchState, point: Point) -> Choice:
    """What a search of one point would leave."""
    name = plan.spec(point).run_id
    return Choice(
        study=plan.study.name, run_id=name, point=point, dev=50.0, config=plan.study.configure(point), data=plan.data,
        seed=plan.seed, searched=1, checkpoint=f"checkpoints/{name}/best",
    )  # fmt: skip


def test_a_baseline_study_stands_alone(tmp_path: Path) -> None:
    assert len(planned_arms(find_study("demo-simcse"), StudyPaths(tmp_path, "demo-simcse"), {})) == 1


def test_seed_lists() -> None:
    assert parse_seeds("7,8,9") == (7, 8, 9)
    with pytest.raises(ConfigError, match="whole numbers"):
        parse_seeds("7;8")


def test_runs_of_another_version_count_only_when_asked(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    monkeypatch.setattr(records, "NUMERICS", "0")
    older = VERSIONS.model_copy(update={"numerics": "0"})
    for arm in arms:
        plan = load_state(tiny_study, arm.paths, 3)
        data = fingerprints(arm.config)
        name = records.run_id(arm.config, 1, data)
        record = put(plan, tiny_study.own_point, 50.0).model_copy(
            update={"run_id": name, "config": arm.config, "data": data, "seed": 1, "versions": older}
        )
        record.write(arm.paths.run(name).record)
        prints = {task: fingerprint("synthetic") for task in arm.config.eval.tasks}
        tested = TestRecord(
            run_id=name, opened=records.now(), setting="all", scores={}, data=prints, versions=record.versions
        )
        tested.write(arm.paths.run(name).test)
    monkeypatch.setattr(records, "NUMERICS", "1")
    assert len(missing_runs(arms, (1, 2))) == 4
    assert [spec.seed for spec in missing_runs(arms, (1, 2), any_version=True)] == [2, 2]


def test_another_setting_or_another_test_set_is_scored_again(tiny_study: Study, tmp_path: Path) -> None:
    arm = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)[0]
    data = fingerprints(arm.config)
    spec = arm.spec(1)
    make_run(tmp_path, tiny_study, 1, np.random.default_rng(0), config=arm.config, data=data, tested=False)
    test = TestRecord(
        run_id=spec.run_id, opened="", setting="all", scores={}, versions=VERSIONS,
        data={task: fingerprint("synthetic") for task in arm.config.eval.tasks},
    )  # fmt: skip
    test.write(spec.paths.test)
    assert missing_runs([arm], (1,)) == []
    other_setting = replace(arm, config=override(arm.config, {"eval.setting": "wmean"}))
    assert [s.run_id for s in missing_runs([other_setting], (1,))] == [spec.run_id]
    adopt_setting(other_setting)  # the record holds the scores of every setting
    assert missing_runs([other_setting], (1,)) == []
    adopt_setting(arm)
    assert records.TestRecord.read(spec.paths.test) == test
    fewer = replace(arm, config=override(arm.config, {"eval.tasks": ["sts12"]}))
    assert missing_runs([fewer], (1,)) == []
    test.model_copy(update={"data": {**test.data, "sickr": "of old"}}).write(spec.paths.test)
    assert [s.run_id for s in missing_runs([arm], (1,))] == [spec.run_id]
    assert missing_runs([fewer], (1,)) == []
    assert outdated([arm], (2, 3)) == []  # its model is gone, and nobody asked to train it again
    spec.paths.best.mkdir(parents=True)
    seal(spec.paths.best, "cls", head_at_test=False)
    assert [s.run_id for s in outdated([arm], (2, 3))] == [spec.run_id]
    assert outdated([arm], (1, 2)) == []  # `missing_runs` has it
    assert outdated([fewer], (2, 3)) == []


class Seeds:
    """Plays `run_seeds`: each seed's run and its test scores, `gap` points apart, are on record at once."""

    def __init__(self, arms: Sequence[PlannedArm], root: Path, gap: float) -> None:
        self.arms, self.root, self.gap = arms, root, gap
        self.rounds: list[tuple[int, ...]] = []
        self.rng = np.random.default_rng(3)

    def __call__(self, seeds: Sequence[int]) -> None:
        new = [seed for seed in seeds if not any(seed in earlier for earlier in self.rounds)]
        self.rounds.append(tuple(seeds))
        for seed in new:
            for arm, shift in zip(self.arms, (self.gap, 0.0), strict=True):
                data = fingerprints(arm.config)
                make_run(self.root, arm.study, seed, self.rng, config=arm.config, shift=shift, data=data)


class Watching(SeedsView):
    """Keeps the rule as it was told, and after each look."""

    def __init__(self) -> None:
        self.rules: list[records.KeptRule] = []

    def rule(self, kept: records.KeptRule, new: bool) -> None:
        self.rules, self.new = [kept], new

    def looked(self, kept: records.KeptRule) -> None:
        self.rules.append(kept)


@pytest.mark.parametrize(("gap", "found"), [(3.0, True), (0.0, False)])
def test_until_decided_looks_where_its_rule_says_and_stops_there(
    tiny_study: Study, tmp_path: Path, gap: float, found: bool
) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    launch, view = Seeds(arms, tmp_path, gap), Watching()
    decision = until_decided(arms, 3, 8, launch=launch, view=view)
    seen = view.rules[-1].taken
    assert decision.significant is found
    assert decision.stop
    assert launch.rounds == [tuple(range(1, n + 1)) for n in range(3, decision.n + 1)]
    assert [look.n for look in seen] == [len(seeds) for seeds in launch.rounds]
    if not found:
        assert decision.n == 8
    made = build([tiny_study], tmp_path, report_options(arms))
    gaps = made.blocks[0].comparisons[0].gaps["avg"]
    assert gaps.result is not None
    assert seen[-1].p == gaps.result.p
    text = markdown(made)
    assert "rule fixed beforehand" in text
    assert ("the rule found a difference" in text) is found


@pytest.mark.parametrize("test", ["paired", "welch"])
def test_a_rule_uses_the_declared_test(tiny_study: Study, tmp_path: Path, test: TestName) -> None:
    study = tiny_study.copied(confirm=Confirm(test=None if test == "paired" else test, level=0.04))
    arms = planned_arms(study, StudyPaths(tmp_path, "demo"), TINY)
    launch, view = Seeds(arms, tmp_path, 0.0), Watching()
    three = tiny_study.copied(confirm=Confirm(test="student", columns=("avg", "stsb")))
    with pytest.raises(
        ConfigError, match="declares student on avg, stsb; a stopping rule knows welch and paired, on avg"
    ):
        until_decided([replace(arms[0], study=three), arms[1]], 4, 9, launch=launch)
    decision = until_decided(arms, 3, 6, launch=launch, view=view)
    kept = view.rules[-1]
    assert (kept.rule.test, kept.rule.alpha) == (test, 0.04)
    made = build([study], tmp_path, report_options(arms))
    arm, other = made.comparisons[0].method, made.comparisons[0].baseline
    own = [list(a.scores("avg", study.config.eval.tasks).values()) for a in (arm, other)]
    assert decision.p == pytest.approx((stats.paired_t if test == "paired" else stats.welch_t)(*own).p)
    text = markdown(made)
    assert f"p = {decision.p:.4f} against a bound of {decision.bound:.5f}" in text.splitlines()[0]


def test_a_rule_of_an_earlier_version_is_read_and_kept_to(tiny_study: Study, tmp_path: Path) -> None:
    """Welch's, with a first look that can never stop, and without the fields that came later."""
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    keys = arms[0].key, arms[1].key
    rule = {"test": "welch", "spending": "obrien-fleming", "alpha": 0.05, "looks": [2, 4], "bounds": [0.0, 0.049]}
    scored = f'the "all" average of {", ".join(tiny_study.config.eval.tasks)}'
    path = arms[0].paths.rule(keys)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"keys": keys, "scored": scored, "seeds": [1, 2, 3, 4], "rule": rule}))
    view = Watching()
    decision = until_decided(arms, 3, 9, launch=Seeds(arms, tmp_path, 3.0), view=view)
    assert (view.new, decision.n, view.rules[-1].rule.test) == (False, 4, "welch")


def test_one_look_over_fresh_seeds_is_a_fixed_number(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    launch, view = Seeds(arms, tmp_path, 3.0), Watching()
    launch((1, 2, 3))  # a pilot
    decision = until_decided(arms, 4, 4, launch=launch, view=view)
    assert (decision.n, view.rules[0].seeds) == (4, (4, 5, 6, 7))
    assert 0.048 < decision.bound <= 0.05


def declarations(arms: Sequence[PlannedArm]) -> list[records.Declaration]:
    return list((records.Declarations.read(arms[0].paths.declarations) or records.Declarations()).made)


def test_what_is_tested_is_written_down_before_and_never_replaced(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    declare(arms, 5)
    declare(arms, 5)
    [first] = declarations(arms)
    assert (first.test, first.columns, first.margin, first.looks, first.openings) == ("paired", ("avg",), 0.5, (5,), 0)
    records.log_opening(arms[0].paths, [arms[0].spec(1).run_id], by="seeds")
    records.log_opening(arms[0].paths, ["0123456789ab-s1"], by="seeds")  # another configuration's
    declare(arms, 5)
    assert declarations(arms) == [first]
    study = tiny_study.copied(confirm=Confirm(test="welch", margin=1.0))
    declare([replace(arms[0], study=study), arms[1]], 10)
    assert declarations(arms)[0] == first
    assert [(d.test, d.margin, d.looks, d.openings) for d in declarations(arms)[1:]] == [("welch", 1.0, (10,), 1)]
    other = [replace(arms[0], config=override(arms[0].config, {"text.batch_size": 8})), arms[1]]
    declare(other, 5)  # another configuration is another comparison, and its text stream is its own
    assert [(d.test, d.openings) for d in declarations(arms)[2:]] == [("welch", 0)]
    declare(arms[1:], 5)
    assert not arms[1].paths.declarations.exists()


def test_a_seed_study_declares_before_it_opens_anything(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pool(launch: object) -> None:
        raise RunError("no pool")

    monkeypatch.setattr("nlcse_tune.seeds.open_pool", no_pool)
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    with pytest.raises(RunError, match="no pool"):
        run_seeds(arms, (1, 2, 3))
    assert [d.looks for d in declarations(arms)] == [(3,)]
    assert not arms[0].paths.openings.exists()


def test_a_rule_goes_on_as_it_was_begun(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    launch, view = Seeds(arms, tmp_path, 0.0), Watching()

    def interrupted(seeds: Sequence[int]) -> None:
        if len(seeds) > 3:
            raise KeyboardInterrupt
        launch(seeds)

    with pytest.raises(KeyboardInterrupt):
        until_decided(arms, 3, 6, launch=interrupted)
    last = until_decided(arms, 5, 20, launch=launch, view=view)
    assert last.n == 6
    assert (view.rules[0].rule.looks, view.new) == ((3, 4, 5, 6), False)
    other = [replace(arm, config=override(arm.config, {"eval.setting": "mean"})) for arm in arms]
    with pytest.raises(ConfigError, match="would be a second look at the same seeds"):
        until_decided(other, 3, 6, launch=launch)


def test_a_rule_counts_no_seed_that_was_looked_at(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    study = arms[0].study.model_copy(update={"search_seed": 7})
    arms = [replace(arms[0], study=study), arms[1]]
    launch, view = Seeds(arms, tmp_path, 0.0), Watching()
    launch((1, 2, 3, 4, 5))
    until_decided(arms, 3, 4, launch=launch, view=view)
    assert (view.rules[0].seeds, view.new) == ((6, 8, 9, 10), True)
    assert launch.rounds[1:] == [(6, 8, 9), (6, 8, 9, 10)]
    assert "Seeds 1-5, tested apart from the rule, are no part of its looks." in markdown(
        build([study], tmp_path, report_options(arms))
    )


def test_a_rule_asks_for_every_score(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    launch = Seeds(arms, tmp_path, 0.0)
    with pytest.raises(RunError, match="looks at 3 seeds per arm, and not all have scores"):
        until_decided(arms, 3, 6, launch=lambda seeds: launch(seeds[:-1]))
    with pytest.raises(ConfigError, match="no baseline to decide against"):
        until_decided(arms[1:], 3, 6, launch=launch)


def test_no_search_yet(tmp_path: Path) -> None:
    assert last_searched(tmp_path) is None


@pytest.mark.ray
def _check_a_damaged_model_is_trained_again(arms: Sequence[PlannedArm]) -> None:
    """A flipped byte in one best model, a cut one in another: both runs are trained and tested again."""
    before = {record.run_id: record for record in ledger(arms[0].paths).runs}
    for seed, harm in ((1, "flipped"), (2, "cut")):
        run = arms[0].spec(seed).paths
        run.test.unlink()
        weights = run.best / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content if harm == "flipped" else content[: len(content) // 2])
    run_seeds(arms, (1, 2))
    assert missing_runs(arms, (1, 2)) == []
    for record in ledger(arms[0].paths).runs:
        assert is_whole(record, arms[0].paths.run(record.run_id))
        assert record.best_model == before[record.run_id].best_model
        assert [(point.step, point.score) for point in record.dev_curve] == [
            (point.step, point.score) for point in before[record.run_id].dev_curve
        ]
        assert "trained again: its best model was not as it was written (model.safetensors" in record.events[0]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_a_seed_study_that_ends_before_any_scoring_has_opened_nothing(tiny_study: Study, tmp_path: Path) -> None:
    values = {**TINY, "train.precision": "fp16"}  # refused on a CPU, in the trial
    arms = planned_arms(tiny_study.with_overrides(values), StudyPaths(tmp_path, "demo"), values)
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        run_seeds(arms, (1,))
    assert [read_openings(arm.paths) for arm in arms] == [([], 0)] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
def test_seeds_train_test_and_are_not_run_twice(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, "demo")
    arms = planned_arms(tiny_study, paths, TINY)
    assert [spec.seed for spec in missing_runs(arms, (1, 2))] == [1, 1, 2, 2]
    run_seeds(arms, (1, 2))
    assert missing_runs(arms, (1, 2)) == []
    assert len(missing_runs(arms, (1, 2, 3))) == 2
    for arm in arms:
        tested = []
        for record in ledger(arm.paths).runs:
            card = kept_test(arm.paths.run(record.run_id), record)
            assert card is not None
            assert card.model == record.best_model is not None
            tested.append(card.run_id)
            assert set(card.scores) == set(record.config.eval.tasks)
            assert card.average(record.config.eval.tasks) is not None
            assert set(card.geometry) == {"alignment", "uniformity"}
            kept = np.load(arm.paths.run(record.run_id).similarities)
            assert kept["stsb"].shape == kept["gold_stsb"].shape == (card.scores["stsb"].pairs,)
        [opening], unreadable = read_openings(arm.paths)  # one command, a line a run
        assert sorted(opening.runs) == sorted(tested)
        assert len(tested) == len(arm.paths.openings.read_text().splitlines()) == 2
        assert unreadable == 0
    _check_a_damaged_model_is_trained_again(arms)
    table = markdown(build([tiny_study], tmp_path, report_options(arms)))
    assert "demo-simcse" in table
    assert "n = 2" in table or "2 seeds" in table
    with pytest.raises(ConfigError, match="must differ"):
        run_seeds(arms, (1, 1))
