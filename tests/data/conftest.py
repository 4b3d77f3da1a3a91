"""A publisher on loopback, in the place of the hub; and caches, which are tested here: each test has its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from tests.publisher import Publisher, publishing


@pytest.fixture(autouse=True)
def _private_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLCSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NLCSE_DATA", "")


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    with publishing() as server:
        yield server


@pytest.fixture
def hub(publisher: Publisher, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """The publisher as the hub; its client reads the environment on import, so that comes too late."""
    for name, value in (
        ("ENDPOINT", publisher.address),
        ("HUGGINGFACE_CO_URL_TEMPLATE", f"{publisher.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"),
        ("HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub-cache"))),
        ("HF_HUB_OFFLINE", False),
    ):
        monkeypatch.setattr(constants, name, value)
    return publisher
