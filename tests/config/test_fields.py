"""A run's fields by their dotted names; one error names every problem."""

import pytest

from nlcse_tune.config import AUTO, RunConfig, SideConfig
from nlcse_tune.config.fields import (
    LATER_FIELDS,
    assignments,
    check_field,
    digest,
    flatten,
    inputs,
    known_fields,
    lacks,
    override,
    searchable,
    sides_of,
    validate,
    with_absolute_paths,
)  # fmt: skip
from nlcse_tune.errors import ConfigError
from nlcse_tune.study import Study, find_study

IMAGES = {"modality": "image", "data": "pictures"}
AUDIO = {"modality": "audio", "data": "clips", "learning_rate": 2e-7}
BOTH = RunConfig.model_validate({"side": [IMAGES, AUDIO]})


def test_every_problem_is_named_with_file_key_rule_and_value() -> None:
    raw = {"text": {"learning_rate": -1e-6, "batch_size": "many"}, "side": {"data": "x", "weight": 0, "lr": 1}}
    with pytest.raises(ConfigError) as caught:
        validate(RunConfig, raw, where="studies/x.yaml")
    lines = str(caught.value).splitlines()
    assert "studies/x.yaml: text.learning_rate: must be greater than 0, got -1e-06" in lines
    assert any(line.startswith("studies/x.yaml: text.batch_size: must be a valid integer") for line in lines)
    assert "studies/x.yaml: side.weight: must be greater than 0, got 0" in lines
    assert any("side.lr: unknown key" in line for line in lines)
    assert len(lines) == 4


def test_unknown_key_proposes_the_nearest() -> None:
    with pytest.raises(ConfigError, match="text.learning_rte: unknown key; did you mean 'learning_rate'"):
        validate(RunConfig, {"text": {"learning_rte": 1e-5}}, where="x")
    with pytest.raises(ConfigError, match="did you mean 'text.learning_rate'"):
        check_field("text.learnin_rate")


def test_an_unknown_key_that_is_known_elsewhere_is_sent_there() -> None:
    for raw, hint in (
        ({"pooler": "avg"}, "pooler: unknown key; it belongs under `encoder:`"),
        ({"learning_rate": 1}, "learning_rate: unknown key; it belongs under `text:` or under `side:`"),
        ({"text": {"precision": "fp32"}}, "text.precision: unknown key; it belongs under `train:`"),
        ({"train": {"text": {}}}, "train.text: unknown key; it belongs at the top"),
    ):
        with pytest.raises(ConfigError) as caught:
            validate(RunConfig, raw, where="x")
        assert str(caught.value) == f"x: {hint}"


def test_every_problem_of_an_override_is_told(tiny_simcse: RunConfig) -> None:
    values = {"text.lerning_rate": 1, "text.batch_size": 1, "side.weight": 2, "side": "image", "train.epochs": 0}
    with pytest.raises(ConfigError) as caught:
        override(tiny_simcse, values)
    assert len(str(caught.value).splitlines()) == len(values)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("text.learning_rate=2e-5", ("text.learning_rate", 2e-5)),
        ("side=null", ("side", None)),
        ("encoder.pooler=avg", ("encoder.pooler", "avg")),
        ("train.tf32=true", ("train.tf32", True)),
        ("text.data=a=b.txt", ("text.data", "a=b.txt")),
    ],
)
def test_assignments_are_read_as_yaml(text: str, expected: tuple[str, object]) -> None:
    assert assignments([text]) == dict([expected])


@pytest.mark.parametrize("text", ["text.learning_rate", "=3", "a=[1"])
def test_bad_assignments(text: str) -> None:
    with pytest.raises(ConfigError, match="--set"):
        assignments([text])


def test_override_checks_and_knows_the_side() -> None:
    base = RunConfig(side=SideConfig(data="x"))
    assert override(base, {"side.weight": 0.5}).side.weight == 0.5  # type: ignore[union-attr]
    assert override(base, {"side": None}).side is None
    with pytest.raises(ConfigError, match=r"no side \(SimCSE\)"):
        override(RunConfig(), {"side.weight": 0.5})
    with pytest.raises(ConfigError, match="can only be set to null"):
        override(base, {"side": "image"})


