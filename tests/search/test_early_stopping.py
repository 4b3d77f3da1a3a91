"""Early stopping: rules on curves, and a real search whose stopped runs say in their records where and why."""

import time
from functools import partial
from pathlib import Path

import pytest

from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.pool import Pool
from nlcse_tune.launch.spec import Resources
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.records.ledger import ledger
from nlcse_tune.search.early_stopping import RULES, Curve, asha, below_median, curve_of, rungs
from nlcse_tune.search.search import search
from nlcse_tune.search.state import Candidate, SearchOptions, View, load_state
from nlcse_tune.study import Study


def flat(score: float, upto: int = 4) -> Curve:
    """A curve at shares 0.25, 0.5, 0.75, 1, cut after `upto` points."""
    return tuple((0.25 * i, score) for i in range(1, upto + 1))


def test_asha_ranks_a_run_once_at_each_rung_among_all_that_came_there() -> None:
    rule = asha
    assert rungs(0.25) == (0.25, 0.75)
    others = [flat(60), flat(61), flat(62, 1), flat(63, 1), flat(64, 1)]
    assert rule(flat(63.5, 1), others) is None  # second of six: two go on
    why = rule(flat(62.5, 1), others)
    assert why == "asha at 25% of the run: dev 62.50 is number 3 of 6 there, 2 go on"
    assert rule(flat(10, 2), others) is None  # at 50% there is no rung, however bad the score
    assert rule(flat(60.5, 3), others) is not None  # at 75% two have come: 60 and 61, and one of three goes on
    assert rule(flat(61.5, 3), others) is None
    assert rule(flat(0, 4), others) is None  # nothing is stopped at its end


def test_the_first_at_a_rung_goes_on_and_of_two_the_better() -> None:
    rule = asha
    assert rule(flat(1, 1), []) is None
    assert rule(flat(1, 1), [flat(2, 1)]) is not None
    assert rule(flat(3, 1), [flat(2, 1)]) is None
    assert rule(flat(2, 1), [flat(2, 1)]) is None  # a tie goes on


def test_shares_compare_runs_of_different_length(tiny_study: Study) -> None:
    """A batch of 256 has a quarter of the steps: its first score may fall between the rungs of the other."""
    rule = asha
    coarse: Curve = ((0.4, 50.0), (0.8, 60.0))
    assert rule(((0.1, 40.0), (0.3, 49.0)), [coarse]) is not None  # 49 at 30% against 50 at 40%
    assert rule(coarse[:1], [((0.1, 40.0), (0.3, 49.0))]) is None


def test_the_median_rule_waits_for_its_grace_and_for_enough_curves() -> None:
    rule = partial(below_median, grace=0.5)
    others = [flat(60), flat(61), flat(62), flat(63)]
    assert rule(flat(1, 1), others) is None
    assert rule(flat(61.4, 2), others) == ("median at 50% of the run: dev 61.40 is below 61.50, the median of 4")
    assert rule(flat(61.5, 2), others) is None
    assert rule(flat(1, 2), others[:3]) is None
    assert rule(flat(1, 4), others) is None


def test_no_rule_stops_nothing() -> None:
    assert RULES["none"](flat(0, 1), [flat(60), flat(61), flat(62), flat(63)], 0.25) is None


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_stopped_run_says_where_and_why_and_the_search_goes_on_from_it(tiny_study: Study, tmp_path: Path) -> None:
    study = tiny_study.with_overrides({"train.max_steps": 8, "train.eval_every": 2})
    paths = StudyPaths(tmp_path, study.name)
    seen: list[Candidate] = []

    class Watching(View):
        def finished(self, candidate: Candidate, done: int, trials: int) -> None:
            seen.append(candidate)

    result = search(study, paths, SearchOptions(trials=6, scheduler="asha"), view=Watching())
    records = {record.run_id: record for record in ledger(paths).runs}
    assert len(records) == len(seen) == 6
    stopped = [record for record in records.values() if record.status == "stopped"]
    assert stopped, "of six runs at two rungs, ASHA has to stop one"
    for record in stopped:
        assert record.total_steps == 8
        assert record.steps in (2, 6)
        assert f"asha at {record.steps / 8:.0%} of the run" in record.events[-1]
        assert len(record.dev_curve) == record.steps // 2
        assert curve_of(record)[-1] == (record.steps / 8, record.best_dev)
    assert result.best.record.status == "completed"
    statuses = [candidate.record.status for candidate in result.candidates]
    assert statuses == sorted(statuses)  # completed before stopped
    again = search(study, paths, SearchOptions(trials=6, scheduler="asha"))
    assert again.trained == 0
    assert again.candidates == result.candidates
    assert_all_resources_are_back()

    # Asked for by `seeds`, the same run is trained whole and tested.
    plan = load_state(study, paths, 6)
    spec = plan.spec(plan.point_of(stopped[0].config))
    told: list[RunRecord | None] = []
    source = ListedRuns([spec], lambda spec, record, done, total: told.append(record))
    Pool(Resources(), 1, None).run(source, paths.ray, then_test=True)
    [record] = told
    assert record is not None
    assert (record.status, record.steps, record.run_id) == ("completed", 8, stopped[0].run_id)
    assert record.dev_curve[: len(stopped[0].dev_curve)] == stopped[0].dev_curve
    assert spec.paths.test.is_file()


def assert_all_resources_are_back() -> None:
    """A stopped run's CPUs are free, and no placement group stays."""
    import ray
    from ray.util import placement_group_table

    for _ in range(100):
        if ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]:
            break
        time.sleep(0.2)
    assert ray.available_resources().get("CPU") == ray.cluster_resources()["CPU"]
    assert {group["state"] for group in placement_group_table().values()} <= {"REMOVED"}
