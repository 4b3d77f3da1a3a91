"""`plan`: seeds and hours for a gap. `compare`: tests from published means, stds and n."""

import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import stats
from nlcse_tune.cli import report as cli_report
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.report.arms import collect, task_order
from nlcse_tune.report.plan import Spread, compare_words, parse_summary, plan_words, seeds_by_gap, spread
from tests.report.made import BASELINE, METHOD, change_test, read_test
from tests.synthetic_records import make_study


def test_plan_needs_two_seeds(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, METHOD, (1,), rng)
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        cli_report.plan(METHOD.name, out=tmp_path)


@pytest.mark.parametrize(("n", "planned"), [(3, False), (4, True), (8, True)])
def test_a_paired_plan_takes_four_shared_seeds_and_has_a_cautious_form(n: int, planned: bool, tmp_path: Path) -> None:
    """Two arms that are alike seed by seed: from three such seeds nobody can know that two are enough."""
    for study, shift in ((METHOD, 0.5), (BASELINE, 0.0)):
        make_study(tmp_path, study, range(1, n + 1), np.random.default_rng(3), shift=shift)
        for seed in range(1, n + 1):  # differences of 0.00 to 0.04
            scores = read_test(tmp_path, study, seed).scores
            moved = {t: s.model_copy(update={"all": s.all + 0.01 * (seed * shift % 3)}) for t, s in scores.items()}
            change_test(tmp_path, study, seed, scores=moved)
    arms = [collect(study, tmp_path) for study in (METHOD, BASELINE)]
    seen = spread(arms[0], arms[1], task_order(arms))
    assert seen.difference is not None
    assert (seen.difference.n, seen.difference.std < 0.02) == (n, True)  # type: ignore[operator]
    small = stats.std_interval(seen.difference, confidence=0.6).high  # a gap that tells the two forms apart
    welch, _, paired, cautious = seeds_by_gap(seen, [small], power=0.8, alpha=0.05)[small]
    said = [line for line in plan_words(seen, 1.0, study="x", power=0.8, alpha=0.05) if line.startswith("paired: ")]
    assert len(said) == 1
    if planned:
        assert welch is None or welch > 100
        assert paired == stats.seeds_needed(partial(stats.power_paired, std_difference=seen.difference.std), small)
        assert cautious == stats.seeds_needed(partial(stats.power_paired, std_difference=small), small)
        assert paired < cautious
        assert f"std of the differences at {n} shared seeds 0.0" in said[0]
    else:
        assert (paired, cautious) == (None, None)
        assert "not planned from 3 shared seeds" in said[0]
        assert "test at least 4 seeds in both" in said[0]


@pytest.mark.parametrize(("alike", "costs"), [(True, False), (False, True)])
def test_a_pilot_that_costs_nothing_is_not_said_to_cost(alike: bool, costs: bool) -> None:
    """Arms with differences of next to nothing against a gap that three seeds show: no more seeds are planned."""
    a = stats.Summary(76.0, 0.02 if alike else 0.9, 5)
    seen = Spread(a, a, None, 7, borrowed=False)
    [said] = [line for line in plan_words(seen, 1.0, study="x", power=0.8, alpha=0.05) if "counted too" in line]
    assert ("of simulated studies, which costs nothing here; `nlcse-tune seeds x" in said) is not costs
    assert ("of simulated studies, not in 5.0%; fresh seeds keep the level: `nlcse-tune" in said) is costs


def test_compare_says_what_rounding_leaves_open() -> None:
    line = list(compare_words(parse_summary("75.74,0.90,5"), parse_summary("76.96,0.38,5")))[1]
    low, high = (float(p) for p in re.findall(r"p = (0\.\d+)", line)[1:])
    assert low < 0.0354 < high
    assert high - low < 0.004


@pytest.mark.parametrize(
    ("baseline", "method"), [("75.74,0.90,5", "76.96,0,5"), ("75.7,0.9,5", "77,0.4,5"), ("75.74,0,3", "75.741,0.9,9")]
)
def test_the_range_that_rounding_leaves_holds_the_p_of_the_numbers_as_printed(baseline: str, method: str) -> None:
    for line in list(compare_words(parse_summary(baseline), parse_summary(method)))[1:3]:
        p, low, high = (float(found) for found in re.findall(r"p = (\d\.\d+)", line))
        assert low <= p <= high


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("75.74,0.90", "must be MEAN,STD,N"),
        ("75.74,x,5", "two numbers and a whole number"),
        ("75.74,0.90,1", "n must be at least 2"),
        ("75.74,-0.9,5", "std: must be"),
        ("nan,0.9,5", "mean: must be"),
    ],
)
def test_compare_refuses_what_is_no_summary(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_summary(text)
