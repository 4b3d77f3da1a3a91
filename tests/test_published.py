"""The paper's numbers, written once: rows that hold together, and what studies have from them."""

import re
import shutil
from pathlib import Path

import pytest

from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.config.fields import known_fields
from nlcse_tune.data.transfer import TRANSFER_TASKS
from nlcse_tune.errors import ConfigError
from nlcse_tune.published import Row, Table, find_table, label, published_of, tables
from nlcse_tune.study import find_study

ROWS = [(name, row) for name, table in tables().items() for row in table.rows]


def test_every_table_and_figure_is_there() -> None:
    assert [label(name) for name in tables()] == [
        *(f"Table {n}" for n in ("1", "2", "3", "4", "5", "6", "C.1", "D.1", "E.1", "G.1", "H.1")),
        *(f"Figure {n}" for n in (2, 3, 4)),
    ]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=lambda value: getattr(value, "study", value))
def test_an_average_is_that_of_its_row(name: str, row: Row) -> None:
    """Seven numbers and their mean, each rounded by itself: up to 0.005 apart each."""
    printed = tables()[name].printed(row)
    tasks = [value for column, value in printed.items() if column in (*STS_TASKS, *TRANSFER_TASKS)]
    if len(tasks) == 7:
        assert sum(tasks) / 7 == pytest.approx(printed["avg"], abs=0.01)


def test_columns_are_what_is_measured() -> None:
    known = {
        "sts": {*STS_TASKS, "avg"}, "transfer": {*TRANSFER_TASKS, "avg"}, "dev": {"dev"}, "retrieval": set(),
        "geometry": {"alignment", "uniformity"}, "settings": {*known_fields()},
    }  # fmt: skip
    for name, table in tables().items():
        assert set(table.columns) <= known[table.measure], name
        assert all(find_study(row.study) for row in table.rows)


def test_the_papers_p_are_students_of_its_own_means() -> None:
    table = tables()["table3"]
    arms = [stats.Summary(row.scores[0], row.std, table.n) for row in table.rows]
    found = [f"{p:.4f}" if (p := stats.student_t(arms[i + 1], arms[i]).p) >= 0.0001 else "< 0.0001" for i in (0, 2)]
    assert found == [row.p for row in table.rows if row.p] == ["0.0235", "< 0.0001"]


def test_some_numbers_as_the_paper_prints_them() -> None:
    """Typed from the paper a second time."""
    spots = {
        ("table1", "visualcse-roberta-large", "sts14"): 77.09, ("table2", "audiocse-bert", "avg"): 77.85,
        ("table4", "visualcse-roberta-simclr", "sickr"): 69.87, ("table5", "visualcse-ru", "dev"): 77.48,
        ("table6", "audiocse-bert-sup", "sts13"): 84.92, ("tableE1", "audiocse-roberta-large", "trec"): 92.40,
        ("tableG1", "audiocse-bert-simclr", "avg"): 77.00, ("tableH1", "visualcse-roberta-cifar", "avg"): 77.71,
        ("tableH1", "visualcse-bert", "avg"): 77.50, ("tableG1", "audiocse-roberta-released", "stsb"): 81.63,
    }  # fmt: skip
    for (name, study, column), value in spots.items():
        [row] = [row for row in tables()[name].rows if row.study == study]
        assert tables()[name].printed(row)[column] == value


def test_a_study_has_the_numbers_of_its_rows() -> None:
    published = find_study("visualcse-bert").published
    assert published is not None
    assert published.source == "Table 1 (seed 42) and Table 3 (five seeds)"
    assert (published.scores["sts12"], published.scores["avg"]) == (71.16, 77.50)
    assert published.seeds is not None
    assert (published.seeds.mean, published.seeds.std, published.seeds.n) == (76.96, 0.38, 5)
    released = published_of("audiocse-bert-released")
    assert released is not None
    assert (released.source, released.seeds, released.scores["avg"]) == ("Table 2 (seed 42)", None, 77.85)
    for nothing in ("visualcse-bert-khosla", "visualcse-de", "demo", "simcse-bert-sup-10k"):
        assert published_of(nothing) is None
    for path in (Path(__file__).parents[1] / "studies").glob("*.yaml"):
        assert not re.search("^published:", path.read_text(), re.MULTILINE), "numbers stand in published.yaml alone"


def test_ones_own_study_of_the_same_name_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = find_study("visualcse-bert")
    (tmp_path / "studies").mkdir()
    own = tmp_path / "studies" / "visualcse-bert.yaml"
    monkeypatch.chdir(tmp_path)
    own.write_text("extends: simcse-bert\nconfig: {text: {learning_rate: 1e-5}}\n")
    assert find_study("visualcse-bert").published is None
    shutil.copy(Path(__file__).parents[1] / "studies" / "visualcse-bert.yaml", own)  # as it travels with a job
    assert find_study("visualcse-bert").published == shipped.published


@pytest.mark.parametrize("text", ["tableC1", "tablec1", "Table C.1", "table-c.1", "TABLE C1"])
def test_a_table_is_found_by_its_name(text: str) -> None:
    assert find_table(text) == "tableC1"


def test_an_unknown_table_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="tabel3: no such table; did you mean 'table3'.*figure4, all"):
        find_table("tabel3")


def test_a_row_checks_itself() -> None:
    row = {"name": "x", "study": "demo"}
    for wrong in ({"scores": (1.0,)}, {"scores": (1.0, 2.0), "std": 0.1}):
        with pytest.raises(ValueError, match="must have 2 scores|std exists for a mean over several"):
            Table(title="t", measure="sts", columns=("sts12", "avg"), rows=(Row(**row, **wrong),))
