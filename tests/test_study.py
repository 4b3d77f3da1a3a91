"""Studies: every shipped one loads, inheritance, overrides, and names that are nearly right."""

import json
import re
from pathlib import Path

import pytest

from nlcse_tune.config.fields import digest, flatten
from nlcse_tune.errors import ConfigError
from nlcse_tune.files import locked
from nlcse_tune.paths import StudyPaths
from nlcse_tune.published import Row, tables
from nlcse_tune.report.arms import config_differences
from nlcse_tune.space import parse_space
from nlcse_tune.study import Confirm, Study, find_study, merge, names

# The released commands that the tables were made with, by NonLing-CSE's READMEs and run_sup_example.sh: text batch and
# rate; side batch, tau, rate, omega. All have --new_supcon.
RELEASED = {
    "visualcse-bert-released": (64, 3e-5, 48, 0.07, 1e-6, 0.05),
    "visualcse-roberta-released": (128, 2e-5, 48, 0.07, 1e-7, 0.2),
    "audiocse-bert-released": (64, 3e-5, 48, 0.07, 2e-7, 0.01),
    "audiocse-roberta-released": (128, 2e-5, 48, 0.07, 2e-7, 0.02),
    "visualcse-bert-sup": (128, 3e-5, 48, 0.05, 1e-7, 100.0),
}


@pytest.mark.parametrize("name", RELEASED)
def test_studies_hold_the_released_commands_settings(name: str) -> None:
    study = find_study(name)
    text, side = study.config.text, study.config.side
    assert side is not None
    found = (
        text.batch_size, text.learning_rate, side.batch_size, side.temperature, side.learning_rate, side.weight
    )  # fmt: skip
    assert found == RELEASED[name]
    assert "NonLing-CSE" in study.description  # the source
    if name.endswith("-released"):
        assert (side.loss, side.dropout) == ("supcon_as_released", 0.0)
        audio = (0.5, False, False) if side.modality == "audio" else (0.0, True, True)
        assert (side.mixup, side.normalise, side.positions) == audio
        former = find_study(name.removesuffix("-released"))  # Table C.1, which has no omega: one source for that
        assert former.config.side is not None
        assert (former.config.side.loss, former.config.side.weight) == ("supcon", side.weight)


@pytest.mark.parametrize("name", [name for name in names("studies") if find_study(name).space])
def test_a_studys_own_point_is_in_its_space(name: str) -> None:
    study = find_study(name)
    assert study.space is not None
    assert study.space.contains(study.own_point), study.own_point


@pytest.mark.parametrize("name", names("studies"))
def test_every_shipped_study_loads(name: str) -> None:
    study = find_study(name)
    assert study.name == name
    assert study.description
    if study.baseline:
        baseline = find_study(study.baseline)
        differ = config_differences(study.config, baseline.config, parts=("side",)) if baseline.config.side else []
        assert {line.split(":")[0] for line in differ} <= {"side.control", "side.loss"}
        differ = config_differences(study.config, baseline.config, parts=("text",))
        assert [line.split(":")[0] for line in differ] == (["text.uniformity"] if name.endswith("-uniform") else [])
        assert baseline.config.encoder == study.config.encoder


@pytest.mark.parametrize("row", tables()["tableC1"].rows, ids=lambda row: row.study)
def test_studies_hold_the_papers_hyper_parameters(row: Row) -> None:
    config = find_study(row.study).config
    assert config.side is not None
    assert {field: flatten(config)[field] for field in tables()["tableC1"].columns} == tables()["tableC1"].printed(row)
    assert (config.text.temperature, config.side.temperature, config.text.max_length) == (0.05, 0.07, 32)
    assert (config.train.epochs, config.train.eval_every, config.train.max_grad_norm) == (1, 125, 1.0)


def test_unknown_study_names_the_nearest_and_lists_all() -> None:
    with pytest.raises(
        ConfigError, match=r"visualcse-brt: no such study; did you mean 'visualcse-bert'\?; known: audiocse"
    ):
        find_study("visualcse-brt")


def write(folder: Path, name: str, text: str) -> Path:
    (folder / "studies").mkdir(exist_ok=True)
    path = folder / "studies" / f"{name}.yaml"
    path.write_text(text)
    return path


def test_a_study_here_wins_and_extends_a_packaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mine", "extends: demo\nconfig: {text: {learning_rate: 5e-4}}\n")
    mine, demo = find_study("mine"), find_study("demo")
    assert mine.name == "mine"
    assert mine.config.text.learning_rate == 5e-4
    assert mine.config.side == demo.config.side
    assert mine.space == demo.space
    assert mine.baseline == "demo-simcse"
    write(tmp_path, "demo", "config: {text: {data: synthetic}}\n")
    assert find_study("demo").config.text.data == "synthetic"
    assert find_study("demo").space is None


