"""What is no whole model is refused in one sentence: no score that says nothing of it, and no traceback."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from nlcse_tune.config import EncoderConfig, Pooler
from nlcse_tune.errors import NlcseError, RunError
from nlcse_tune.evaluation.embed import embed
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.models.encoder import build_encoder, save_encoder
from tests.evaluation.theirs import saved_by_them
from tests.models.tiny import checkpoint, tokenizer

torch.set_num_threads(1)
Factory = pytest.TempPathFactory


def plain(folder: Path, factory: Factory, family: str = "bert") -> Path:
    return Path(shutil.copytree(checkpoint(family, factory), folder))


def theirs(folder: Path, factory: Factory, family: str = "bert") -> Path:
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling

    return saved_by_them(folder, checkpoint(family, factory), Pooling(32), Dense(32, 8))


def unsealed(folder: Path, factory: Factory) -> Path:
    """A supervised run's model, of a version that knew no digests."""
    config = EncoderConfig(checkpoint=str(checkpoint("bert", factory)))
    save_encoder(build_encoder(config, supervised=True), folder)
    (folder / "nlcse_pooling.json").write_text(json.dumps({"pooler": "cls", "head_at_test": True}))
    return folder


MADE: dict[str, Callable[[Path, Factory], Path]] = {"plain": plain, "theirs": theirs, "ours": unsealed}


def refused(folder: Path, pooler: Pooler | None = None) -> str:
    with pytest.raises(NlcseError) as caught:
        load_model(str(folder), pooler)
    (line,) = str(caught.value).splitlines()
    assert str(folder) in line
    return line


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def without(path: Path, start: str) -> None:
    """Takes the weights whose names begin so out of a file."""
    save_file({name: w for name, w in load_file(path).items() if not name.startswith(start)}, path, {"format": "pt"})


@pytest.mark.parametrize(
    ("kind", "name", "harm", "message"),
    [
        ("plain", "model.safetensors", cut, "not a model that can be loaded (Error while deserializing"),
        ("plain", "model.safetensors", lambda path: without(path, "encoder.layer.1"), "its file lacks 16 weights (enc"),
        ("plain", "config.json", lambda path: path.write_text("{"), "not a model that can be loaded"),
        ("theirs", "model.safetensors", cut, "sentence-transformers cannot load it (SafetensorError"),
        ("theirs", "model.safetensors", lambda path: without(path, "embeddings.word"), "its file lacks 1 weight (emb"),
        ("theirs", "modules.json", lambda path: path.write_text("["), "modules.json: not a list of modules"),
        ("theirs", "modules.json", lambda path: path.write_bytes(b"\xff\xfe"), "modules.json: not a list of modules"),
        ("theirs", "modules.json", lambda path: path.write_text("[1]"), "modules.json: not a list of modules"),
        ("theirs", "modules.json", lambda path: path.write_text("null"), "modules.json: not a list of modules"),
        ("theirs", "1_Pooling", shutil.rmtree, "its module 1_Pooling (Pooling) is missing"),
        ("theirs", "1_Pooling/config.json", lambda path: path.write_text("{"), "sentence-transformers cannot load it"),
        ("theirs", "2_Dense", shutil.rmtree, "its module 2_Dense (Dense) is missing"),
        ("theirs", "2_Dense/model.safetensors", Path.unlink, "sentence-transformers cannot load it (ValueError: Could"),
        ("theirs", "2_Dense/model.safetensors", cut, "sentence-transformers cannot load it (SafetensorError"),
        ("ours", "nlcse_head.safetensors", Path.unlink, "the MLP that this model keeps at test cannot be loaded"),
        ("ours", "nlcse_head.safetensors", cut, "the MLP that this model keeps at test cannot be loaded"),
        ("ours", "model.safetensors", cut, "not a model that can be loaded"),
        ("ours", "nlcse_pooling.json", lambda path: path.write_text("{"), "nlcse_pooling.json: not readable as"),
        ("ours", "nlcse_pooling.json", lambda path: path.write_text("[]"), "nlcse_pooling.json: not readable as"),
        ("ours", "nlcse_pooling.json", lambda path: path.write_text('{"pooler": "x"}'), "its pooling 'x' is none"),
    ],
)  # fmt: skip
def test_damage_is_told_in_a_line(
    kind: str, name: str, harm: Callable[[Path], object], message: str, tmp_path: Path, tmp_path_factory: Factory
) -> None:
    folder = MADE[kind](tmp_path / "model", tmp_path_factory)
    pooler: Pooler | None = "avg" if kind == "plain" else None
    load_model(str(folder), pooler)
    harm(folder / name)
    assert message in refused(folder, pooler)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "xlm-roberta"])
