"""A Hugging Face Transformer and its tokenizer, whole and made for each other, or an error that says what is wrong.

The libraries load much that must not be scored: without tokenizer files they make up a vocabulary of five tokens, and
weights that are not in the file stay random.
"""

from collections.abc import Collection, Mapping

import torch
import transformers
from transformers import AutoConfig, AutoModel, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from nlcse_tune.errors import ConfigError, plural, reason_of

# A search prints one table; transformers would add a report and a progress bar for every model read or written.
transformers_logging.set_verbosity_error()  # type: ignore[no-untyped-call]
transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]

# Whose layers are a stack driven as encoder(states); and what keeps transformers from adding an unused layer to [CLS].
FAMILIES: dict[str, dict[str, bool]] = {
    family: {} if family == "electra" else {"add_pooling_layer": False}  # ELECTRA's models have no such layer
    for family in ("bert", "roberta", "xlm-roberta", "camembert", "electra", "ernie")
}


def load_backbone(
    checkpoint: str, *, named: str, dropout: float | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The model and tokenizer of a folder or hub name; ConfigError, which calls it `named`, where one is not whole."""
    try:
        config = AutoConfig.from_pretrained(checkpoint, trust_remote_code=False)
        _check_kind(config, named)
        override_dropout(config, dropout, checkpoint)
        tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False)
        kept = FAMILIES.get(config.model_type, {})
        backbone, info = AutoModel.from_pretrained(
            checkpoint, config=config, trust_remote_code=False, dtype=torch.float32, output_loading_info=True, **kept
        )
    except ConfigError:
        raise
    except Exception as error:  # there is no common class: tokenizers raises bare ones
        raise ConfigError(
            f"{named}: not a model that can be loaded ({reason_of(error)}); give a folder that holds config.json, "
            "weights and tokenizer, or a hub name that this machine can reach"
        ) from None
    check_weights(info, named)
    check_vocabulary(tokenizer, backbone, named)
    return backbone, tokenizer


def _check_kind(config: transformers.PreTrainedConfig, named: str) -> None:
    if config.is_encoder_decoder:
        raise ConfigError(
            f"{named}: a {config.model_type!r} model is an encoder with a decoder, and which states would be the "
            "sentence's is not said; give an encoder, or a sentence-transformers folder that says it"
        )


def check_weights(info: Mapping[str, Collection[str]], named: str) -> None:
    """ConfigError where transformers' account of loading says that weights were not in the file."""
    if missing := sorted(key for key in info["missing_keys"] if "pooler" not in key):  # many were saved without one
        raise ConfigError(
            f"{named}: its file lacks {plural(len(missing), 'weight')} ({missing[0]} and the like), which would be "
            "random: the file is of another model than config.json says, or damaged"
        )


def check_vocabulary(tokenizer: PreTrainedTokenizerBase, backbone: PreTrainedModel, named: str) -> None:
    """ConfigError where the tokenizer is made up, or has ids that the model has no embedding for."""
    vocabulary = tokenizer.get_vocab()
    words = vocabulary.keys() - set(tokenizer.all_special_tokens)
    if not any(character.isalnum() for word in words for character in word):
        raise ConfigError(
            f"{named}: has no tokenizer: its vocabulary of {plural(len(vocabulary), 'token')} holds no word; give a "
            "folder with the files of the model's tokenizer (tokenizer.json, or vocab.txt and the like)"
        )
    rows = getattr(backbone.get_input_embeddings(), "num_embeddings", None)
    if rows is not None and (most := max(vocabulary.values())) >= rows:
        raise ConfigError(
            f"{named}: its tokenizer has ids up to {most}, and the model has embeddings for {rows}: the tokenizer is "
            "another model's"
        )


def override_dropout(config: transformers.PreTrainedConfig, dropout: float | None, checkpoint: str) -> None:
    """Sets a model's dropout, in its layers and its attention, where one is given."""
    for name in ("hidden_dropout_prob", "attention_probs_dropout_prob") if dropout is not None else ():
        if not hasattr(config, name):
            raise ConfigError(
                f"encoder.dropout: a {config.model_type!r} encoder ({checkpoint}) has no {name} to set to "
                f"{dropout}; leave encoder.dropout out"
            )
        setattr(config, name, dropout)
