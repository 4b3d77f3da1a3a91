"""MODEL, as an evaluation is given it, to a SentenceEncoder: pooling saved with a model is used, never guessed.

In order: a run (its id, or its folder with `best/` in it), a folder that `save_encoder` wrote, a
`sentence-transformers` folder or hub name, and a plain Hugging Face folder or hub name with a pooling given.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel

from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.models.encoder import POOLING_FILE, SentenceEncoder, load_encoder
from nlcse_tune.models.side_embedding import tanh_head
from nlcse_tune.paths import StudyPaths

SAVED = "saved"
MODULES_FILE = "modules.json"
_ALIASES = {"mean": "avg"}
_FROM_SENTENCE_TRANSFORMERS: dict[str, Pooler] = {"cls": "cls", "mean": "avg"}
_FLAGS = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean", "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens", "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}  # fmt: skip


@dataclass(frozen=True)
class LoadedModel:
    """An encoder in evaluation mode, the name it goes by, and where its pooling comes from."""

    name: str
    encoder: SentenceEncoder
    pooling: str  # for people: "avg (saved)"


class Normalize(nn.Module):
    """(B, D) -> (B, D) of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        return functional.normalize(vectors, dim=-1)


def load_model(model: str, pooling: str = SAVED, *, force: bool = False, out: Path = Path("runs")) -> LoadedModel:
    """The encoder that `model` names, on the CPU.

    `pooling` is "saved" or a pooler ("mean" is "avg"). One that differs from what is saved with the model is a
    ConfigError unless `force`, which also leaves out whatever follows the saved pooling. A model without saved
    pooling needs one; there, as in SimCSE, "cls" means [CLS] and the checkpoint's own pooler layer, and
    "cls_before_pooler" [CLS] alone. Run ids are looked up under `out`.
    """
    asked = _pooler(pooling)
    source = _find(model, out)
    folder = Path(source)
    if (folder / POOLING_FILE).is_file():
        saved = json.loads((folder / POOLING_FILE).read_text())
        overrides = _overrides(model, asked, saved["pooler"], head=bool(saved.get("head_at_test")), force=force)
        encoder = load_encoder(source, pooler=asked if overrides else None)
    elif (st_folder := _sentence_transformers_folder(source)) is not None:
        encoder = _load_sentence_transformer(st_folder, model, asked, force=force)
        overrides = asked is not None and asked != encoder.pooler
    else:
        overrides, encoder = True, _load_plain(source, asked)
    origin = ("given" if overrides else "saved") + (", with its head" if encoder.head is not None else "")
    return LoadedModel(model, encoder.eval(), f"{encoder.pooler} ({origin})")


def _pooler(name: str) -> Pooler | None:
    chosen = _ALIASES.get(name, name)
    if chosen == SAVED:
        return None
    if chosen not in get_args(Pooler):
        known = (SAVED, *get_args(Pooler), *_ALIASES)
        raise ConfigError(f"--pooling {name}: no such pooling{nearest(name, known)}; known: {', '.join(known)}")
    return cast(Pooler, chosen)


def _find(model: str, out: Path) -> str:
    """The folder of a run, or `model` itself: a folder, or a hub name."""
    if (Path(model) / "best" / POOLING_FILE).is_file():
        return str(Path(model) / "best")
    if not Path(model).exists() and "/" not in model:
        found = sorted(out.glob(f"*/checkpoints/{model}/best"))
        if len(found) > 1:
            raise ConfigError(f"{model}: {len(found)} runs have this id: {', '.join(map(str, found))}; give the folder")
        if found:
            return str(found[0])
    return model


def study_run(model: str, out: Path) -> tuple[StudyPaths, str] | None:
    """The study and run id whose checkpoint `model` names; None where it is no study's."""
    best = Path(_find(model, out))
    run = best.parent.resolve()  # `best` itself is a link to the step's folder
    study = run.parent.parent
    if best.name.startswith("best") and run.parent.name == "checkpoints" and (study / "records").is_dir():
        return StudyPaths(study.parent, study.name), run.name
    return None


def _overrides(model: str, asked: Pooler | None, saved: str, *, head: bool, force: bool) -> bool:
    """Whether `asked` replaces what is saved; ConfigError where it would do so unforced."""
    same = asked is None or asked == saved or (not head and {asked, saved} == {"cls", "cls_before_pooler"})
    if not same and not force:
        raise ConfigError(
            f"{model}: was saved with pooling {saved!r}, so --pooling {asked} would score another model than the one "
            "that was trained; leave --pooling out, or add --force-pooling if that is what you want"
        )
    return not same


def _load_plain(source: str, asked: Pooler | None) -> SentenceEncoder:
    encoder = load_encoder(source, pooler="cls_before_pooler" if asked == "cls" else asked)
    if asked == "cls":
        encoder.pooler, encoder.head, encoder.head_at_test = "cls", _pooler_layer(source, encoder.width), True
    return encoder


def _pooler_layer(source: str, width: int) -> nn.Module:
    """The checkpoint's linear layer and tanh on [CLS]: what SimCSE's published models keep their MLP in."""
    backbone, info = AutoModel.from_pretrained(source, dtype=torch.float32, output_loading_info=True)
    layer = getattr(getattr(backbone, "pooler", None), "dense", None)
    if layer is None or any("pooler" in key for key in info["missing_keys"]):
        raise ConfigError(
            f"{source}: --pooling cls means [CLS] and the checkpoint's pooler layer, and this checkpoint has none; "
            "use --pooling cls_before_pooler for [CLS] alone"
        )
    head = tanh_head(width)
    cast(nn.Linear, head[0]).load_state_dict(layer.state_dict())
    return head