def test_digest_ignores_paths_and_speed_but_not_numbers_or_data() -> None:
    base, data = RunConfig(), {"text": "abc"}
    same = ({"text.data": "elsewhere"}, {"train.micro_batch": 8}, {"train.compile": True}, {"train.loader_threads": 0})
    for change in (*same, {"eval.tasks": ["sts12"]}):
        assert digest(override(base, change), data) == digest(base, data)
    for change in ({"text.learning_rate": 1e-5}, {"train.precision": "bf16"}, {"encoder.dropout": 0.0}):
        assert digest(override(base, change), data) != digest(base, data)
    assert digest(base, {"text": "abd"}) != digest(base, data)
    changed = override(base, {"text.learning_rate": 1e-5})
    assert digest(changed, data, without=("text.learning_rate",)) == digest(base, data, without=("text.learning_rate",))


# Digests of shipped studies, and of settings they had, from before there was any of LATER_FIELDS. Records on disk go by
# them: a field that comes later must not change them.
FORMER_DIGESTS: dict[str, tuple[str, dict[str, object]]] = {
    "2fa8aecca3a6": ("audiocse-bert", {"side.weight": 0.05}),
    "1b957dedd826": ("audiocse-roberta", {"side.weight": 1.0}),
    "4117f0dd040b": ("audiocse-roberta-large", {}),
    "9cae4531ebd8": ("demo", {}),
    "7121fda57d4e": ("demo-audiocse", {}),
    "2e5e376c4c2e": ("demo-simcse", {}),
    "43fbaf1e16da": ("simcse-bert", {}),
    "f33275d8c613": ("simcse-bert-sup", {}),
    "02a6d002e471": ("simcse-roberta", {}),
    "5c43953aa5b1": ("simcse-roberta-large", {}),
    "24bc05ebe694": ("simcse-roberta-large-sup", {}),
    "4f2423df1000": ("visualcse-bert", {}),
    "da853becaa05": ("visualcse-roberta", {"side.weight": 1.0}),
    "1a5778ec6075": ("visualcse-roberta-large", {}),
}


@pytest.mark.parametrize("former", FORMER_DIGESTS)
def test_fields_that_came_later_leave_the_digests_of_earlier_runs_as_they_were(former: str) -> None:
    name, values = FORMER_DIGESTS[former]
    study = find_study(name)
    study = study.with_precision("fp16") if study.config.train.precision == AUTO else study  # which they all had
    assert digest(override(study.config, values), {}).startswith(former)


def test_auto_names_no_run() -> None:
    with pytest.raises(ConfigError, match="auto stands for no run before it is found out"):
        digest(find_study("simcse-bert").config, {})


def test_fields_that_came_later_count_where_they_are_set() -> None:
    config = override(find_study("demo-audiocse").config, {"eval.data": "data/senteval"})
    for change in LATER_VALUES.items():
        assert digest(override(config, dict([change])), {}) != digest(config, {}), change
    assert set(LATER_VALUES) == set(LATER_FIELDS)
    simcse = find_study("demo-simcse").config  # one gradient: nothing to add up
    assert digest(override(simcse, {"train.optimizers": "one"}), {}) == digest(simcse, {})


LATER_VALUES: dict[str, object] = {
    "train.optimizers": "one", "eval.language": "de", "side.dropout": 0.0, "side.mixup": 0.5, "side.normalise": False,
    "side.positions": False, "text.limit": 64, "text.deletion": 0.1, "text.insertions": 1, "text.swaps": 1,
    "text.uniformity": 0.1, "side.control": "again",
}  # fmt: skip


def test_flat_names_are_the_known_fields() -> None:
    assert set(flatten(RunConfig(side=SideConfig(data="x")))) == set(known_fields())


