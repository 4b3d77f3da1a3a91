"""Where numbers come from: the versions of everything that can change them."""

import platform
import subprocess
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel

from nlcse_tune import __version__

# Raised with any change after which the same configuration and seed give other numbers; part of a run's id.
# `tests/test_run.py::test_golden_losses` fails when such a change forgets it.
NUMERICS = "1"
_PACKAGES = ("torch", "torchvision", "torchaudio", "transformers", "tokenizers", "numpy", "scipy", "ray", "optuna")


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
        commit=_commit(),
        python=platform.python_version(),
        packages={name: metadata.version(name) for name in _PACKAGES if find_spec(name)},
        device=device,
    )


def _commit() -> str | None:
    """The commit of this checkout, with `+changes` if files differ from it; None in an installed copy."""
    folder = Path(__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "--short=12", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "nlcse_tune") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
