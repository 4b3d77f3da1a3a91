"""MODEL, as an evaluation is given it, to an Embedder: pooling saved with a model is used, never guessed.

In order: what this tool wrote (a run, by id or folder, a checkpoint, an export); a `sentence-transformers` folder or
hub name, with all that its modules do; a plain Hugging Face folder or hub name with a pooling given.

B sentences, T tokens, D width.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import AutoModel, PreTrainedTokenizerBase

from nlcse_tune.config import Pooler
from nlcse_tune.errors import ConfigError, reason_of
from nlcse_tune.evaluation.embed import Embedder
from nlcse_tune.evaluation.lookup import MODULES_FILE, check_exists, hub_fails
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from nlcse_tune.models.side_embedding import tanh_head
from nlcse_tune.paths import find_model
from nlcse_tune.records.ledger import check_model
from nlcse_tune.saved_model import SavedModel, read_saved

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

# Modules of sentence-transformers that import nothing which their own files name.
MODULES = {
    "CNN",
    "Dense",
    "Dropout",
    "LSTM",
    "LayerNorm",
    "Normalize",
    "Pooling",
    "Transformer",
    "WeightedLayerPooling",
}


class LoadedModel(NamedTuple):
    """An encoder, and where its pooling comes from."""

    encoder: Embedder
    pooling: str  # for people: "avg (saved)"


class Wrapped(nn.Module):
    """A model of sentence-transformers as an Embedder: its modules do the work, in batches of this tool's making."""

    def __init__(self, model: "SentenceTransformer") -> None:
        super().__init__()
        self.model = model
        # What it puts before each sentence unless told otherwise.
        self.prompt = (model.default_prompt_name and model.prompts[model.default_prompt_name]) or ""
        # Where its pooling leaves the prompt out, it has to know how long that is.
        features = model.preprocess([""], prompt=self.prompt) if self.prompt else {}
        self.prompt_length = {key: features[key] for key in ("prompt_length",) if key in features}

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return cast(PreTrainedTokenizerBase, self.model.tokenizer)

    @property
    def max_length(self) -> int:
        """The model's own maximum in tokens."""
        return int(self.model.max_seq_length or self.tokenizer.model_max_length)

    @property
    def device(self) -> torch.device:
        return self.model.device

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T), (B, T) -> (B, D)."""
        features = {"input_ids": input_ids, "attention_mask": attention_mask, **self.prompt_length}
        return cast(Tensor, self.model(features)["sentence_embedding"])[:, : self.model.truncate_dim]


def load_model(
    model: str, pooler: Pooler | None = None, *, force: bool = False, out: Path = Path("runs"), device: str = "cpu"
) -> LoadedModel:
    """The encoder that `model` names, on `device`. Run ids are looked up under `out`.

    A `pooler` other than the saved one is a ConfigError unless `force`, which drops all that follows the saved pooling.
    A model without saved pooling needs one; there, as in SimCSE, "cls" is [CLS] with the checkpoint's pooler layer.
    """
    check_exists(model, out)
    if (folder := find_model(model, out)) is not None:
        check_model(folder)
        saved = cast(SavedModel, read_saved(folder))
        given = _overrides(model, pooler, saved.pooler, head=saved.head_at_test, force=force)
        encoder = load_encoder(folder, pooler=pooler if given else None)
    elif (modules := _modules_of(model)) is not None:
        _check_modules(model, modules)
        return _load_theirs(model, pooler, force=force, device=device)
    else:
        given, encoder = True, load_encoder(model, pooler="cls_before_pooler" if pooler == "cls" else pooler)
        if pooler == "cls":
            encoder.pooler, encoder.head, encoder.head_at_test = "cls", _pooler_layer(model, encoder.width), True
    head = ", with its head" if encoder.head is not None else ""
    return LoadedModel(encoder.to(device), f"{encoder.pooler} ({'given' if given else 'saved'}{head})")


def _overrides(model: str, asked: Pooler | None, saved: str, *, head: bool, force: bool) -> bool:
    """Whether `asked` replaces what is saved; ConfigError where it would do so unforced."""
    same = asked is None or asked == saved or (not head and {asked, saved} == {"cls", "cls_before_pooler"})
    if not same and not force:
        raise ConfigError(
            f"{model}: was saved with pooling {saved!r}, so --pooling {asked} would score another model than the one "
            "that was trained; leave --pooling out, or add --force-pooling if that is what you want"
        )
    return not same


def _modules_of(model: str) -> list[str] | None:
    """The modules' classes of a folder or hub name that sentence-transformers wrote; None for any other."""
    file = Path(model) / MODULES_FILE
    if not Path(model).is_dir():
        from huggingface_hub import hf_hub_download

        try:
            file = Path(hf_hub_download(model, MODULES_FILE, local_files_only=hub_fails(model) is not None))
        except OSError:
            return None  # a plain one
    return [module["type"] for module in json.loads(file.read_text())] if file.is_file() else None


