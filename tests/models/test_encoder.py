"""The encoder against transformers itself, its families, and what it saves."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from nlcse_tune.config import EncoderConfig, ScratchConfig, SideConfig
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.models.dropout import MaskSource, masks_from
from nlcse_tune.models.encoder import FAMILIES, build_encoder, load_encoder, save_encoder
from nlcse_tune.models.side_embedding import SideTower
from nlcse_tune.training.context import RunContext
from nlcse_tune.training.halves import make_halves
from tests.models.tiny import checkpoint, load_plain, tokenizer
from tests.shared_data import DATA, needs_data
from tests.training.tiny import AUDIO, IMAGES, SEED, build, tiny

SENTENCES = ["the dog carries a ball", "a thief hides the lamp near the old harbor", "stone"]
SIDE = SideConfig(data="synthetic")


@pytest.mark.parametrize("family", FAMILIES)
def test_embed_is_what_a_plain_automodel_gives(family: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = checkpoint(family, tmp_path_factory)
    model, tokens = load_plain(folder)
    batch = tokens(SENTENCES, padding=True, return_tensors="pt")
    expected = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state[:, 0]
    encoder = build_encoder(EncoderConfig(checkpoint=str(folder)), supervised=False).eval()
    got = encoder.embed(batch["input_ids"], batch["attention_mask"])
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", [IMAGES, AUDIO], ids=["image", "audio"])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_trains_three_steps_with_a_side(
    family: str, side: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = checkpoint(family, tmp_path_factory)
    config = tiny({**side, "batch_size": 2}, encoder__checkpoint=str(folder), text__batch_size=4)
    encoder, text, data = build(config)
    before = {name: p.detach().clone() for name, p in encoder.named_parameters()}
    halves = make_halves(encoder, text, data, config, SEED, RunContext(folder), steps=3)
    for step in range(3):
        for half in halves:
            assert torch.isfinite(half.step(step))
    unmoved = [n for n, p in encoder.named_parameters() if torch.equal(p, before[n])]
    assert set(unmoved) <= {"backbone.embeddings.task_type_embeddings.weight"}  # ernie has a table that it does not use


@pytest.mark.parametrize("family", FAMILIES)
def test_the_side_goes_through_the_same_layers_without_embedding_or_mask(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Text states put in by hand come out as the text path's own."""
    encoder = build_encoder(
        EncoderConfig(checkpoint=str(checkpoint(family, tmp_path_factory))), supervised=False, sides=[SIDE]
    ).eval()
    batch = encoder.tokenizer(SENTENCES[:1], return_tensors="pt")
    states = encoder.backbone.embeddings(batch["input_ids"])
    if hasattr(encoder.backbone, "embeddings_project"):
        states = encoder.backbone.embeddings_project(states)
    through = encoder.backbone.encoder(states).last_hidden_state
    expected = encoder.backbone(**{k: batch[k] for k in ("input_ids", "attention_mask")}).last_hidden_state
    torch.testing.assert_close(through, expected, rtol=1e-5, atol=1e-6)
    assert encoder.forward_side(torch.randn(2, 3, 224, 224)).shape == (2, encoder.width)


