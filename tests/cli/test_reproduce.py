"""`nlcse-tune reproduce`: what it says before anything runs, and whole tables at small scale."""

import json
from pathlib import Path

import pytest

from nlcse_tune.published import tables
from tests.cli.conftest import Cli

FEW = ("--scale", "small", "--n", "2", "--set", "encoder.scratch.hidden_size=16")


def test_without_a_table_all_are_listed_with_their_state(cli: Cli) -> None:
    done = cli("reproduce", "--scale", "small")
    assert done.status == 0, done.stderr
    for name, table in tables().items():
        (line,) = [line for line in done.stdout.splitlines() if line.split()[:1] == [name]]
        studies = {row.study for row in table.rows}
        assert ("none needed" if name == "tableC1" else f"0 of {5 * len(studies)}") in line
    assert "SMALL SCALE" in done.stdout


def test_a_dry_run_says_what_it_would_cost_and_what_lacks(cli: Cli, tmp_path: Path) -> None:
    done = cli("reproduce", "table3", "--dry-run", "--search")
    assert done.status == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if line.split()[:1] == ["visualcse-bert"]]
    assert row.split()[1:4] == ["0", "41", "15,625"]  # 5 seeds, and two thirds of a grid of 54
    assert "which nobody measured" in done.stdout
    assert "left out until it is there: text.data: " in done.stdout
    assert not (tmp_path / "runs").exists()


def test_settings_need_no_run(cli: Cli, tmp_path: Path) -> None:
    done = cli("reproduce", "tableC1")
    assert done.status == 0, done.stderr
    assert "the same, as shipped" in done.stdout
    assert (tmp_path / "runs" / "reproduced" / "tableC1.md").is_file()


def test_what_cannot_run_leaves_a_page_with_dashes_and_status_1(cli: Cli, tmp_path: Path) -> None:
    done = cli("reproduce", "table6")
    assert done.status == 1
    assert "Not complete" in (tmp_path / "runs" / "reproduced" / "table6.md").read_text()


def test_mistakes_are_one_message(cli: Cli) -> None:
    done = cli("reproduce", "tabel3")
    assert (done.status, len(done.stderr.splitlines())) == (1, 1)
    assert "did you mean 'table3'" in done.stderr


@pytest.mark.slow
@pytest.mark.ray
def test_a_table_from_nothing_to_its_page(cli: Cli, tmp_path: Path, ray_session: None) -> None:
    """Retrieval takes the runs, the test sets and an evaluation besides; then nothing is run again."""
    done = cli("reproduce", "tableD1", "tableH1", *FEW, "--set", "visualcse-roberta*:train.max_steps=6")
    assert done.status == 0, done.stdout + done.stderr
    folder = tmp_path / "runs" / "reproduced"
    assert {path.name for path in folder.iterdir()} == {
        "small-tableD1.md", "small-tableD1.json", "small-tableH1.md", "small-tableH1.json"
    }  # fmt: skip
    page = json.loads((folder / "small-tableH1.json").read_text())
    assert page["complete"]
    assert [len(row["scores"]["avg"]) for row in page["rows"]] == [2] * 6
    found = json.loads((folder / "small-tableD1.json").read_text())["rows"][0]["hits"]
    assert [len(hits) for hits in found.values()] == [3] * 3
    records = sorted((tmp_path / "runs").glob("*/records/*.json"))
    assert len(records) == 12
    before = {path: path.stat().st_mtime_ns for path in records}
    again = cli("reproduce", "tableH1", *FEW, "--set", "visualcse-roberta*:train.max_steps=6")
    assert again.status == 0
    assert "to train and test" not in again.stdout
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").glob("*/records/*.json")} == before


@pytest.mark.long
@pytest.mark.ray
def test_every_table_and_figure_comes_out(cli: Cli, tmp_path: Path, ray_session: None) -> None:
    done = cli("reproduce", "all", *FEW)
    assert done.status == 0, done.stdout + done.stderr
    folder = tmp_path / "runs" / "reproduced"
    for name in tables():
        assert json.loads((folder / f"small-{name}.json").read_text())["complete"], name
    assert sorted(path.name for path in folder.glob("*.png")) == [f"small-figure{n}.png" for n in (2, 3, 4)]
