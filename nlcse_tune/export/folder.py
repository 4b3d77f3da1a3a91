"""`nlcse-tune export`: a run as a folder that `sentence_transformers.SentenceTransformer(folder)` loads.

Its modules: Transformer; WeightedLayerPooling for poolers avg_first_last and avg_top2 alone; Pooling; Dense, the tanh
MLP, where it is kept at test (supervised `cls`). This tool's pooling file beside them is what `evaluate` reads.
"""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError, RunError, StorageError, reason_of
from nlcse_tune.export.card import model_card
from nlcse_tune.models.backbone import FAMILIES
from nlcse_tune.models.encoder import HEAD_FILE, SentenceEncoder, load_encoder, writing_model
from nlcse_tune.models.pooling import NEEDS_ALL_LAYERS
from nlcse_tune.paths import find_model, run_of
from nlcse_tune.records.ledger import check_model, kept_record, kept_test
from nlcse_tune.saved_model import seal

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
# What sentence-transformers calls a pooling; the others are means.
MODES: dict[Pooler, Any] = {
    "cls": "cls", "cls_before_pooler": "cls", "max": "max", "last": "lasttoken", "weighted": "weightedmean",
}  # fmt: skip


def export_run(run: str, to: Path, *, out: Path = Path("runs"), force: bool = False) -> Path:
    """Writes the run `run` (an id under `out`, or a folder) to `to`; `force` replaces an export, and nothing else."""
    if (model := find_model(run, out)) is None:
        raise ConfigError(
            f"{run}: no run of this id has a checkpoint under {out}/*/checkpoints, and no such checkpoint folder; "
            "give the id of a run there, a folder, or another --out"
        )
    _check_target(to, force=force)
    target = to.resolve()
    unfinished = target.with_name(f".{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with writing_model(to):
            _write(model, unfinished, target.name)
            shutil.rmtree(target, ignore_errors=True)
            unfinished.replace(target)
    except StorageError as error:
        raise RunError(f"{error}".replace("free space or choose another --out", "choose another --to")) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return to


def _check_target(to: Path, *, force: bool) -> None:
    if to.is_file():
        raise ConfigError(f"--to {to}: is a file; give a folder")
    full = to.is_dir() and any(to.iterdir())
    if full and not force:
        raise ConfigError(f"--to {to}: is not empty; choose another folder, or --force to replace an earlier export")
    if full and not (to / "modules.json").is_file():
        raise ConfigError(f"--to {to}: holds other files than an earlier export, so --force does not replace it")


def _write(model: Path, folder: Path, name: str) -> None:
    check_model(model)
    encoder = load_encoder(model)
    options = FAMILIES.get(encoder.backbone.config.model_type, {})
    _as_sentence_transformer(model, encoder, options).save(str(folder), create_model_card=False)
    transformer = folder / "sentence_bert_config.json"
    described = {**json.loads(transformer.read_text()), "model_kwargs": options}  # the library does not keep these
    transformer.write_text(json.dumps(described, indent=2) + "\n")
    if encoder.test_head is not None:
        shutil.copyfile(model / HEAD_FILE, folder / HEAD_FILE)
    seal(folder, encoder.pooler, head_at_test=encoder.test_head is not None)
    record = kept_record(paths) if (paths := run_of(model)) else None
    test = kept_test(paths, record) if paths and record else None
    (folder / "README.md").write_text(model_card(encoder, record, test, name), encoding="utf-8")


def _as_sentence_transformer(model: Path, encoder: SentenceEncoder, options: dict[str, Any]) -> "SentenceTransformer":
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Pooling, Transformer, WeightedLayerPooling

    every, width = encoder.pooler in NEEDS_ALL_LAYERS, encoder.width
    try:
        transformer = Transformer(
            str(model), max_seq_length=encoder.max_length,
            config_kwargs={"output_hidden_states": every, "trust_remote_code": False},
            model_kwargs={"dtype": torch.float32, **options, "trust_remote_code": False},
            processor_kwargs={"trust_remote_code": False},
        )  # fmt: skip
    except (OSError, ValueError) as error:
        raise ConfigError(f"{model}: sentence-transformers cannot load it ({reason_of(error)})") from None
    modules: list[nn.Module] = [transformer]
    if every:  # how much of each hidden state, the embedding layer's first
        layers = int(encoder.backbone.config.num_hidden_layers)
        taken = (1, layers) if encoder.pooler == "avg_first_last" else (layers - 1, layers)
        weights = nn.Parameter(torch.bincount(torch.tensor(taken), minlength=layers + 1).float())
        modules.append(WeightedLayerPooling(width, layers, layer_start=0, layer_weights=weights))
    modules.append(Pooling(width, MODES.get(encoder.pooler, "mean")))
    if encoder.test_head is not None:
        linear = cast(nn.Linear, cast(nn.Sequential, encoder.test_head)[0])  # then comes Tanh, Dense's own default
        modules.append(Dense(width, width, init_weight=linear.weight, init_bias=linear.bias))
    whole: SentenceTransformer = SentenceTransformer(modules=modules, device="cpu", similarity_fn_name="cosine")
    return whole
