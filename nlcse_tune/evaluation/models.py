"""MODEL, as an evaluation is given it, to an Embedder: pooling saved with a model is used, never guessed.

In order: what this tool wrote (a run, by id or folder, a checkpoint, an export); a `sentence-transformers` folder or
hub name, with all that its modules do (`theirs.py`); a plain Hugging Face folder or hub name with a pooling given.
"""

from pathlib import Path
from typing import Literal, NamedTuple, cast

import torch
from torch import nn
from transformers import AutoModel, PreTrainedTokenizerBase

from nlcse_tune.config import Frozen, Pooler
from nlcse_tune.errors import ConfigError, reason_of
from nlcse_tune.evaluation import theirs
from nlcse_tune.evaluation.embed import Embedder
from nlcse_tune.evaluation.lookup import check_exists
from nlcse_tune.models.encoder import SentenceEncoder, load_encoder
from nlcse_tune.models.side_embedding import tanh_head
from nlcse_tune.paths import find_model
from nlcse_tune.records.ledger import check_model
from nlcse_tune.saved_model import SavedModel, read_saved

MLP = "MLP"  # the head of pooler `cls`, among what follows a pooling


class PoolingUsed(Frozen):
    """How token states became the vectors that were scored."""

    pooler: str
    source: Literal["saved", "given"]  # with the model, or by --pooling
    then: tuple[str, ...] = ()  # what follows the pooling, in order
    left_out: tuple[str, ...] = ()  # what follows the saved pooling, and was not applied

    def __str__(self) -> str:
        parts = {"then": self.then, "without": self.left_out}
        rest = [f", {word} {', '.join(names)}" for word, names in parts.items() if names]
        return "".join([f"{self.pooler} ({self.source})", *rest])


class LoadedModel(NamedTuple):
    """An encoder, and how it pools."""

    encoder: Embedder
    pooling: PoolingUsed


def load_model(
    model: str, pooler: Pooler | None = None, *, force: bool = False, out: Path = Path("runs"), device: str = "cpu"
) -> LoadedModel:
    """The encoder that `model` names, on `device`. Run ids are looked up under `out`.

    A `pooler` other than the saved one is a ConfigError unless `force`, which drops all that follows the saved pooling;
    of a sentence-transformers model also where the saved one is asked for. A model without saved pooling needs one;
    there, as in SimCSE, "cls" is [CLS] with the checkpoint's pooler layer. ConfigError or DataError for what is no
    whole model, or embeds no sentence.
    """
    check_exists(model, out)
    if (folder := find_model(model, out)) is not None:
        loaded = _load_ours(model, folder, pooler, force=force)
    elif (modules := theirs.modules_of(model)) is not None:
        theirs.check_modules(model, modules)
        loaded = _load_theirs(model, modules[0], pooler, force=force, device=device)
    else:
        loaded = _load_plain(model, pooler)
    _check_embeds(model, loaded.encoder)
    cast(nn.Module, loaded.encoder).to(device)
    return loaded


def _load_ours(model: str, folder: Path, asked: Pooler | None, *, force: bool) -> LoadedModel:
    check_model(folder)
    saved = cast(SavedModel, read_saved(folder))
    given = _overrides(model, asked, saved.pooler, then=(MLP,) * saved.head_at_test, force=force)
    encoder = load_encoder(folder, pooler=asked if given else None)
    then = (MLP,) if encoder.head is not None else ()
    left_out = (MLP,) if saved.head_at_test and not then else ()
    source: Literal["saved", "given"] = "given" if given else "saved"
    return LoadedModel(encoder, PoolingUsed(pooler=encoder.pooler, source=source, then=then, left_out=left_out))


def _load_plain(model: str, asked: Pooler | None) -> LoadedModel:
    encoder = load_encoder(model, pooler="cls_before_pooler" if asked == "cls" else asked)
    _check_first_token(model, encoder.pooler, encoder.tokenizer)
    if asked == "cls":
        encoder.pooler, encoder.head, encoder.head_at_test = "cls", _pooler_layer(model, encoder.width), True
    then = ("pooler layer",) if encoder.head is not None else ()
    return LoadedModel(encoder, PoolingUsed(pooler=encoder.pooler, source="given", then=then))


def _load_theirs(model: str, first: theirs.Module, asked: Pooler | None, *, force: bool, device: str) -> LoadedModel:
    loaded, (saved, then) = theirs.load(model, first, device)
    if not (_overrides(model, asked, saved, then=then, force=force) or (asked and force)):
        return LoadedModel(loaded, PoolingUsed(pooler=saved, source="saved", then=then))
    pooler = cast(Pooler, asked)
    _check_first_token(model, pooler, loaded.tokenizer)
    encoder = SentenceEncoder(loaded.backbone, loaded.tokenizer, pooler)
    encoder.prompt = loaded.prompt
    return LoadedModel(encoder.eval(), PoolingUsed(pooler=pooler, source="given", left_out=then))


def _overrides(model: str, asked: Pooler | None, saved: str, *, then: tuple[str, ...], force: bool) -> bool:
    """Whether `asked` replaces what is saved; ConfigError where it would do so unforced."""
    same = asked is None or asked == saved or (not then and {asked, saved} == {"cls", "cls_before_pooler"})
    if not same and not force:
        raise ConfigError(
            f"{model}: was saved with pooling {saved!r}, so --pooling {asked} would score another model than the one "
            "that was trained; leave --pooling out, or add --force-pooling if that is what you want"
        )
    return not same


def _check_embeds(model: str, encoder: Embedder) -> None:
    """ConfigError unless a sentence becomes one vector; what is in it an evaluation sees."""
    try:
        ids = torch.tensor([encoder.tokenizer("a sentence")["input_ids"]], device=encoder.device)
        with torch.inference_mode():
            fine, why = encoder.embed(ids, torch.ones_like(ids)).dim() == 2, "no vector per sentence comes out"
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        fine, why = False, f"{type(error).__name__}: {reason_of(error)}"
    if not fine:
        raise ConfigError(f"{model}: cannot embed a sentence ({why}); give a model that turns text into vectors")


def _check_first_token(model: str, pooler: Pooler, tokenizer: PreTrainedTokenizerBase) -> None:
    """ConfigError where [CLS] is asked for, and sentences begin with a word."""
    if pooler.startswith("cls") and tokenizer("a")["input_ids"][0] not in tokenizer.all_special_ids:
        raise ConfigError(
            f"{model}: --pooling {pooler} takes the first token's state, and this tokenizer puts no [CLS] before a "
            "sentence; use --pooling avg or, of a decoder, last or weighted"
        )


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
