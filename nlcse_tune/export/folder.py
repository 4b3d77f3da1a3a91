"""`nlcse-tune export`: a run as a folder that `sentence_transformers.SentenceTransformer(folder)` loads.

    config.json, model.safetensors, tokenizer files   the backbone
    modules.json, sentence_bert_config.json, config_sentence_transformers.json
    1_WeightedLayerPooling/                           poolers avg_first_last and avg_top2 alone
    N_Pooling/config.json                             [CLS] or the mean over tokens
    N_Dense/                                          the tanh MLP, where it is kept at test (supervised `cls`)
    README.md                                         the model card

Files are written in the form that every version of sentence-transformers reads; the package itself is not needed.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.export.card import model_card
from nlcse_tune.models.encoder import FAMILIES, POOLING_FILE, WITHOUT_POOLING_LAYER, SentenceEncoder, load_encoder
from nlcse_tune.models.pooling import NEEDS_ALL_LAYERS
from nlcse_tune.paths import RunPaths
from nlcse_tune.records import RunRecord, TestRecord

MODULES = "sentence_transformers.models"


@dataclass(frozen=True)
class Source:
    """A checkpoint, and the records of its run where there are any."""

    folder: Path
    record: RunRecord | None
    test: TestRecord | None


def export_run(run: str, to: Path, *, out: Path = Path("runs"), force: bool = False) -> Path:
    """Writes the run `run` (an id under `out`, or a folder) to `to`.

    `force` replaces an earlier export; any other folder with files in it is refused even so.
    """
    source = find_run(run, out)
    _check_target(to, force=force)
    encoder = load_encoder(source.folder)
    unfinished = to.resolve().with_name(f".{to.resolve().name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        export_encoder(encoder, unfinished)
        (unfinished / "README.md").write_text(model_card(encoder, source.record, source.test, to.resolve().name))
        if to.is_dir():
            shutil.rmtree(to)
        unfinished.replace(to.resolve())
    except OSError as error:
        raise RunError(f"{to}: cannot be written: {error.strerror or error}; choose another --to") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return to


def find_run(run: str, out: Path) -> Source:
    """The best checkpoint of a run id under `out`, of a run's folder, or the checkpoint folder itself."""
    candidates = [Path(run), Path(run) / "best"]
    if "/" not in run:
        candidates += sorted(out.glob(f"*/checkpoints/{run}/best"))
    found = [folder for folder in candidates if (folder / POOLING_FILE).is_file()]
    if not found:
        raise ConfigError(
            f"{run}: no run of this id has a checkpoint under {out}/*/checkpoints, and no such checkpoint folder; "
            "give the id of a run there, a folder, or another --out"
        )
    if len(found) > 1:
        raise ConfigError(
            f"{run}: {len(found)} checkpoints go by this name: {', '.join(map(str, found))}; give the folder"
        )
    folder = found[0].absolute()  # not resolved: `best` is a link
    paths = RunPaths(folder.parents[2], folder.parent.name) if len(folder.parents) > 2 else None
    record = RunRecord.read(paths.record) if paths else None
    test = TestRecord.read(paths.test) if paths else None
    return Source(folder, record, test)


def _check_target(to: Path, *, force: bool) -> None:
    if to.is_file():
        raise ConfigError(f"--to {to}: is a file; give a folder")
    if not to.is_dir() or not any(to.iterdir()):
        return
    if not force:
        raise ConfigError(f"--to {to}: is not empty; choose another folder, or --force to replace an earlier export")
    if not (to / "modules.json").is_file():
        raise ConfigError(f"--to {to}: holds other files than an earlier export, so --force does not replace it")


def export_encoder(encoder: SentenceEncoder, folder: Path) -> None:
    """Writes all but the model card."""
    folder.mkdir(parents=True)
    length, every = encoder.max_length, encoder.pooler in NEEDS_ALL_LAYERS
    encoder.backbone.config.output_hidden_states = every
    encoder.backbone.save_pretrained(folder)
    encoder.tokenizer.model_max_length = length
    encoder.tokenizer.save_pretrained(folder)

    family = encoder.backbone.config.model_type
    poolable = family in FAMILIES and family not in WITHOUT_POOLING_LAYER
    transformer: dict[str, Any] = {"max_seq_length": length, "do_lower_case": False}
    if poolable:  # else transformers makes up a layer that nobody uses, and warns of it
        transformer["model_args"] = {"add_pooling_layer": False}
    _write(folder / "sentence_bert_config.json", transformer)
    _write(
        folder / "config_sentence_transformers.json",
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )

    modules = [("", "Transformer")]
    if every:
        modules.append((f"{len(modules)}_WeightedLayerPooling", "WeightedLayerPooling"))
        _write_layer_pooling(encoder, folder / modules[-1][0])
    modules.append((f"{len(modules)}_Pooling", "Pooling"))
    _write_pooling(encoder, folder / modules[-1][0])
    if encoder.head is not None and encoder.head_at_test:
        modules.append((f"{len(modules)}_Dense", "Dense"))
        _write_dense(encoder, folder / modules[-1][0])
    _write(folder / "modules.json", [
        {"idx": index, "name": str(index), "path": path, "type": f"{MODULES}.{kind}"}
        for index, (path, kind) in enumerate(modules)
    ])  # fmt: skip


def layer_weights(encoder: SentenceEncoder) -> Tensor:
    """(L + 1,) how much of each hidden state a pooler of two layers takes, the embedding layer's first."""
    layers = int(encoder.backbone.config.num_hidden_layers)
    weights = torch.zeros(layers + 1)
    for layer in (1, layers) if encoder.pooler == "avg_first_last" else (layers - 1, layers):
        weights[layer] += 1
    return weights


def _write_layer_pooling(encoder: SentenceEncoder, folder: Path) -> None:
    weights = layer_weights(encoder)
    folder.mkdir()
    config = {"word_embedding_dimension": encoder.width, "layer_start": 0, "num_hidden_layers": len(weights) - 1}
    _write(folder / "config.json", config)
    save_file({"layer_weights": weights}, folder / "model.safetensors")


def _write_pooling(encoder: SentenceEncoder, folder: Path) -> None:
    cls = encoder.pooler in ("cls", "cls_before_pooler")
    folder.mkdir()
    _write(folder / "config.json", {
        "word_embedding_dimension": encoder.width,
        "pooling_mode_cls_token": cls,
        "pooling_mode_mean_tokens": not cls,
        "pooling_mode_max_tokens": False,
        "pooling_mode_mean_sqrt_len_tokens": False,
    })  # fmt: skip


def _write_dense(encoder: SentenceEncoder, folder: Path) -> None:
    assert encoder.head is not None
    folder.mkdir()
    _write(folder / "config.json", {
        "in_features": encoder.width, "out_features": encoder.width, "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    })  # fmt: skip
    state = encoder.head.state_dict()  # "0.weight", "0.bias": the linear layer before the tanh
    save_file(
        {name.replace("0.", "linear."): t.contiguous() for name, t in state.items()}, folder / "model.safetensors"
    )


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