def _sentence_transformers_folder(source: str) -> Path | None:
    """The folder with `modules.json`, fetched if `source` is a hub name that has one; else None."""
    if Path(source).exists():
        return Path(source) if (Path(source) / MODULES_FILE).is_file() else None
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        hf_hub_download(source, MODULES_FILE)
        ignored = ["onnx/*", "openvino/*", "*.h5", "*.ot", "*.msgpack", "rust_model*", "pytorch_model.bin"]
        return Path(snapshot_download(source, ignore_patterns=ignored))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None  # not one of theirs, or out of reach: `load_encoder` says what is wrong


def _load_sentence_transformer(folder: Path, model: str, asked: Pooler | None, *, force: bool) -> SentenceEncoder:
    """Transformer, Pooling, then any number of Dense and Normalize; anything else is a ConfigError.

    Before Pooling there may be a WeightedLayerPooling that stands for one of this tool's poolers (an export has it).
    """
    modules = json.loads((folder / MODULES_FILE).read_text())
    kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
    at = 2 if kinds[1:2] == ["WeightedLayerPooling"] else 1  # of Pooling
    if kinds[:1] + kinds[at : at + 1] != ["Transformer", "Pooling"] or set(kinds[at + 1 :]) - {"Dense", "Normalize"}:
        raise ConfigError(
            f"{model}: its modules are {', '.join(kinds)}; this tool evaluates Transformer, Pooling, and after them "
            "Dense and Normalize"
        )
    saved = _saved_pooling(json.loads((folder / modules[at]["path"] / "config.json").read_text()), model)
    if at == 2:
        saved = _layer_pooling(folder / modules[1]["path"], model, saved, asked)
    head = [_head_module(kind, folder / m["path"]) for kind, m in zip(kinds[at + 1 :], modules[at + 1 :], strict=True)]
    if _overrides(model, asked, saved, head=bool(head), force=force):
        saved, head = cast(Pooler, asked), []
    encoder = load_encoder(folder / modules[0]["path"], pooler=saved)
    _apply_transformer_settings(encoder, folder, model)
    if head:
        encoder.head, encoder.head_at_test = nn.Sequential(*head), True
    return encoder


def _saved_pooling(config: dict[str, Any], model: str) -> Pooler:
    """Old files have a flag for each mode, new ones `pooling_mode`."""
    modes = config.get("pooling_mode") or [mode for flag, mode in _FLAGS.items() if config.get(flag)]
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in _FROM_SENTENCE_TRANSFORMERS:
        known = ", ".join(_FROM_SENTENCE_TRANSFORMERS)
        raise ConfigError(f"{model}: its pooling is {' + '.join(modes) or 'not given'}; this tool has {known}")
    return _FROM_SENTENCE_TRANSFORMERS[modes[0]]


def _layer_pooling(folder: Path, model: str, tokens: Pooler, asked: Pooler | None) -> Pooler:
    """The pooler that weighs the layers as the module in `folder` does; `asked` where that is one of several."""
    weights = load_file(folder / "model.safetensors")["layer_weights"]
    start, last = _json(folder / "config.json").get("layer_start"), len(weights) - 1
    layers: dict[Pooler, list[int]] = {"avg_first_last": [1, last], "avg_top2": [last - 1, last]}
    means = {pooler: torch.bincount(torch.tensor(two), minlength=last + 1) / 2 for pooler, two in layers.items()}
    same = [pooler for pooler, mean in means.items() if torch.allclose(mean, weights / weights.sum())]
    if not same or start != 0 or tokens != "avg":
        raise ConfigError(
            f"{model}: its layer weights {weights.tolist()} with pooling {tokens!r} are none of this tool's poolings: "
            f"{', '.join(layers)}"
        )
    return asked if asked in same else same[0]


def _head_module(kind: str, folder: Path) -> nn.Module:
    return Normalize() if kind == "Normalize" else _dense(folder)


def _dense(folder: Path) -> nn.Module:
    config = json.loads((folder / "config.json").read_text())
    path = config.get("activation_function") or "torch.nn.modules.activation.Tanh"
    activation = getattr(nn, path.rsplit(".", 1)[-1], None) if path.startswith("torch.nn.") else None
    if activation is None or config.get("module_input_name", "sentence_embedding") != "sentence_embedding":
        raise ConfigError(f"{folder}: a Dense module with {path} on {config.get('module_input_name')} is not supported")
    linear = nn.Linear(config["in_features"], config["out_features"], bias=config.get("bias", True))
    file = folder / "model.safetensors"
    state = load_file(file) if file.is_file() else torch.load(folder / "pytorch_model.bin", weights_only=True)
    linear.load_state_dict({name.removeprefix("linear."): value for name, value in state.items()})
    return nn.Sequential(linear, activation())


def _apply_transformer_settings(encoder: SentenceEncoder, folder: Path, model: str) -> None:
    """The maximum length and lower-casing that `sentence-transformers` keeps beside a model."""
    own, general = _json(folder / "sentence_bert_config.json"), _json(folder / "config_sentence_transformers.json")
    if (prompt := general.get("default_prompt_name")) and general.get("prompts", {}).get(prompt):
        raise ConfigError(f"{model}: puts the prompt {prompt!r} before each sentence, which this tool does not do")
    if length := own.get("max_seq_length"):
        encoder.tokenizer.model_max_length = min(int(length), int(encoder.tokenizer.model_max_length))
    if own.get("do_lower_case"):
        from tokenizers.normalizers import Lowercase, Sequence

        tokenizer = encoder.tokenizer.backend_tokenizer
        tokenizer.normalizer = Sequence([n for n in (Lowercase(), tokenizer.normalizer) if n is not None])


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text()) if path.is_file() else {}
