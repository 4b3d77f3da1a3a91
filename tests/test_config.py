"""Configuration checks itself; one error names every problem."""

import pytest

from nlcse_tune.config import (
    AUTO,
    LATER_FIELDS,
    RunConfig,
    SideConfig,
    assignments,
    check_field,
    digest,
    flatten,
    known_fields,
    override,
    validate,
    with_absolute_paths,
)
from nlcse_tune.errors import ConfigError
from nlcse_tune.study import Study, find_study


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


def test_nan_and_infinity_are_refused() -> None:
    for value in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="finite"):
            override(RunConfig(), {"text.learning_rate": value})


def test_a_value_that_exists_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().text.batch_size = 3  # type: ignore[misc]


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


def test_method_names() -> None:
    assert RunConfig().method == "SimCSE"
    assert RunConfig(side=SideConfig(data="x")).method == "VisualCSE"
    assert RunConfig(side=SideConfig(data="x", modality="audio")).method == "AudioCSE"


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
}  # fmt: skip


def test_flat_names_are_the_known_fields() -> None:
    assert set(flatten(RunConfig(side=SideConfig(data="x")))) == set(known_fields())


def test_every_field_says_what_it_means() -> None:
    assert [name for name, info in known_fields().items() if not info.description] == []


def test_paths_become_absolute_and_hub_names_stay(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    config = override(RunConfig(), {"encoder.checkpoint": "model", "text.data": "a.txt", "eval.data": "synthetic"})
    resolved = with_absolute_paths(config)
    assert resolved.encoder.checkpoint == str(tmp_path / "model")
    assert resolved.text.data == str(tmp_path / "a.txt")
    assert resolved.eval.data == "synthetic"
    assert with_absolute_paths(RunConfig()).encoder.checkpoint == "bert-base-uncased"


def test_embedded_data_have_no_other_language() -> None:
    with pytest.raises(ConfigError, match=r"language must be null with data 'synthetic', got 'de'"):
        override(find_study("demo").config, {"eval.language": "de"})


@pytest.mark.parametrize("change", [{"side.mixup": 0.5}, {"side.normalise": False}, {"side.positions": False}])
def test_what_is_audios_is_refused_for_images(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="mixup, normalise and positions are for modality audio, got image"):
        override(find_study("demo").config, change)


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
