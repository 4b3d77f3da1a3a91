"""The sentence encoder: a Hugging Face Transformer, a pooler, its MLP, and for training its side towers.

B sentences, T tokens, R rows of side input (views x items), D width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase

from nlcse_tune.config import EncoderConfig, Pooler, SideConfig
from nlcse_tune.errors import ConfigError, DataError, NlcseError, RunError, reason_of
from nlcse_tune.files import writing
from nlcse_tune.models.backbone import FAMILIES, load_backbone, override_dropout
from nlcse_tune.models.dropout import MaskSource, key_dropout, masks_from
from nlcse_tune.models.pooling import NEEDS_ALL_LAYERS, NEEDS_FIRST_STATE, pool
from nlcse_tune.models.side_embedding import SideTower, tanh_head
from nlcse_tune.models.stack import first_states, text_states
from nlcse_tune.saved_model import SavedModel, read_saved, seal

HEAD_FILE = "nlcse_head.safetensors"


class SentenceEncoder(nn.Module):
    """Sentences (token ids) to vectors; with side towers, images or audio through the same layers too."""

    def __init__(self, backbone: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, pooler: Pooler) -> None:
        super().__init__()
        self.backbone = backbone
        self.tokenizer = tokenizer
        self.pooler: Pooler = pooler
        self.head: nn.Module | None = None  # the MLP of pooler `cls`
        self.head_at_test = False  # kept when embedding, as supervised models do
        self.sides = nn.ModuleList()  # a SideTower each, or what a control has in its place
        self.prompt = ""  # put before each sentence of an evaluation; models made elsewhere may have one

    @property
    def width(self) -> int:
        """D."""
        return int(self.backbone.config.hidden_size)

    @property
    def test_head(self) -> nn.Module | None:
        """The MLP that an evaluation sees, where it is kept."""
        return self.head if self.head_at_test else None

    @property
    def max_length(self) -> int:
        """Tokens that the position embeddings hold; what an evaluation truncates to."""
        limit = int(self.tokenizer.model_max_length)
        positions = getattr(self.backbone.config, "max_position_embeddings", None)
        if not positions or positions < 0:  # relative positions alone
            return limit
        table = getattr(getattr(self.backbone, "embeddings", None), "position_embeddings", None)
        padding = getattr(table, "padding_idx", None)  # RoBERTa and its kin count positions from here + 1
        return min(int(positions) - (0 if padding is None else padding + 1), limit)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T), (B, T) -> (B, D), before any MLP."""
        every = self.pooler in NEEDS_ALL_LAYERS
        if not every and self.backbone.config.model_type in FAMILIES:
            first_alone = self.pooler in NEEDS_FIRST_STATE
            last = text_states(self.backbone, input_ids, attention_mask, first_alone=first_alone)
            return pool(self.pooler, (last,), attention_mask)
        output = self.backbone(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=every)
        states = output.hidden_states if every else (output.last_hidden_state,)
        return pool(self.pooler, states, attention_mask)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The vectors that a text loss sees: (B, T), (B, T) -> (B, D)."""
        vectors = self.pooled(input_ids, attention_mask)
        return self.head(vectors) if self.head is not None else vectors

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The vectors that an evaluation sees: (B, T), (B, T) -> (B, D)."""
        vectors = self.pooled(input_ids, attention_mask)
        return self.test_head(vectors) if self.test_head is not None else vectors

    def forward_side(self, inputs: Tensor, place: int = 0) -> Tensor:
        """The vectors that a side's loss sees: (R, C, H, W) -> (R, D). No text embedding layer, no mask (§3.3)."""
        if place >= len(self.sides):
            raise RunError("this encoder was built without such a side")
        tower = cast(SideTower, self.sides[place])
        states = tower.embedding(inputs)  # (R, patches + 1, D)
        return tower.head(first_states(self.backbone.encoder, states))  # type: ignore[no-any-return]


