"""Search spaces: sizes, points, conditions, and typos found when the file is loaded."""

import pytest

from nlcse_tune.errors import ConfigError
from nlcse_tune.space import load_space, parse_space
from nlcse_tune.study import folders, names, resolve

PAPER_POINTS = {"text-grid": 9, "image-grid": 54, "audio-grid": 54, "released-grid": 36, "continuous": None}


def test_grid_sizes_are_those_of_the_paper() -> None:
    for name, size in PAPER_POINTS.items():
        assert load_space(resolve("search_spaces", name)).size() == size


@pytest.mark.parametrize("name", names("search_spaces"))
def test_every_shipped_space_loads(name: str) -> None:
    space = load_space(resolve("search_spaces", name))
    assert space.description
    if (size := space.size()) is not None:
        points = list(space.points())
        assert len(points) == size == len({repr(point) for point in points})
        assert all(space.contains(point) for point in points)


def test_shipped_names_are_found_beside_the_checkout() -> None:
    assert folders("search_spaces")[-1].is_dir()


def test_a_typo_in_a_field_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'text.learning_rate'"):
        parse_space({"parameters": {"text.lerning_rate": [1, 2]}}, name="x", where="x.yaml")
    with pytest.raises(ConfigError, match="did you mean 'text.learning_rate'"):
        parse_space({"parameters": {"text.lerning_rate": {"low": 1e-5, "high": 1e-4}}}, name="x", where="x.yaml")


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


@pytest.mark.parametrize(
    ("field", "spec", "rule"),
    [
        ("text.batch_size", [32, 1], "text.batch_size: must be greater than or equal to 2, got 1"),
        ("text.learning_rate", {"low": -1.0, "high": 1.0}, "text.learning_rate: must be greater than 0, got -1.0"),
        ("text.batch_size", {"low": 32, "high": 64.5}, "text.batch_size: must be a valid integer"),
        ("side.loss", ["supcon", "simlcr"], "side.loss: must be 'simclr', 'supcon'"),
        ("side.weight", [1, 1.0], "values must differ"),
        ("side.weight", {"low": 1, "high": 3, "integer": True}, "integer is for fields of whole numbers"),
        ("text.data", ["a.txt", "b.txt"], "inputs are not searched; make a study for each"),
        ("train.micro_batch", [8, 16], "changes speed and memory, not scores"),
        ("eval.setting", ["all", "mean"], "a search sees no test scores"),
        ("side", [None], "search the side's fields"),
        ("side.weight", {"values": [0.5], "when": {"side.loss": "supkon"}}, "side.loss: must be"),
    ],
)
def test_values_are_checked_against_their_fields_when_the_file_is_loaded(field: str, spec: object, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_space({"parameters": {field: spec}}, name="x", where="x.yaml")


def test_every_problem_of_a_space_is_told() -> None:
    raw = {
        "descriptoin": "x",
        "parameters": {
            "text.lerning_rate": [1],
            "text.batch_size": [1, 0, 64],
            "side.weight": 3,
            "side.temperature": {"low": 0.1},
            "side.loss": {"values": ["supkon"], "when": {"side.weigt": 1}},
            "text.temperature": [0.1],
        },
    }
    with pytest.raises(ConfigError) as caught:
        parse_space(raw, name="x", where="x.yaml")
    lines = str(caught.value).splitlines()
    assert lines[:-1] == [
        "x.yaml: text.lerning_rate: no such field; did you mean 'text.learning_rate'?",
        "x.yaml: text.batch_size: must be greater than or equal to 2, got 1",
        "x.yaml: text.batch_size: must be greater than or equal to 2, got 0",
        "x.yaml: side.weight: must be a list of values, or low and high, got 3",
        "x.yaml: side.temperature: high: must be given",
        "x.yaml: side.weigt: no such field; did you mean 'side.weight'?",
        "x.yaml: side.loss: must be 'simclr', 'supcon', 'supcon_khosla' or 'supcon_as_released', or one of an "
        "installed package (none is installed; `pip install` brings it, see docs/own-method.md), got 'supkon'; did you "
        "mean 'supcon'?",
    ]
    assert lines[-1] == "x.yaml: descriptoin: unknown key; did you mean 'description'?"


def test_values_have_the_type_of_their_field() -> None:
    space = parse_space(
        {"parameters": {"side.weight": [1, 0.5], "train.epochs": {"low": 1, "high": 3}}}, name="x", where="x.yaml"
    )
    assert repr(space.parameters["side.weight"].listed()) == "(1.0, 0.5)"
    assert space.size() == 6  # epochs are whole numbers
    assert {point["train.epochs"] for point in space.points()} == {1, 2, 3}
    assert not space.contains({"train.epochs": 1.5})


def test_a_space_too_large_to_list_counts_as_infinite() -> None:
    space = parse_space({"parameters": {"train.max_steps": {"low": 1, "high": 100_000}}}, name="x", where="x.yaml")
    assert space.size() is None


def test_conditions_are_about_the_runs_configuration() -> None:
    weight = {"values": [0.1, 1.0], "when": {"side.loss": "supcon"}}
    fixed = parse_space({"parameters": {"side.weight": weight, "side.temperature": [0.1, 0.2]}}, name="x", where="x")
    assert fixed.size({"side.loss": "supcon"}) == 4  # the study's own loss, which is not searched
    assert fixed.size({"side.loss": "simclr"}) == 2
    chained = parse_space(
        {
            "parameters": {
                "side.weight": {"values": [0.1, 0.5], "when": {"side.temperature": 0.2}},
                "side.temperature": {"values": [0.2, 0.3], "when": {"side.loss": "supcon"}},
                "side.loss": ["supcon", "simclr"],
            }
        },
        name="x",
        where="x",
    )
    off = {"side.loss": "simclr", "side.temperature": 0.2, "side.weight": 0.5}
    assert chained.active(off, {"side.temperature": 0.07}) == {"side.loss": "simclr"}
    assert chained.active(off, {"side.temperature": 0.2}) == {"side.loss": "simclr", "side.weight": 0.5}
    assert chained.size({"side.temperature": 0.07}) == 4
    circle = {
        "side.weight": {"values": [0.1], "when": {"side.temperature": 0.2}},
        "side.temperature": {"values": [0.2], "when": {"side.weight": 0.1}},
    }
    with pytest.raises(ConfigError, match="depend on each other in a circle"):
        parse_space({"parameters": circle}, name="x", where="x")


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
    assert space.size() == 3
    assert space.active({"side.weight": 0.1}, {"side.loss": "simclr"}) == {}
    with pytest.raises(ConfigError, match="no such field"):
        parse_space({"parameters": {"side.weight": {"values": [1], "when": {"sid.loss": 1}}}}, name="x", where="x")


def test_ranges_contain_their_ends() -> None:
    space = parse_space({"parameters": {"side.weight": {"low": 0.1, "high": 1.0}}}, name="x", where="x")
    assert space.size() is None
    assert space.contains({"side.weight": 0.1})
    assert not space.contains({"side.weight": 1.1})
    assert not space.contains({"text.batch_size": 64})
