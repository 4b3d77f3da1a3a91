"""Whether there is a model of a name at all: found before torch is imported, and the hub is asked once."""

import re
from functools import cache
from pathlib import Path

from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.paths import CHECKPOINTS, find_model

MODULES_FILE = "modules.json"  # in every folder of sentence-transformers
CONFIG_FILE = "config.json"  # in every folder of transformers
NOT_ASKED = "the Hugging Face hub was not asked for what looks like a run's id"
_LIKE_A_RUN = re.compile(r"[0-9a-z]{8,16}-s\d+")  # mistyped, too
HUB_SECONDS = 5.0  # for one question; the library itself asks six times, 23 s in all


def check_exists(model: str, out: Path) -> None:
    """ConfigError, saying where it looked, unless `model` is a run under `out`, a model's folder, or on the hub."""
    if find_model(model, out) is not None:
        return
    if Path(model).exists():
        if not any((Path(model) / name).is_file() for name in (CONFIG_FILE, MODULES_FILE)):
            raise ConfigError(f"{model}: holds neither {CONFIG_FILE} nor {MODULES_FILE}; give the folder of a model")
        return
    why = NOT_ASKED if _LIKE_A_RUN.fullmatch(model) else hub_fails(model)
    if why and not _in_cache(model):
        runs = [folder.name for folder in out.glob(f"*/{CHECKPOINTS}/*")]
        raise ConfigError(
            f"{model}: no such model: no run under {out}/*/checkpoints has an id that begins so, no folder has this "
            f"name, and {why}{nearest(model, runs)}; give a run's id, a folder or a hub name"
        )


@cache
def hub_fails(model: str) -> str | None:
    """Why the Hugging Face hub is of no help with `model`; None where it has it. One question, without retries."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        url = hf_hub_url(model, CONFIG_FILE)
        if constants.is_offline_mode():
            return "the Hugging Face hub was not asked (HF_HUB_OFFLINE), nor is it in its cache here"
        get_hf_file_metadata(url, timeout=HUB_SECONDS)
    except HFValidationError:
        return "the Hugging Face hub cannot have one"
    except EntryNotFoundError:
        return None  # a model all the same, of another kind
    except GatedRepoError:
        return "the Hugging Face hub gives it to those alone who asked for access"
    except RepositoryNotFoundError:
        return "the Hugging Face hub has none"
    except Exception as error:  # whatever the transport raises: there is no common class
        return f"the Hugging Face hub cannot be reached ({type(error).__name__}), nor is it in its cache here"
    return None


def _in_cache(model: str) -> bool:
    """Whether an earlier call brought the model from the hub."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        return any(isinstance(try_to_load_from_cache(model, name), str) for name in (CONFIG_FILE, MODULES_FILE))
    except HFValidationError:
        return False
