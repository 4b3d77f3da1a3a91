"""train.compile changes speed only: the same losses, the same files, and no compilation for every new length."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from nlcse_tune.config import RunConfig
from nlcse_tune.data import synthetic
from nlcse_tune.training.context import RunContext
from tests.training.tiny import IMAGES, halves, tiny

SIDE = {**IMAGES, "batch_size": 4}
STEPS = 5


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    counters.clear()
    yield
    torch.compiler.reset()


def losses(config: RunConfig, folder: Path) -> tuple[list[float], dict[str, Any], set[int]]:
    """Losses of STEPS steps of both halves, the final weights, and the lengths that the text batches had."""
    encoder, both = halves(config, RunContext(folder))
    found, lengths = [], set()
    for step in range(STEPS):
        lengths.add(both[0].load(step).input_ids.shape[1])
        found += [float(half.step(step)) for half in both]
    return found, encoder.state_dict(), lengths


def check(folder: Path, **changes: Any) -> None:
    sentences = [" ".join(s.split()[: 2 + i % 7]) for i, s in enumerate(synthetic.sentences(100))]
    (folder / "text.txt").write_text("\n".join(sentences))
    changes = {"text__data": str(folder / "text.txt"), "text__batch_size": 4, "encoder__scratch__layers": 1, **changes}
    eager, weights, lengths = losses(tiny(SIDE, **changes), folder)
    compiled, compiled_weights, _ = losses(tiny(SIDE, train__compile=True, **changes), folder)
    assert compiled == pytest.approx(eager, rel=1e-4)
    assert list(compiled_weights) == list(weights)
    assert len(lengths) > 1
    assert 2 <= counters["stats"]["unique_graphs"] <= 6  # text and side, with and without gradient; not one a length
    assert not counters["graph_break"]


def with_backend(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    original = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f, dynamic: original(f, dynamic=dynamic, backend=backend))


@pytest.mark.slow
def test_compiled_graphs_give_the_eager_losses_in_micro_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced, functionalised and differentiated as a whole, dropout on, but run without the slow code generator."""
    with_backend("aot_eager", monkeypatch)
    check(tmp_path, train__micro_batch=3)


@pytest.mark.slow
def test_compiled_code_gives_the_eager_losses(tmp_path: Path) -> None:
    check(tmp_path)
