"""Figure 4's file."""

from pathlib import Path

import pytest

from nlcse_tune.errors import RunError
from nlcse_tune.report.figures import draw_geometry


@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_figure_4_is_written(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"figure.{suffix}"
    average = 76.0 if suffix == "png" else None
    draw_geometry({"runs/a": (-2.5, 0.2, average), "runs/b": (-1.5, 0.3, 70.0)}, path)
    magic = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(magic)


def test_a_figure_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"figure\.odd: no such figure format"):
        draw_geometry({"a": (-2.5, 0.2, None)}, tmp_path / "figure.odd")
