"""Where numbers come from: the versions of everything that can change them."""

import os
import platform
import subprocess
from functools import cache, partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from nlcse_tune import __version__

# Raised with any change after which the same configuration and seed give other numbers; part of a run's id.
# `tests/test_run.py::test_golden_losses` fails when such a change forgets it.
NUMERICS = "2"
COMMIT = "NLCSE_COMMIT"  # of the environment
# triton: on a GPU it draws the dropout masks; a record without it there has torch's generator's.
_PACKAGES = (
    "torch", "torchvision", "torchaudio", "transformers", "tokenizers", "numpy", "scipy", "ray", "optuna", "triton",
)  # fmt: skip


class Versions(BaseModel, frozen=True, extra="forbid"):
    """The fingerprint of a process that trained or scored; runs of different `numerics` are not compared."""

    nlcse_tune: str
    numerics: str
    commit: str | None
    python: str
    packages: dict[str, str]
    device: str


@cache
def versions(device: str) -> Versions:
    """The fingerprint of this process on `device` (its printed name, such as the card's)."""
    return Versions(
        nlcse_tune=__version__,
        numerics=NUMERICS,
        commit=commit(),
        python=platform.python_version(),
        packages=packages(),
        device=device,
    )


def packages() -> dict[str, str]:
    """Installed versions of what can change numbers, from their metadata: nothing is imported."""
    return {name: metadata.version(name) for name in _PACKAGES if find_spec(name)}


@cache
def commit() -> str | None:
    """The commit of this checkout, with `+changes` if files differ from it; None in an installed copy.

    Of a copy that travelled to another machine, the one that it was made from (`$NLCSE_COMMIT`).
    """
    if told := os.environ.get(COMMIT):
        return told
    folder = Path(__file__).parent.parent
    git = partial(subprocess.check_output, cwd=folder, text=True, stderr=subprocess.DEVNULL, timeout=10)
    if not (folder / ".git").exists():
        return None
    try:
        commit = git(["git", "rev-parse", "--short=12", "HEAD"]).strip()
        return commit + ("+changes" if git(["git", "status", "--porcelain", "nlcse_tune"]).strip() else "")
    except (OSError, subprocess.SubprocessError):
        return None