def _check_modules(model: str, modules: list[str]) -> None:
    """ConfigError for modules that this tool does not load.

    sentence-transformers runs what lies in a local folder even where it is told not to trust remote code: a module of
    another name, and whatever class a Router or WordEmbeddings names in its own file.
    """
    if foreign := [name for name in modules if not name.startswith("sentence_transformers.")]:
        raise ConfigError(f"{model}: {', '.join(foreign)}: code of the model's own, which this tool does not run")
    first, *_ = kinds = [name.rpartition(".")[2] for name in modules] or ["no module"]
    if first != "Transformer":
        raise ConfigError(f"{model}: begins with {first}; this tool evaluates what takes token ids alone")
    if others := [kind for kind in kinds if kind not in MODULES]:
        raise ConfigError(f"{model}: has a module {others[0]}; this tool knows {', '.join(sorted(MODULES))}")


def _load_theirs(model: str, asked: Pooler | None, *, force: bool, device: str) -> LoadedModel:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    try:
        loaded = SentenceTransformer(
            model, device=device, trust_remote_code=False, model_kwargs={"dtype": torch.float32}
        )
    except (OSError, ValueError, ImportError, KeyError, TypeError) as error:
        raise ConfigError(f"{model}: sentence-transformers cannot load it ({reason_of(error)})") from None
    first = loaded[0]
    if not isinstance(first, Transformer) or "message" in first.modalities:
        raise ConfigError(
            f"{model}: begins with {type(first).__name__}; this tool evaluates what takes token ids alone"
        )
    wrapped, (saved, rest) = Wrapped(loaded), _saved_pooling(loaded)
    if not _overrides(model, asked, saved, head=rest, force=force):
        return LoadedModel(wrapped, f"{saved} (saved{', with its head' if rest else ''})")
    encoder = SentenceEncoder(first.auto_model, loaded.tokenizer, cast(Pooler, asked))
    encoder.prompt = wrapped.prompt
    return LoadedModel(encoder, f"{asked} (given)")


def _saved_pooling(model: "SentenceTransformer") -> tuple[str, bool]:
    """The pooling of a model of sentence-transformers in this tool's words, and whether modules follow it."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    kinds = [type(module).__name__ for module in model]
    at, pooling = next(((at, m) for at, m in enumerate(model) if isinstance(m, Pooling)), (0, None))
    if pooling is None:
        return "none", len(kinds) > 1
    modes = (pooling.pooling_mode,) if isinstance(pooling.pooling_mode, str) else pooling.pooling_mode
    names = " + ".join("avg" if mode == "mean" else mode for mode in modes)
    return " of ".join([names, *reversed(kinds[1:at])]), at + 1 < len(kinds)


def _pooler_layer(source: str, width: int) -> nn.Module:
    """The checkpoint's linear layer and tanh on [CLS]: what SimCSE's published models keep their MLP in."""
    backbone, info = AutoModel.from_pretrained(
        source, dtype=torch.float32, trust_remote_code=False, output_loading_info=True
    )
    layer = getattr(getattr(backbone, "pooler", None), "dense", None)
    if layer is None or any("pooler" in key for key in info["missing_keys"]):
        raise ConfigError(
            f"{source}: --pooling cls means [CLS] and the checkpoint's pooler layer, and this checkpoint has none; "
            "use --pooling cls_before_pooler for [CLS] alone"
        )
    head = tanh_head(width)
    cast(nn.Linear, head[0]).load_state_dict(layer.state_dict())
    return head
