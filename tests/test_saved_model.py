"""A model that is not what was written is refused by whatever would use it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from nlcse_tune.config import EncoderConfig
from nlcse_tune.errors import DataError
from nlcse_tune.evaluation.models import load_model
from nlcse_tune.export.folder import export_run
from nlcse_tune.models.encoder import build_encoder, save_encoder
from nlcse_tune.saved_model import damage, read_saved
from tests.models.tiny import checkpoint


def flipped(folder: Path) -> str:
    path = folder / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    return "model.safetensors is not the file that was written"


def cut(folder: Path) -> str:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    return "model.safetensors is not the file that was written"


def gone(folder: Path) -> str:
    (folder / "tokenizer.json").unlink()
    return "tokenizer.json is missing"


def torn(folder: Path) -> str:
    path = folder / "nlcse_pooling.json"
    path.write_text(path.read_text()[:40])
    return "not readable as this tool writes it"


@pytest.fixture
def model(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    source = checkpoint("bert", tmp_path_factory)
    save_encoder(build_encoder(EncoderConfig(checkpoint=str(source)), supervised=False), tmp_path / "model")
    return tmp_path / "model"


@pytest.mark.parametrize("harm", [flipped, cut, gone, torn], ids=lambda harm: harm.__name__)
def test_a_damaged_model_is_neither_scored_nor_exported(
    harm: Callable[[Path], str], model: Path, tmp_path: Path
) -> None:
    assert damage(model) is None
    why = harm(model)
    assert why in str(damage(model))
    for use in (lambda: load_model(str(model)), lambda: export_run(str(model), tmp_path / "exported")):
        with pytest.raises(DataError, match="not as it was written") as refused:
            use()
        assert why in str(refused.value)
    assert not (tmp_path / "exported").exists()


def test_another_model_is_not_the_one_that_a_record_names(model: Path) -> None:
    saved = read_saved(model)
    assert saved is not None
    assert damage(model, saved.digest) is None
    assert damage(model, "0" * 32) == "it is another model"


def test_a_card_may_be_written_in_and_an_early_model_has_no_digests(model: Path, tmp_path: Path) -> None:
    exported = export_run(str(model), tmp_path / "exported")
    (exported / "README.md").write_text("licence: mine")
    assert damage(exported) is None
    path = model / "nlcse_pooling.json"
    path.write_text(json.dumps({"pooler": "cls", "head_at_test": False}))
    flipped(model)
    assert damage(model) is None
    assert str(load_model(str(model)).pooling) == "cls (saved)"