@pytest.mark.parametrize("kind", ["plain", "theirs"])
def test_a_model_without_tokenizer_files_has_no_score(
    kind: str, family: str, tmp_path: Path, tmp_path_factory: Factory
) -> None:
    """transformers makes up a vocabulary of special tokens, by which every word is unknown, or no token at all."""
    made = {"plain": plain, "theirs": theirs}[kind]
    folder = made(tmp_path / "model", tmp_path_factory, family)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    assert re.search(r"has no tokenizer: its vocabulary of \d+ tokens? holds no word", refused(folder, "avg"))


def test_a_tokenizer_with_more_ids_than_the_model_has_embeddings(tmp_path: Path, tmp_path_factory: Factory) -> None:
    small = checkpoint("bert", tmp_path_factory, vocab_size=100)
    message = f"its tokenizer has ids up to {len(tokenizer()) - 1}, and the model has embeddings for 100"
    assert message in refused(small, "avg")


def test_words_that_the_tokenizer_does_not_know_have_no_score(tmp_path: Path, tmp_path_factory: Factory) -> None:
    encoder = load_model(str(plain(tmp_path / "model", tmp_path_factory)), "avg").encoder
    embed(encoder, (["the dog", "собака the dog"],), "fp32")  # one of five
    with pytest.raises(RunError, match=r"does not know 75% of the words, so a score would say nothing of the model"):
        embed(encoder, (["собака 犬", "the δ"],), "fp32")


@pytest.mark.parametrize("family", ["t5", "bart"])
def test_an_encoder_with_a_decoder_is_refused(family: str, tmp_path: Path, tmp_path_factory: Factory) -> None:
    folder = checkpoint(family, tmp_path_factory, decoder_start_token_id=0)
    for pooler in ("avg", "cls"):
        assert f"a '{family}' model is an encoder with a decoder" in refused(folder, pooler)  # type: ignore[arg-type]


def test_an_encoder_of_theirs_is_scored_as_its_folder_says(tmp_path: Path, tmp_path_factory: Factory) -> None:
    """sentence-transformers takes a T5's encoder alone."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    source = checkpoint("t5", tmp_path_factory, decoder_start_token_id=0)
    folder = saved_by_them(tmp_path / "t5", source, Pooling(32))
    found = embed(load_model(str(folder)).encoder, (["the dog", "a stone"],), "fp32").vectors
    expected = SentenceTransformer(str(folder), device="cpu").encode(["the dog", "a stone"])
    torch.testing.assert_close(torch.from_numpy(found), torch.as_tensor(expected), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["plain", "theirs"])
def test_a_decoder_without_padding_token(kind: str, tmp_path: Path, tmp_path_factory: Factory) -> None:
    """It is scored by its means; its first token is a word, and no [CLS]."""
    folder = {"plain": plain, "theirs": theirs}[kind](tmp_path / "gpt2", tmp_path_factory, "gpt2")
    sentences = ["the dog carries a ball", "stone"]
    expected = embed(load_model(str(folder), "avg", force=True).encoder, (sentences,), "fp32").vectors
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    bare = {name: value for name, value in settings.items() if name not in ("pad_token", "cls_token", "sep_token")}
    (folder / "tokenizer_config.json").write_text(json.dumps(bare))
    words = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(words | {"post_processor": None}))
    encoder = load_model(str(folder), "avg", force=True).encoder
    assert encoder.tokenizer.pad_token_id is None
    found = embed(encoder, (sentences,), "fp32").vectors
    assert found.shape == expected.shape
    alone = embed(encoder, (sentences[1:],), "fp32").vectors  # without padding
    torch.testing.assert_close(torch.from_numpy(alone[0]), torch.from_numpy(found[1]), atol=1e-5, rtol=0)
    if kind == "plain":
        assert "this tokenizer puts no [CLS] before a sentence" in refused(folder, "cls_before_pooler")
    with pytest.raises(RunError, match="the tokenizer makes no token of ''"):
        embed(encoder, (["", "stone"],), "fp32")


def test_what_takes_no_tokens_is_refused(tmp_path: Path) -> None:
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    AutoModel.from_config(AutoConfig.for_model("vit", **shape)).save_pretrained(tmp_path / "vit")
    tokenizer().save_pretrained(tmp_path / "vit")
    assert "cannot embed a sentence (AttributeError" in refused(tmp_path / "vit", "avg")


def test_modules_that_give_no_vector_per_sentence(tmp_path: Path, tmp_path_factory: Factory) -> None:
    folder = saved_by_them(tmp_path / "st", checkpoint("bert", tmp_path_factory))  # no pooling
    assert "cannot embed a sentence (KeyError: 'sentence_embedding')" in refused(folder)
