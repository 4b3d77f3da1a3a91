"""What can be found wrong with a launch before torch and Ray are imported and data are read: half a minute earlier."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from nlcse_tune.errors import ConfigError
from nlcse_tune.files import keeper_of
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger


def check_precision(asked: Iterable[str], paths: StudyPaths, *, here: bool) -> None:
    """ConfigError where fp16 is among the precisions and the runs, which are `here`, are certain to be on a CPU.

    Silent where the study has fp16 runs on record: there may be none left to run. `run_one` looks in any case.
    """
    if not here or "fp16" not in asked or may_have_gpu():
        return
    if not any(record.config.train.precision == "fp16" for record in ledger(paths).runs):
        raise ConfigError("train.precision: fp16 needs a GPU and this machine has none; use --set train.precision=fp32")


def check_store(paths: StudyPaths) -> None:
    """StorageError where the study's folder is in a store that this machine cannot write; no word of a plain folder."""
    if (keeper := keeper_of(paths.folder)) is not None:
        keeper.probe()


def may_have_gpu() -> bool:
    """Whether torch could find a GPU on this machine. No is certain: there is no driver, or it is told to use none."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    try:
        ctypes.CDLL("libcuda.so.1")  # of NVIDIA's driver; no wheel brings it
    except OSError:
        return Path("/dev/kfd").exists()  # of AMD's
    return True
