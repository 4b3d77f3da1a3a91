"""The sampler: each point once, the study's own first, rebuilt from records, the same for the same seed."""

import math

import pytest

from nlcse_tune.names import SamplerName
from nlcse_tune.search.sampler import Sampler
from nlcse_tune.space import Point, SearchSpace, parse_space

GRID = {
    "text.batch_size": [64, 128, 256],
    "text.learning_rate": [1e-5, 2e-5, 3e-5],
    "side.weight": [0.1, 0.5, 1.0, 2.0],
}
OWN = {"text.batch_size": 64, "text.learning_rate": 3e-5, "side.weight": 1.0}


def space(parameters: dict[str, object] | None = None) -> SearchSpace:
    return parse_space({"parameters": parameters or GRID}, name="x", where="x")


def score(point: Point) -> float:
    """Best at batch 128, rate 2e-5, weight 0.5."""
    return 80 - abs(math.log2(point["text.batch_size"] / 128)) - abs(point["text.learning_rate"] - 2e-5) * 1e5


def exhaust(sampler: Sampler) -> list[Point]:
    points: list[Point] = []
    while (point := sampler.ask()) is not None:
        points.append(point)
        sampler.tell(point, score(point))
        assert len(points) <= 100
    return points


@pytest.mark.parametrize("method", ["tpe", "random", "grid"])
def test_a_finite_space_is_covered_once_each_and_then_exhausted(method: SamplerName) -> None:
    points = exhaust(Sampler(space(), method, 0, [OWN]))
    assert len(points) == 36
    assert len({repr(sorted(point.items())) for point in points}) == 36
    assert points[0] == OWN


@pytest.mark.parametrize("method", ["tpe", "random", "grid"])
def test_suggestions_depend_on_the_seed_alone(method: SamplerName) -> None:
    first, again, other = (exhaust(Sampler(space(), method, seed, [OWN])) for seed in (1, 1, 2))
    assert first == again
    assert first != other


@pytest.mark.parametrize("method", ["tpe", "random", "grid"])
def test_what_was_learnt_is_never_proposed_again(method: SamplerName) -> None:
    before = exhaust(Sampler(space(), method, 0, [OWN]))[:20]
    sampler = Sampler(space(), method, 0, [OWN])
    for point in before:
        sampler.tell(point, score(point))
    rest = exhaust(sampler)
    assert len(rest) == 16
    assert not any(point in before for point in rest)


def test_tpe_concentrates_on_what_scores_well() -> None:
    continuous = space({"text.learning_rate": {"low": 1e-6, "high": 1e-3, "log": True}})
    sampler = Sampler(continuous, "tpe", 0, [])
    points = []
    for _ in range(40):
        point = sampler.ask()
        assert point is not None
        points.append(point["text.learning_rate"])
        sampler.tell(point, -abs(math.log10(point["text.learning_rate"]) + 4.5))
    late = [abs(math.log10(rate) + 4.5) for rate in points[20:]]
    early = [abs(math.log10(rate) + 4.5) for rate in points[:10]]
    assert sum(late) / len(late) < 0.5 * sum(early) / len(early)


def test_failures_and_nan_are_no_scores() -> None:
    sampler = Sampler(space(), "tpe", 0, [])
    for value in (None, float("nan"), 70.0):
        point = sampler.ask()
        assert point is not None
        sampler.tell(point, value)
    known = [trial for trial in sampler.optuna.trials if trial.state.name != "FAIL"]
    assert [(trial.state.name, trial.value) for trial in known] == [("COMPLETE", 70.0)]


def test_a_stopped_run_counts_as_pruned_with_what_it_reached() -> None:
    sampler = Sampler(space(), "tpe", 0, [])
    point = sampler.ask()
    assert point is not None
    sampler.tell(point, 61.0, stopped_at=0.25)
    assert sampler.optuna.trials[-1].state.name == "PRUNED"
    assert sampler.optuna.trials[-1].intermediate_values == {25: 61.0}


def test_conditional_parameters_are_dropped_where_they_do_not_apply() -> None:
    conditional = space(
        {"side.loss": ["supcon", "simclr"], "side.weight": {"values": [0.1, 1.0], "when": {"side.loss": "supcon"}}}
    )
    points = exhaust_plain(Sampler(conditional, "tpe", 0, []))
    assert len(points) == 3
    assert {"side.loss": "simclr"} in points


def test_an_infinite_space_is_searched_on_where_tpe_repeats_itself() -> None:
    """The best value of a choice has nothing further to vary, and TPE proposes it again and again."""
    conditional = space(
        {
            "side.loss": ["supcon", "simclr"],
            "side.weight": {"low": 0.1, "high": 1.0, "when": {"side.loss": "supcon"}},
        }
    )
    sampler = Sampler(conditional, "tpe", 0, [])
    points = []
    for _ in range(30):
        point = sampler.ask()
        assert point is not None
        points.append(point)
        sampler.tell(point, 90.0 if point["side.loss"] == "simclr" else 50.0)
    assert len({repr(point) for point in points}) == 30


@pytest.mark.parametrize("stopped_at", [None, 0.25])
def test_a_sampler_rebuilt_from_scores_knows_what_it_knew(stopped_at: float | None) -> None:
    """Conditional parameters, stopped runs and the order of learning included."""
    conditional = space(
        {
            "side.loss": ["supcon", "simclr"],
            "side.weight": {"low": 0.1, "high": 1.0, "when": {"side.loss": "supcon"}},
            "text.learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        }
    )
    live, rebuilt = (Sampler(conditional, "tpe", 0, []) for _ in range(2))
    for i in range(20):
        point = live.ask()
        assert point is not None
        live.tell(point, 50.0 + i % 7, stopped_at=stopped_at if i % 2 else None)
        rebuilt.tell(point, 50.0 + i % 7, stopped_at=stopped_at if i % 2 else None)

    def known(sampler: Sampler) -> list[object]:
        trials = [trial for trial in sampler.optuna.trials if trial.state.name != "FAIL"]
        return [(trial.state, trial.params, trial.value, trial.intermediate_values) for trial in trials]

    assert known(live) == known(rebuilt)
    assert live.known == rebuilt.known
    assert len(known(live)) == 20


def exhaust_plain(sampler: Sampler) -> list[Point]:
    points: list[Point] = []
    while (point := sampler.ask()) is not None:
        points.append(point)
        sampler.tell(point, 50.0)
    return points


def test_own_point_outside_the_space_is_left_out() -> None:
    sampler = Sampler(space(), "grid", 0, [{**OWN, "side.weight": 7.0}])
    assert all(point["side.weight"] != 7.0 for point in exhaust(sampler))