def build_encoder(
    config: EncoderConfig,
    *,
    supervised: bool,
    sides: Sequence[SideConfig] = (),
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> SentenceEncoder:
    """The encoder at the start of a run, in training mode with keyed dropout.

    Random weights (a scratch encoder, heads, a side embedding without checkpoint) come from torch's global
    generator: seed it before. A side draws after everything that a run without it has, so both start alike.
    `tokenizer` is needed for, and only for, a scratch encoder.
    """
    if config.checkpoint != "scratch":
        named = f"encoder.checkpoint {config.checkpoint}"
        backbone, tokenizer = load_backbone(config.checkpoint, named=named, dropout=config.dropout)
    elif tokenizer is not None:
        backbone = _scratch_backbone(config, tokenizer)
    else:
        raise RunError("a scratch encoder needs the tokenizer trained on its text")
    encoder = SentenceEncoder(backbone, tokenizer, config.pooler)
    if config.pooler == "cls":
        encoder.head, encoder.head_at_test = tanh_head(encoder.width), supervised
    known = backbone.config.model_type in FAMILIES
    if any(side.reads_data for side in sides) and not known:
        raise ConfigError(
            f"encoder.checkpoint {config.checkpoint}: the layers of a {backbone.config.model_type!r} encoder cannot be "
            f"driven from image or audio embeddings; families that can: {', '.join(FAMILIES)} (or leave the side out)"
        )
    encoder.sides.extend(_tower(side, encoder) for side in sides)
    key_dropout(encoder)
    if not known:
        _check_usable(encoder, config.checkpoint)
    return encoder.train()


def _tower(side: SideConfig, encoder: SentenceEncoder) -> nn.Module:
    """What a side has of its own; its controls on text have a head alone, or nothing."""
    if side.control == "again":
        return nn.Identity()
    if side.control == "text":
        return tanh_head(encoder.width)
    dropout = float(encoder.backbone.config.hidden_dropout_prob) if side.dropout is None else side.dropout
    tower = SideTower(side.modality, encoder.width, dropout, side.positions)
    if side.checkpoint is not None:
        tower.embedding.load_vit(side.checkpoint)
    return tower


def _check_usable(encoder: SentenceEncoder, checkpoint: str) -> None:
    """A family that no test has seen must give hidden states, and every dropout of it must be a keyed one."""
    ids = torch.full((1, 4), encoder.tokenizer.pad_token_id or 0)
    source = MaskSource(torch.Generator().manual_seed(0), torch.arange(1), 1)
    reason = "its dropout draws from torch's global generator, so no run with it could be repeated"
    with torch.random.fork_rng(devices=[]), torch.no_grad(), masks_from(source):
        before = torch.random.get_rng_state()
        try:
            encoder.train().pooled(ids, torch.ones_like(ids))
            fine = torch.equal(before, torch.random.get_rng_state())
        except (AttributeError, IndexError, RuntimeError, TypeError, ValueError) as error:
            fine, reason = False, str(error).strip().splitlines()[0]
    if not fine:
        raise ConfigError(
            f"encoder.checkpoint {checkpoint}: a {encoder.backbone.config.model_type!r} model cannot be trained as a "
            f"sentence encoder ({reason}); families that can: {', '.join(FAMILIES)}"
        )


def _scratch_backbone(config: EncoderConfig, tokenizer: PreTrainedTokenizerBase) -> PreTrainedModel:
    shape = config.scratch
    model_config = AutoConfig.for_model(
        shape.family,
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden_size,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=4 * shape.hidden_size,
        max_position_embeddings=130,
        type_vocab_size=1 if shape.family == "roberta" else 2,
        pad_token_id=tokenizer.pad_token_id,
    )
    override_dropout(model_config, config.dropout, config.checkpoint)
    return AutoModel.from_config(model_config, add_pooling_layer=False)  # type: ignore[no-any-return, no-untyped-call]


@contextmanager
def writing_model(path: Path) -> Iterator[None]:
    """As `files.writing`: a full disk is a SafetensorError to safetensors, a RuntimeError to torch.save, and a bare
    Exception to tokenizers.
    """
    with writing(path):
        try:
            yield
        except (OSError, NlcseError, torch.OutOfMemoryError):
            raise
        except Exception as error:
            if isinstance(error, (SafetensorError, RuntimeError)) or "os error" in str(error):
                raise OSError(str(error).strip().splitlines()[-1]) from error
            raise


def save_encoder(encoder: SentenceEncoder, folder: Path) -> SavedModel:
    """Writes what an evaluation needs: a Hugging Face folder, the pooling, and the MLP where it is kept at test."""
    folder.mkdir(parents=True, exist_ok=True)
    encoder.backbone.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)
    if encoder.test_head is not None:
        save_model(encoder.test_head, str(folder / HEAD_FILE))
    return seal(folder, encoder.pooler, head_at_test=encoder.test_head is not None)


def load_encoder(model: str | Path, *, pooler: Pooler | None = None) -> SentenceEncoder:
    """What `save_encoder` wrote, in evaluation mode; `pooler`, needed where none is saved, drops a saved one's MLP.

    `records.ledger.check_model` says whether it is still that.
    """
    saved = read_saved(Path(model))
    chosen = pooler or (saved.pooler if saved else None)
    if chosen is None:
        raise ConfigError(f"{model}: no pooling is saved with this model; say how to pool, for instance --pooling avg")
    if chosen not in get_args(Pooler):
        raise ConfigError(f"{model}: its pooling {chosen!r} is none of {', '.join(get_args(Pooler))}")
    encoder = SentenceEncoder(*load_backbone(str(model), named=str(model)), cast(Pooler, chosen))
    if saved and saved.head_at_test and chosen == saved.pooler:
        encoder.head, encoder.head_at_test = tanh_head(encoder.width), True
        _load_head(encoder.head, Path(model) / HEAD_FILE)
    return encoder.eval()


def _load_head(head: nn.Module, file: Path) -> None:
    try:
        load_model(head, file)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(
            f"{file}: the MLP that this model keeps at test cannot be loaded ({reason_of(error)}); score it without, "
            "with --pooling cls_before_pooler --force-pooling, or get the file again"
        ) from None
