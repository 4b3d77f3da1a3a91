from collections.abc import Callable
from pathlib import Path

import pytest

from nlcse_tune import storage


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From here on this process has the cache of another machine, empty at first."""
    return lambda name: monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / name))


Machine = Callable[[str], None]


def refreshed(address: str) -> Path:
    """The mirror of this machine, as a command finds it."""
    folder = storage.folder_of(address)
    storage.refresh(folder)
    return folder
