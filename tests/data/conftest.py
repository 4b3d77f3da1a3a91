"""The caches themselves are tested here: each test has its own, and nothing lies in it."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "cache"))
