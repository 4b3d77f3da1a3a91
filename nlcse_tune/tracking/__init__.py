"""Where curves are kept besides the records: TensorBoard, MLflow, W&B. Nothing here decides, or is read back to."""

import importlib.util
from collections.abc import Sequence
from functools import partial
from typing import get_args

from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.launch.events import Watcher
from nlcse_tune.names import TrackerName
from nlcse_tune.paths import StudyPaths
from nlcse_tune.study import Study
from nlcse_tune.tracking.apart import Apart
from nlcse_tune.tracking.curves import Kind, Work

KNOWN: tuple[TrackerName, ...] = get_args(TrackerName)
DEFAULT = ("tensorboard",)


def trackers(study: Study, paths: StudyPaths, kind: Kind, names: Sequence[str] | None) -> list[Watcher]:
    """The trackers by these names, TensorBoard's files where None; ConfigError for one unknown or missing."""
    work, asked = Work(paths, kind, study.space.fields if study.space else ()), [*dict.fromkeys(names or DEFAULT)]
    if unknown := [name for name in asked if name not in KNOWN]:
        raise ConfigError(f"--track {unknown[0]}: must be one of {', '.join(KNOWN)}{nearest(unknown[0], KNOWN)}")
    if "none" in asked and len(asked) > 1:
        raise ConfigError(f"--track none: stands alone, got {' and '.join(asked)}; leave it or the others out")
    for name in asked:
        if name in ("mlflow", "wandb") and importlib.util.find_spec(name) is None:
            raise ConfigError(f"--track {name}: {name} is not installed; `pip install {name}`, or leave it out")
    return [_tracker(name, work) for name in asked if name != "none"]


def _tracker(name: str, work: Work) -> Watcher:
    if name == "tensorboard":
        from nlcse_tune.tracking.tensorboard import TensorBoard

        return TensorBoard(work)
    return Apart(name, partial(_remote, name, work), first=work.identity)  # by whoever holds the folder's lock


def _remote(name: str, work: Work) -> Watcher:
    """Made in a process of its own."""
    if name == "mlflow":
        from nlcse_tune.tracking.mlflow import MLflow

        return MLflow(work)
    from nlcse_tune.tracking.wandb import WandB

    return WandB(work)
