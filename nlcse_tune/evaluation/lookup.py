"""Whether there is a model of a name at all: found before torch is imported, and the hub is asked once."""

import re
from pathlib import Path

from nlcse_tune.data.hub import CONFIG_FILE, MODULES_FILE, hub_fails, in_cache
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.paths import CHECKPOINTS, find_model

NOT_ASKED = "the Hugging Face hub was not asked for what looks like a run's id"
_LIKE_A_RUN = re.compile(r"[0-9a-z]{8,16}-s\d+")  # mistyped, too


def check_exists(model: str, out: Path) -> None:
    """ConfigError, saying where it looked, unless `model` is a run under `out`, a model's folder, or on the hub."""
    if find_model(model, out) is not None:
        return
    if Path(model).exists():
        if not any((Path(model) / name).is_file() for name in (CONFIG_FILE, MODULES_FILE)):
            raise ConfigError(f"{model}: holds neither {CONFIG_FILE} nor {MODULES_FILE}; give the folder of a model")
        return
    why = NOT_ASKED if _LIKE_A_RUN.fullmatch(model) else hub_fails(model)
    if why and not in_cache(model):
        runs = [folder.name for folder in out.glob(f"*/{CHECKPOINTS}/*")]
        raise ConfigError(
            f"{model}: no such model: no run under {out}/*/checkpoints has an id that begins so, no folder has this "
            f"name, and {why}{nearest(model, runs)}; give a run's id, a folder or a hub name"
        )
