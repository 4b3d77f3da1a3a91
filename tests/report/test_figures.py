"""Figures of a report, of a search, and Figure 4."""

from functools import partial
from pathlib import Path

import pytest

from nlcse_tune import report
from nlcse_tune.errors import RunError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.report.figures import best_by_pair, draw_geometry, new_figure, write_figure, write_search_figures
from tests.report.made import BASELINE, METHOD, build, change_test, read_test


def test_files_and_figures_are_written_and_repeat(root: Path) -> None:
    made = build(root)
    written = report.write_report(made)
    names = {path.name for path in written}
    assert {"report.md", "report.tex", "report.json", "summary.csv", "seeds.csv"} <= names
    for figure in ("seeds", "dev-curves", "alignment-uniformity"):
        assert {f"{figure}.png", f"{figure}.svg"} <= names
    before = {path.name: path.read_bytes() for path in written}
    assert {path.name: path.read_bytes() for path in report.write_report(build(root))} == before


def test_a_heat_map_says_stopped_early_only_where_something_was(root: Path, tmp_path: Path) -> None:
    done = ledger(StudyPaths(root, METHOD.name)).runs
    runs = [({"a": i % 2, "b": i // 2}, record) for i, record in enumerate(done)]
    texts = {}
    for status in ("completed", "stopped"):
        last = runs[-1][0], runs[-1][1].model_copy(update={"status": status})
        files = write_search_figures("s", [*runs[:-1], last], done[0].run_id, ("a", "b"), tmp_path / status)
        texts[status] = "".join(file.read_text() for file in files if file.suffix == ".svg")
    assert "stopped early" not in texts["completed"]
    assert texts["stopped"].count("<!-- stopped early -->") == 1
    assert "in brackets: stopped early" in texts["stopped"]
    assert best_by_pair([*runs, runs[0]], "a", "b") == {(p["a"], p["b"]): record for p, record in runs}
    assert best_by_pair(runs, "a", "c") == {}


def test_a_figure_is_written_in_the_format_of_its_suffix(tmp_path: Path) -> None:
    paths = tmp_path / "one.pdf", tmp_path / "two.png"
    assert write_figure(partial(new_figure, 1, 1), *paths) == [*paths]
    assert paths[0].read_bytes().startswith(b"%PDF")
    with pytest.raises(RunError, match="no such figure format"):
        write_figure(partial(new_figure, 1, 1), tmp_path / "one.xyz")
    assert write_figure(lambda: None, tmp_path / "none.png") == []


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


def test_alignments_over_other_pairs_are_not_drawn_beside_todays(root: Path) -> None:
    """Early versions took pairs of 4 and above, and did not count them."""
    assert "alignment-uniformity" in " ".join(path.name for path in report.write_report(build(root)))
    for study in (METHOD, BASELINE):
        for seed in range(1, 6):
            geometry = read_test(root, study, seed).geometry
            change_test(root, study, seed, geometry={name: geometry[name] for name in ("alignment", "uniformity")})
    assert "alignment-uniformity" not in " ".join(path.name for path in report.write_report(build(root)))