@pytest.mark.parametrize("family", ["distilbert", "albert", "gpt2"])
def test_other_families_are_refused_with_a_side_and_told_which_can(
    family: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    config = EncoderConfig(checkpoint=str(checkpoint(family, tmp_path_factory)))
    with pytest.raises(ConfigError, match=rf"'{family}'.*families that can: {', '.join(FAMILIES)}"):
        build_encoder(config, supervised=False, sides=[SIDE])


def test_other_families_train_on_text_alone_with_keyed_dropout(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = str(checkpoint("distilbert", tmp_path_factory))
    encoder = build_encoder(EncoderConfig(checkpoint=folder), supervised=False)
    ids = torch.tensor([[2, 20, 30, 3]])

    def vector() -> torch.Tensor:
        with masks_from(MaskSource(torch.Generator().manual_seed(1), torch.arange(1), 1)):
            return encoder(ids, torch.ones_like(ids))

    assert torch.equal(vector(), vector())
    assert encoder.max_length == 80
    with pytest.raises(ConfigError, match=r"encoder\.dropout: a 'distilbert' encoder .* has no hidden_dropout_prob"):
        build_encoder(EncoderConfig(checkpoint=folder, dropout=0.2), supervised=False)


def test_dropout_that_is_not_keyed_is_refused(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint("distilbert", tmp_path_factory)
    monkeypatch.setattr("nlcse_tune.models.encoder.key_dropout", lambda model: None)
    with pytest.raises(ConfigError, match="could be repeated"):
        build_encoder(EncoderConfig(checkpoint=str(folder)), supervised=False)


def test_a_checkpoint_that_is_none_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give a folder that holds"):
        build_encoder(EncoderConfig(checkpoint=str(tmp_path)), supervised=False)


def test_dropout_of_the_configuration_reaches_every_layer(tmp_path_factory: pytest.TempPathFactory) -> None:
    config = EncoderConfig(checkpoint=str(checkpoint("bert", tmp_path_factory)), dropout=0.3)
    encoder = build_encoder(config, supervised=False, sides=[SIDE])
    rates = {module.p for module in encoder.modules() if isinstance(module, torch.nn.Dropout)}
    assert rates == {0.3}
    assert encoder.backbone.config.attention_probs_dropout_prob == 0.3


@pytest.mark.parametrize(("family", "offset"), [("bert", 0), ("roberta", 2), ("camembert", 2), ("xlm-roberta", 2)])
def test_the_longest_sentence_fits_the_positions(
    family: str, offset: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """RoBERTa and its kin lose padding_idx + 1 positions."""
    folder = checkpoint(family, tmp_path_factory, **({"pad_token_id": 1} if offset else {}))
    encoder = build_encoder(EncoderConfig(checkpoint=str(folder)), supervised=False).eval()
    assert encoder.max_length == 80 - offset
    ids = torch.full((1, encoder.max_length), 20)
    assert torch.isfinite(encoder.embed(ids, torch.ones_like(ids))).all()


@pytest.mark.parametrize("supervised", [False, True])
def test_the_head_is_kept_at_test_for_supervised_models_only(supervised: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(
        EncoderConfig(checkpoint="scratch"), supervised=supervised, sides=[SIDE], tokenizer=tokenizer()
    ).eval()
    batch = encoder.tokenizer(SENTENCES, padding=True, return_tensors="pt")
    inputs = batch["input_ids"], batch["attention_mask"]
    pooled = encoder.pooled(*inputs)
    assert encoder.head is not None
    torch.testing.assert_close(encoder(*inputs), encoder.head(pooled))
    torch.testing.assert_close(encoder.embed(*inputs), encoder.head(pooled) if supervised else pooled)
    save_encoder(encoder, tmp_path / "saved")
    loaded = load_encoder(tmp_path / "saved")
    assert (loaded.head is not None) == supervised
    torch.testing.assert_close(loaded.embed(*inputs), encoder.embed(*inputs))
    without_head = load_encoder(tmp_path / "saved", pooler="avg")
    assert without_head.head is None


def test_a_folder_without_pooling_asks_for_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigError, match="say how to pool"):
        load_encoder(checkpoint("bert", tmp_path_factory))


def test_an_encoder_without_side_refuses_side_inputs(tmp_path_factory: pytest.TempPathFactory) -> None:
    encoder = build_encoder(EncoderConfig(checkpoint="scratch"), supervised=False, tokenizer=tokenizer())
    with pytest.raises(RunError, match="without such a side"):
        encoder.forward_side(torch.randn(2, 3, 224, 224))


def test_a_vit_checkpoint_of_the_same_width_starts_the_side(tmp_path: Path) -> None:
    from transformers import ViTConfig, ViTModel

    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    vit = ViTModel(ViTConfig(hidden_size=32, **shape))
    vit.save_pretrained(tmp_path / "vit")
    scratch = EncoderConfig(checkpoint="scratch", scratch=ScratchConfig(hidden_size=32))
    side = SideConfig(data="synthetic", checkpoint=str(tmp_path / "vit"))
    encoder = build_encoder(scratch, supervised=False, sides=[side], tokenizer=tokenizer()).eval()
    images = torch.randn(2, 3, 224, 224)
    (tower,) = encoder.sides
    torch.testing.assert_close(tower.embedding(images), vit.eval().embeddings(images), rtol=1e-5, atol=1e-6)
    wide = scratch.model_copy(update={"scratch": ScratchConfig(hidden_size=64)})
    with pytest.raises(ConfigError, match="does not fit the encoder: cls_token"):
        build_encoder(wide, supervised=False, sides=[side], tokenizer=tokenizer())


@pytest.mark.parametrize(
    ("modality", "shape", "states"), [("image", (3, 224, 224), 197), ("audio", (1, 128, 1024), 211)]
)
def test_side_embeddings_have_the_papers_shapes(modality: str, shape: tuple[int, ...], states: int) -> None:
    embedding = SideTower(modality, 24, 0.0).embedding  # type: ignore[arg-type]
    assert embedding(torch.randn(2, *shape)).shape == (2, states, 24)


def test_position_embeddings_of_a_side_can_be_left_out() -> None:
    embedding = SideTower("audio", 24, 0.0, positions=False).embedding
    assert set(embedding.state_dict()) == {"cls_token", "projection.weight", "projection.bias"}
    inputs = torch.zeros(1, 1, 128, 1024)
    states = embedding(inputs)
    assert states.shape == (1, 211, 24)
    assert torch.equal(states[:, 1:], torch.zeros(1, 210, 24))  # of silence, wherever it stands


def test_scratch_tokenizer_knows_the_embedded_words() -> None:
    """A tokenizer that maps words to [UNK] gives wonderful losses and learns nothing."""
    ids = tokenizer()("the hound repairs a couch by the mound")["input_ids"]
    assert tokenizer().unk_token_id not in ids
    assert len(ids) > 8


@needs_data
@pytest.mark.parametrize("name", ["bert_uncased_vocab", "bert-mini-wiki"])
def test_shared_tokenizers_know_a_plain_sentence(name: str) -> None:
    tokens = AutoTokenizer.from_pretrained(DATA / "models" / name)
    ids = tokens("A man is playing the guitar near the harbor.")["input_ids"]
    assert tokens.unk_token_id not in ids
    assert len(ids) == 12


def test_a_side_checkpoint_that_is_none_is_one_error(tmp_path: Path) -> None:
    embedding = SideTower("image", 32, 0.1).embedding
    with pytest.raises(ConfigError, match=r"side.checkpoint .*: not a ViT that can be loaded \(.*give a folder"):
        embedding.load_vit(str(tmp_path))
