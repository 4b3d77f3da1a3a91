"""Search spaces: sizes, points, conditions, and typos found when the file is loaded."""

import pytest

from nlcse_tune.errors import ConfigError
from nlcse_tune.space import load_space, parse_space
from nlcse_tune.study import folders, names, resolve

PAPER_POINTS = {"text-grid": 9, "image-grid": 54, "audio-grid": 54, "released-grid": 36, "continuous": None}


def test_grid_sizes_are_those_of_the_paper() -> None:
    for name, size in PAPER_POINTS.items():
        assert load_space(resolve("search_spaces", name)).grid_size == size


@pytest.mark.parametrize("name", names("search_spaces"))
def test_every_shipped_space_loads(name: str) -> None:
    space = load_space(resolve("search_spaces", name))
    assert space.description
    if space.grid_size is not None:
        points = list(space.points())
        assert len(points) == space.grid_size == len({repr(point) for point in points})
        assert all(space.contains(point) for point in points)


def test_shipped_names_are_found_beside_the_checkout() -> None:
    assert folders("search_spaces")[-1].is_dir()


def test_a_typo_in_a_field_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'text.learning_rate'"):
        parse_space({"parameters": {"text.lerning_rate": [1, 2]}}, name="x", where="x.yaml")


@pytest.mark.parametrize(
    ("spec", "rule"),
    [
        ({"low": 1, "high": 0}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "above 0 on a log scale"),
        ({"low": 0.5, "high": 2, "integer": True}, "whole numbers"),
        ([1e-5, 1e-5], "values must differ"),
        ([], "at least 1 item"),
        (3, "must be a list of values, or low and high"),
        ({"low": 1, "hihg": 2}, "unknown key; did you mean 'high'"),
    ],
)
def test_bad_parameters(spec: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_space({"parameters": {"text.learning_rate": spec}}, name="x", where="x.yaml")


def test_conditions_remove_what_does_not_apply() -> None:
    raw = {
        "parameters": {
            "side.loss": ["supcon", "simclr"],
            "side.weight": {"values": [0.1, 1.0], "when": {"side.loss": "supcon"}},
        }
    }
    space = parse_space(raw, name="x", where="x.yaml")
    assert list(space.points()) == [
        {"side.loss": "supcon", "side.weight": 0.1},
        {"side.loss": "supcon", "side.weight": 1.0},
        {"side.loss": "simclr"},
    ]
    assert space.grid_size == 3
    assert space.active({"side.weight": 0.1}, {"side.loss": "simclr"}) == {}
    with pytest.raises(ConfigError, match="no such field"):
        parse_space({"parameters": {"side.weight": {"values": [1], "when": {"sid.loss": 1}}}}, name="x", where="x")


def test_ranges_contain_their_ends() -> None:
    space = parse_space({"parameters": {"side.weight": {"low": 0.1, "high": 1.0}}}, name="x", where="x")
    assert space.grid_size is None
    assert space.contains({"side.weight": 0.1})
    assert not space.contains({"side.weight": 1.1})
    assert not space.contains({"text.batch_size": 64})
