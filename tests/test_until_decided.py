"""Seeds in rounds: the rule, what it counts, and what is declared before anything is tested."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import records, stats
from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.launch.events import SeedsView
from nlcse_tune.names import TestName
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import log_opening
from nlcse_tune.report import build, markdown
from nlcse_tune.seeds import (
    PlannedArm,
    declare,
    planned_arms,
    report_options,
    run_seeds,
    until_decided,
)
from nlcse_tune.study import Confirm, Study
from tests.conftest import TINY
from tests.synthetic_records import VERSIONS, make_run


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
    opening = records.Opening.by_this_command("seeds")
    for run in (arms[0].spec(1).run_id, arms[0].spec(2).run_id, "0123456789ab-s1"):  # the last: another configuration's
        log_opening(arms[0].paths, opening, run)
    log_opening(arms[0].paths, records.Opening.by_this_command("seeds"), "0123456789ab-s1")
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


def test_scores_under_other_numerics_were_scores_before_a_declaration(tiny_study: Study, tmp_path: Path) -> None:
    arms = planned_arms(tiny_study, StudyPaths(tmp_path, "demo"), TINY)
    method, earlier = arms[0], VERSIONS.model_copy(update={"numerics": "0"})
    run = make_run(
        tmp_path, method.study, 1, np.random.default_rng(1), config=method.config, data=method.data, versions=earlier
    )
    log_opening(method.paths, records.Opening.by_this_command("seeds"), run.run_id)
    assert run.run_id != method.spec(1).run_id
    declare(arms, 5)
    assert [d.openings for d in declarations(arms)] == [1]


def test_a_seed_study_declares_before_it_opens_anything(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_pool(*_: object, **__: object) -> None:
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
