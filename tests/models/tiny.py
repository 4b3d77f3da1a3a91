"""Tiny random checkpoints with a tokenizer, as real folders."""

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from nlcse_tune.config import EncoderConfig, ScratchConfig
from nlcse_tune.data import synthetic
from nlcse_tune.data.text import train_tokenizer

SHAPE: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64,
    "max_position_embeddings": 80, "initializer_range": 0.1,
}  # fmt: skip
OTHER_SHAPES: dict[str, dict[str, Any]] = {
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 80},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 80},
    "electra": {**SHAPE, "embedding_size": 16},
    "t5": {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2},
    "bart": {
        "d_model": 32,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 64,
        "decoder_ffn_dim": 64,
    },
    "albert": {**SHAPE, "embedding_size": 16},
}
_made: dict[tuple[Any, ...], Path] = {}


@cache
def tokenizer() -> PreTrainedTokenizerBase:
    """WordPiece over the embedded sentences."""
    return train_tokenizer((synthetic.sentences(),), EncoderConfig(scratch=ScratchConfig(vocab_size=400)))


def checkpoint(family: str, factory: pytest.TempPathFactory, **changes: Any) -> Path:
    """A folder with config.json, random weights and tokenizer of `family`; made once a session."""
    key = (family, *sorted(changes.items()))
    if key not in _made:
        words = {"vocab_size": len(tokenizer()), "pad_token_id": tokenizer().pad_token_id}
        config = AutoConfig.for_model(family, **{**words, **OTHER_SHAPES.get(family, SHAPE), **changes})
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = AutoModel.from_config(config)
        folder = factory.mktemp(family)
        model.save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        _made[key] = folder
    return _made[key]


def with_code(source: Path, folder: Path, files: dict[str, Any]) -> Path:
    """A copy of `source` whose `files` (of JSON) ask for code of its own; the code leaves the file `marker` there."""
    shutil.copytree(source, folder)
    marker = f"open({str(folder / 'marker')!r}, 'w').close()\n"
    classes = {"Config": "BertConfig", "Model": "BertModel", "Words": "BertTokenizerFast", "Other": "ProcessorMixin"}
    made = [f"class {name}(transformers.{base}):\n    model_type = 'odd'\n" for name, base in classes.items()]
    (folder / "own.py").write_text("import transformers\n" + marker + "".join(made))
    for name, changes in files.items():
        former = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
        (folder / name).write_text(json.dumps(former | changes if isinstance(changes, dict) else changes))
    return folder


def load_plain(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """What transformers itself makes of a folder."""
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