def test_paths_become_absolute_and_hub_names_stay(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    config = override(RunConfig(), {"encoder.checkpoint": "model", "text.data": "a.txt", "eval.data": "synthetic"})
    resolved = with_absolute_paths(config)
    assert resolved.encoder.checkpoint == str(tmp_path / "model")
    assert resolved.text.data == str(tmp_path / "a.txt")
    assert resolved.eval.data == "synthetic"
    assert with_absolute_paths(RunConfig()).encoder.checkpoint == "bert-base-uncased"


def test_a_value_that_is_endless_in_print_is_told_in_short() -> None:
    value: list[object] = ["x"]
    for _ in range(20):  # as nine aliases of an alias in YAML: 9^20 words
        value = [value] * 9
    with pytest.raises(ConfigError) as refused:
        validate(RunConfig, {"text": {"data": value}}, where="a.yaml")
    assert "a.yaml: text.data: must be a valid string, got [[" in str(refused.value)
    assert len(str(refused.value)) < 2000


def test_what_is_wrong_with_the_whole_does_not_print_the_whole(tiny_study: Study) -> None:
    with pytest.raises(ConfigError, match="the study has no side; choose another space$"):
        tiny_study.with_overrides({"side": None})


def test_fields_of_several_sides_have_their_place() -> None:
    flat = flatten(BOTH)
    assert (flat["side.0.modality"], flat["side.1.modality"]) == ("image", "audio")
    assert "side.modality" not in flat
    assert list(sides_of(BOTH)) == ["side.0", "side.1"]
    assert inputs(BOTH)["side.1.data"] == "clips"
    known = searchable(BOTH)
    assert known["side.batch_size"] == 48  # of both
    assert "side.learning_rate" not in known  # they differ
    assert known["side.1.learning_rate"] == 2e-7


def test_a_field_is_set_of_one_side_or_of_each() -> None:
    assert [side.batch_size for side in override(BOTH, {"side.batch_size": 8}).sides] == [8, 8]
    assert [side.batch_size for side in override(BOTH, {"side.1.batch_size": 8}).sides] == [48, 8]
    assert override(BOTH, {"side": None}).sides == ()
    with pytest.raises(
        ConfigError, match=r"side\.2\.weight: this run has no such side; its sides are side\.0 to side\.1"
    ):
        override(BOTH, {"side.2.weight": 1})
    one = RunConfig.model_validate({"side": IMAGES})
    with pytest.raises(ConfigError, match=r"side\.1\.weight: this run has no such side; set side\.weight"):
        override(one, {"side.1.weight": 1})
    assert [lacks(BOTH, "side.1.weight"), lacks(one, "side.1.weight"), lacks(one, "side.weight")] == [
        False,
        True,
        False,
    ]
    assert [lacks(RunConfig(), "side.weight"), lacks(RunConfig(), "text.data")] == [True, False]


def test_what_is_wrong_with_a_side_is_told_by_its_place_where_there_are_several() -> None:
    for side, key in (([IMAGES, {**AUDIO, "weight": 0}], "side.1.weight"), ({**IMAGES, "weight": 0}, "side.weight")):
        with pytest.raises(ConfigError) as refused:
            validate(RunConfig, {"side": side}, where="x")
        assert str(refused.value) == f"x: {key}: must be greater than 0, got 0"
    with pytest.raises(ConfigError, match=r"x: side\.0\.lr: unknown key"):
        validate(RunConfig, {"side": [{**IMAGES, "lr": 1}, AUDIO]}, where="x")


def test_a_digest_takes_each_side_as_one_alone() -> None:
    one = RunConfig.model_validate({"side": IMAGES})
    assert digest(RunConfig.model_validate({"side": [IMAGES]}), {}) == digest(one, {})
    assert digest(BOTH, {}) != digest(one, {})
    assert digest(override(BOTH, {"side.1.data": "elsewhere"}), {}) == digest(BOTH, {})
    assert digest(override(BOTH, {"side.1.mixup": 0.5}), {}) != digest(BOTH, {})
    changed = override(BOTH, {"side.1.learning_rate": 1e-6})
    assert digest(changed, {}) != digest(BOTH, {})
    for searched in ("side.learning_rate", "side.1.learning_rate"):
        assert digest(changed, {}, without=(searched,)) == digest(BOTH, {}, without=(searched,))
    with_absolute = with_absolute_paths(BOTH)
    assert all(side.data.startswith("/") for side in with_absolute.sides)


def test_a_control_on_text_is_one_run_whatever_stands_in_fields_that_it_does_not_have() -> None:
    again = override(RunConfig.model_validate({"side": IMAGES}), {"side.control": "again"})
    for change in ({"side.batch_size": 16}, {"side.loss": "simclr"}, {"side.temperature": 0.1}, {"side.data": "x"}):
        assert digest(override(again, change), {}) == digest(again, {})
    for change in ({"side.learning_rate": 1e-4}, {"side.weight": 0.5}, {"side.control": "noise"}):
        assert digest(override(again, change), {}) != digest(again, {})
    text = override(again, {"side.loss": "simclr", "side.control": "text"})
    assert digest(override(text, {"side.dropout": 0.0}), {}) == digest(text, {})
    assert digest(override(text, {"side.batch_size": 16}), {}) != digest(text, {})


def test_a_mistyped_field_of_one_of_several_sides_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"side\.1\.lerning_rate: unknown key; did you mean 'learning_rate'"):
        validate(RunConfig, {"side": [IMAGES, {**AUDIO, "lerning_rate": 1}]}, where="x")
    assert "space.parameters" in known_fields(Study)