def test_extending_in_a_circle_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a", "extends: b\n")
    write(tmp_path, "b", "extends: a\n")
    with pytest.raises(ConfigError, match="extends itself through a -> b -> a"):
        find_study("a")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("config: {text: {batch_size: 64}\n", r"bad.yaml: line 2, column 1: not readable as YAML"),
        ("- a\n- b\n", "must be a mapping of keys to values, got list"),
        ("config: {}\nconfig: {}\n", 'found duplicate key "config"'),
        ("confg: {}\n", "confg: unknown key; did you mean 'config'"),
        ("config: {}\nspace: image-gird\n", "no such search space; did you mean 'image-grid'"),
        ("config: {}\nspace: image-grid\n", "the study has no side"),
        ("config: {}\nseeds: []\n", "seeds: Tuple should have at least 1 item"),
        ("config: {}\nseeds: [-1, 2]\n", "seeds: must be whole numbers from 0 to 2147483647, got -1"),
        ("config: {}\nseeds: [1, 4294967296]\n", "seeds: must be whole numbers from 0 to 2147483647, got 4294967296"),
        ("config: {}\nseeds: [1, 2, 1]\n", "seeds: must differ, got 1 more than once"),
        ("config: {}\nsearch_seed: -1\n", "search_seed: must be greater than or equal to 0, got -1"),
        ("config: {}\nsearch_seed: 4294967295\n", "search_seed: must be less than or equal to 2147483647"),
        ("config: {}\ntext: {data: x.txt}\n", "bad.yaml: text: unknown key; it belongs under `config:`"),
        ("config: {}\nprecision: fp32\n", "precision: unknown key; it belongs under `config.train:`"),
        ("config: {}\nbaseline: simcse-brt\n", "bad.yaml: baseline: simcse-brt: no such study; did you mean 'simcse-"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_study(str(write(tmp_path, "bad", text)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("confirm: {margin: 0}", r"confirm\.margin: must be greater than 0, got 0"),
        ("confirm: {tset: welch}", r"confirm\.tset: unknown key; did you mean 'test'"),
        ("confirm: {columns: [avg, avg]}", "columns: must differ, got avg, avg"),
        ("confirm: {seeds: 5, rule: {first: 5}}", "a stopping rule sets the number; leave out seeds or rule, got 5"),
        ("confirm: {test: wilcoxon, rule: {}}", "a stopping rule decides on the average, by welch or paired"),
    ],
)
def test_a_declaration_checks_itself(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_study(str(write(tmp_path, "bad", f"config: {{}}\n{text}\n")))


def test_a_declaration_is_no_part_of_a_run(tmp_path: Path) -> None:
    text = "extends: visualcse-bert\nconfirm: {test: paired, columns: [stsb], margin: 0.3, rule: null, seeds: 9}\n"
    study, plain = find_study(str(write(tmp_path, "mine", text))), find_study("visualcse-bert")
    assert (study.confirm.columns, study.confirm.margin, study.confirm.level) == (("stsb",), 0.3, 0.05)
    assert study.config == plain.config
    bf16 = [one.with_precision("bf16").config for one in (study, plain)]
    assert digest(bf16[0], {}) == digest(bf16[1], {})
    assert plain.confirm == Confirm()
    assert study.with_overrides({"text.batch_size": 8}).confirm == study.confirm


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such study"):
        find_study(str(tmp_path / "none.yaml"))
    (tmp_path / "latin.yaml").write_bytes(b"description: caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        find_study(str(tmp_path / "latin.yaml"))


def test_learning_rates_without_a_dot_are_numbers(tmp_path: Path) -> None:
    path = write(tmp_path, "x", "space: {parameters: {text.learning_rate: [1e-5, 3E-5, 0.00002]}}\nconfig: {}\n")
    study = find_study(str(path))
    assert study.space is not None
    assert [point["text.learning_rate"] for point in study.space.points()] == [1e-5, 3e-5, 2e-5]


def test_overrides_reach_the_baseline_but_for_the_side() -> None:
    values = {"text.learning_rate": 2e-5, "side.weight": 0.5}
    baseline = find_study("demo").baseline_study(values)
    assert baseline is not None
    assert baseline.config.text.learning_rate == 2e-5
    assert baseline.config.side is None
    assert find_study("demo-simcse").baseline_study(values) is None


def test_overrides_of_the_side_reach_a_baseline_that_has_one() -> None:
    baseline = find_study("visualcse-bert-sum").baseline_study({"side.weight": 0.5})
    assert baseline is not None
    assert baseline.config.side is not None
    assert (baseline.config.side.weight, baseline.config.train.optimizers) == (0.5, "two")


def test_own_point_follows_what_is_overridden() -> None:
    study = find_study("visualcse-bert")
    assert study.own_point["side.learning_rate"] == 1e-6  # a copy must not keep what was computed here
    assert study.with_overrides({"side.learning_rate": 5e-6}).own_point["side.learning_rate"] == 5e-6


def test_own_point_is_the_first_to_try() -> None:
    assert find_study("visualcse-bert").own_point == {
        "text.batch_size": 64,
        "text.learning_rate": 3e-5,
        "side.learning_rate": 1e-6,
    }


def test_merge_goes_deep_but_takes_a_space_whole() -> None:
    assert merge({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}) == {"a": {"b": 3, "c": 2}}
    assert merge({"space": {"x": 1}}, {"space": {"y": 2}}) == {"space": {"y": 2}}


def test_a_baseline_is_inherited_and_null_makes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README: whatever is not said here is taken from there."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "mine", "extends: visualcse-bert\n")
    write(tmp_path, "alone", "extends: mine\nbaseline: null\nspace: text-grid\nconfig: {side: null}\n")
    mine, alone = find_study("mine"), find_study("alone")
    assert mine.baseline == "simcse-bert"
    assert mine.published is None  # what a paper reports of another study
    assert alone.baseline is None
    assert alone.config == find_study("simcse-bert").config
    write(tmp_path, "simcse-bert", "extends: visualcse-bert\nspace: text-grid\nconfig: {side: null}\n")
    with pytest.raises(ConfigError, match=r"baseline: a study is not its own, got 'simcse-bert'; write `baseline: nul"):
        find_study("simcse-bert")


def test_the_shipped_baselines() -> None:
    """Each method's is the SimCSE of its encoder, and a SimCSE has none, whatever it extends."""
    ours = ("sum", "uniform", "labels", "noise", "text", "again")
    others = {f"visualcse-bert-{end}": "visualcse-bert" for end in ours}
    others |= dict.fromkeys(("visualcse-bert-sup", "audiocse-bert-sup"), "simcse-bert-sup-128")
    for name in names("studies"):
        kind, _, encoder = re.sub("-(released|simclr|khosla|cifar)$", "", name).partition("-")
        expected = f"simcse-{encoder}" if kind in ("visualcse", "audiocse", "visualaudiocse") else "demo-simcse"
        expected = others.get(name, expected)
        alone = kind == "simcse" or name == "demo-simcse"
        assert find_study(name).baseline == (None if alone else expected)


@pytest.mark.parametrize(
    "name", ["../../etc/x", "/etc/x", "", "a\0b", "a\nb", ".hidden", "a/b", "a\\b", " a", "a ", "é" * 51, "\ud800"]
)
def test_a_name_must_be_a_plain_file_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"bad\.yaml: name: must be a plain file name"):
        find_study(str(write(tmp_path, "bad", f"extends: demo\nname: {json.dumps(name)}\n")))


@pytest.mark.parametrize("name", ["mine", "my study (2)", "é" * 50, "v1.5_x-y", "研究"])
def test_names_that_folders_can_have(name: str, tmp_path: Path) -> None:
    study = find_study(str(write(tmp_path, "good", f"extends: demo\nname: {json.dumps(name)}\n")))
    assert study.name == name
    StudyPaths(tmp_path / "runs", name).folder.mkdir(parents=True)
    with locked(StudyPaths(tmp_path / "runs", name).lock, name):
        pass


def test_one_error_lists_what_is_wrong_in_every_part(tmp_path: Path) -> None:
    text = """
name: a/b
baseline: nope
seeds: [1, 1]
space: {parameters: {text.lerning_rate: [1], text.batch_size: [0, 1], side.weight: 3, text.temperature: {low: 1}}}
config: {text: {batch_size: 1}}
"""
    with pytest.raises(ConfigError) as caught:
        find_study(str(write(tmp_path, "bad", text)))
    lines = str(caught.value).splitlines()
    fields = ("space: text.lerning_rate", "space: text.batch_size", "space: side.weight", "space: text.temperature")
    for part in (*fields, "name", "seeds", "baseline", "config.text.batch_size"):
        assert any(f"bad.yaml: {part}: " in line for line in lines), part
    assert len(lines) == 9  # two of the batch sizes


APPENDIX_G = {
    "de": "bert-base-german-cased", "fr": "dbmdz/bert-base-french-europeana-cased",
    "ru": "DeepPavlov/rubert-base-cased", "zh": "bert-base-chinese",
}  # fmt: skip


@pytest.mark.parametrize("language", APPENDIX_G)
@pytest.mark.parametrize("method", ["simcse", "visualcse"])
def test_a_language_has_its_encoder_text_and_dev_set(method: str, language: str) -> None:
    config = find_study(f"{method}-{language}").config
    found = config.encoder.checkpoint, config.text.data, config.eval.language
    assert found == (APPENDIX_G[language], f"data/text/wiki-{language}.txt", language)


def test_what_rows_of_the_paper_are_about() -> None:
    """Losses (Tables 4, G.1), images (H.1), parts and noise (Figures 2, 3); in all else they are the study below."""
    changes: dict[str, tuple[str, dict[str, object]]] = {
        f"{study}-{name}": (study, {"side.loss": loss})
        for study in ("visualcse-bert", "visualcse-roberta", "audiocse-bert", "audiocse-roberta")
        for name, loss in (("simclr", "simclr"), ("khosla", "supcon_khosla"))
    }
    for encoder in ("bert", "roberta"):
        changes[f"visualcse-{encoder}-cifar"] = (f"visualcse-{encoder}", {"side.data": "data/images/cifar10"})
    for k in (10, 30, 100):
        changes[f"simcse-bert-sup-{k}k"] = ("simcse-bert-sup", {"text.limit": 1000 * k})
    for number, share, times in ((1, 0.1, 1), (3, 0.3, 2), (5, 0.5, 3)):
        noise: dict[str, object] = {"text.deletion": share, "text.insertions": times, "text.swaps": times}
        changes[f"simcse-bert-sup-noise-{number}"] = ("simcse-bert-sup", noise)
    for name, (below, values) in changes.items():
        assert flatten(find_study(name).config) == {**flatten(find_study(below).config), **values}, name


SIDES = {"side": [{"modality": "image", "data": "a"}, {"modality": "audio", "data": "b", "learning_rate": 2e-7}]}


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"side.learning_rate": [1e-6]}, "which differ in it; write side.0.learning_rate and its like"),
        ({"side.2.weight": [1]}, "side.2.weight cannot be searched: the study has side.0 to side.1"),
        ({"side.weight": [1, 2], "side.0.weight": [1]}, "name one thing in two ways"),
        ({"side.loss": ["supcon", "simclr"], "side.0.weight": {"values": [1], "when": {"side.0.loss": "simclr"}}},
         "side.0.loss and side.loss name one thing in two ways"),
        ({"side.control": ["noise"]}, "a control is a study of its own"),
    ],
)  # fmt: skip
def test_a_space_names_fields_as_the_studys_sides_have_them(parameters: dict[str, object], why: str) -> None:
    raw = {"name": "both", "config": SIDES}
    fine = parse_space({"parameters": {"side.weight": [1, 2], "side.1.learning_rate": [1e-7]}}, name="s", where="s")
    study = Study.model_validate({**raw, "space": fine})
    assert study.own_point == {"side.weight": 1.0, "side.1.learning_rate": 2e-7}
    with pytest.raises((ValueError, ConfigError), match=why):
        Study.model_validate({**raw, "space": parse_space({"parameters": parameters}, name="s", where="s")})


def test_a_space_of_one_side_names_no_place() -> None:
    space = parse_space({"parameters": {"side.0.weight": [1]}}, name="s", where="s")
    with pytest.raises(ValueError, match=r"the study has one side, write side\.weight"):
        Study.model_validate({"name": "one", "config": {"side": SIDES["side"][0]}, "space": space})


def test_a_mapping_under_side_is_for_each_of_several_and_a_list_takes_their_place() -> None:
    several = {"config": SIDES}
    merged = merge(several, {"config": {"side": {"control": "noise"}}})
    assert [side["control"] for side in merged["config"]["side"]] == ["noise", "noise"]
    assert [side["data"] for side in merged["config"]["side"]] == ["a", "b"]
    assert merge(several, {"config": {"side": [{"data": "c"}]}})["config"]["side"] == [{"data": "c"}]


def test_a_control_is_the_methods_alone() -> None:
    values = {"side.control": "noise", "side.batch_size": 8}
    study = find_study("visualcse-bert-sum").with_precision("fp32").with_overrides(values)
    baseline = study.baseline_study(values)
    assert baseline is not None
    assert [(side.control, side.batch_size) for side in baseline.config.sides] == [(None, 8)]
