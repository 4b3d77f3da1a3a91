"""Models of sentence-transformers as Embedders: their modules do the work, in batches of this tool's making.

B sentences, T tokens, D width.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from nlcse_tune.data.hub import MODULES_FILE, hub_fails
from nlcse_tune.errors import ConfigError, reason_of
from nlcse_tune.models.backbone import check_vocabulary, check_weights

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
EMPTY = {"Normalize", "Dropout"}  # their folders hold nothing that counts, and git keeps no empty folder
POOLERS = {"mean": "avg", "lasttoken": "last", "weightedmean": "weighted"}  # what this tool calls otherwise


class Module(NamedTuple):
    """An entry of modules.json."""

    type: str  # the full name of its class
    path: str  # its folder in the model's

    @property
    def kind(self) -> str:
        return self.type.rpartition(".")[2]


class Wrapped(nn.Module):
    """A model of sentence-transformers as an Embedder."""

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
    def backbone(self) -> PreTrainedModel:
        """Its first module's Transformer, without all that follows."""
        return cast(PreTrainedModel, self.model[0].auto_model)

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


def modules_of(model: str) -> list[Module] | None:
    """The modules of a folder or hub name that sentence-transformers wrote; None for any other.

    ConfigError where its list cannot be read, or names a folder that is not there.
    """
    file = Path(model) / MODULES_FILE
    if not Path(model).is_dir():
        from huggingface_hub import hf_hub_download

        try:
            file = Path(hf_hub_download(model, MODULES_FILE, local_files_only=hub_fails(model) is not None))
        except OSError:
            return None  # a plain one
    if not file.is_file():
        return None
    try:
        modules = [Module(str(entry["type"]), str(entry["path"])) for entry in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError, KeyError) as error:
        why = f"{type(error).__name__}: {reason_of(error)}"
        raise ConfigError(f"{file}: not a list of modules as sentence-transformers writes it ({why})") from None
    for module in modules if Path(model).is_dir() else []:
        if module.kind not in EMPTY and not (Path(model) / module.path).is_dir():
            raise ConfigError(f"{model}: its module {module.path} ({module.kind}) is missing; get the whole folder")
    return modules


def check_modules(model: str, modules: list[Module]) -> None:
    """ConfigError for modules that this tool does not load.

    sentence-transformers runs what lies in a local folder even where it is told not to trust remote code: a module of
    another name, and whatever class a Router or WordEmbeddings names in its own file.
    """
    if foreign := [module.type for module in modules if not module.type.startswith("sentence_transformers.")]:
        raise ConfigError(f"{model}: {', '.join(foreign)}: code of the model's own, which this tool does not run")
    first, *_ = kinds = [module.kind for module in modules] or ["no module"]
    if first != "Transformer":
        raise ConfigError(f"{model}: begins with {first}; this tool evaluates what takes token ids alone")
    if others := [kind for kind in kinds if kind not in MODULES]:
        raise ConfigError(f"{model}: has a module {others[0]}; this tool knows {', '.join(sorted(MODULES))}")


def load(model: str, first: Module, device: str) -> tuple[Wrapped, tuple[str, tuple[str, ...]]]:
    """The model, and its pooling as `saved_pooling` says it; ConfigError where the library does not load it.

    The Transformer, `first` of its modules, is read twice: the library does not say which weights it did not find.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Transformer

    try:
        loaded = SentenceTransformer(
            model, device=device, trust_remote_code=False, model_kwargs={"dtype": torch.float32}
        )
        begins = loaded[0]
        if isinstance(begins, Transformer):
            config, options = begins.auto_model.config, {"subfolder": first.path, "output_loading_info": True}
            _, info = type(begins.auto_model).from_pretrained(model, config=config, trust_remote_code=False, **options)
    except Exception as error:  # there is no common class: tokenizers raises bare ones
        why = f"{type(error).__name__}: {reason_of(error)}"
        raise ConfigError(f"{model}: sentence-transformers cannot load it ({why})") from None
    if not isinstance(begins, Transformer) or "message" in begins.modalities:
        raise ConfigError(
            f"{model}: begins with {type(begins).__name__}; this tool evaluates what takes token ids alone"
        )
    wrapped = Wrapped(loaded).eval()
    check_weights(info, model)
    check_vocabulary(wrapped.tokenizer, wrapped.backbone, model)
    return wrapped, saved_pooling(loaded)


def saved_pooling(model: "SentenceTransformer") -> tuple[str, tuple[str, ...]]:
    """The pooling of a model of sentence-transformers in this tool's words, and the modules that follow it."""
    from sentence_transformers.sentence_transformer.modules import Pooling

    kinds = [type(module).__name__ for module in model]
    at, pooling = next(((at, m) for at, m in enumerate(model) if isinstance(m, Pooling)), (0, None))
    if pooling is None:
        return "none", tuple(kinds[1:])
    modes = (pooling.pooling_mode,) if isinstance(pooling.pooling_mode, str) else pooling.pooling_mode
    names = " + ".join(POOLERS.get(mode, mode) for mode in modes)
    return " of ".join([names, *reversed(kinds[1:at])]), tuple(kinds[at + 1 :])
