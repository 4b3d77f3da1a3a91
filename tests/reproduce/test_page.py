"""Pages from records: the paper's form, ours above the paper's, and what is said."""

import json
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.cli.show_reproduce import write
from nlcse_tune.published import tables
from nlcse_tune.records import Choice
from nlcse_tune.reproduce import page as pages
from nlcse_tune.reproduce.evaluated import Evaluated, _asked
from nlcse_tune.reproduce.measured import Page, make_page
from nlcse_tune.reproduce.source import Scale, Source, find_source
from tests.synthetic_records import make_run

SEEDS = (1, 2, 3, 4, 5)


def sources_of(name: str, out: Path, scale: Scale = "full") -> dict[str, Source]:
    return {row.study: find_source(row.study, out, scale, []) for row in tables()[name].rows}


def page_of(name: str, out: Path, scale: Scale = "full") -> Page:
    return make_page(name, tables()[name], sources_of(name, out, scale), SEEDS, scale)


def make_runs(out: Path, name: str, shifts: dict[str, float], scale: Scale = "full") -> None:
    for number, (study, source) in enumerate(sources_of(name, out, scale).items()):
        for seed in SEEDS:
            rng, shift = np.random.default_rng([number, seed]), shifts.get(study, 0.0)
            own = source.data if scale == "small" else None
            make_run(out, source.study, seed, rng, config=source.config, shift=shift, std=0.2, data=own)


def test_table_3_stands_beside_the_papers(tmp_path: Path) -> None:
    make_runs(tmp_path, "table3", {"visualcse-bert": 0.7, "simcse-roberta": 0.1, "visualcse-roberta": 4.0})
    page = page_of("table3", tmp_path)
    assert page.complete
    rows = [line for line in pages.markdown(page).splitlines() if line.startswith("|")]
    assert rows[0] == "|  | Avg. | p | n | against the paper |"
    assert [row.split("|")[1].strip() for row in rows[2:]] == [
        "SimCSE-BERT-base", "paper", "VisualCSE-BERT-base", "paper", "SimCSE-RoBERTa-base", "paper",
        "VisualCSE-RoBERTa-base", "paper",
    ]  # fmt: skip
    assert rows[5] == "| paper | 76.96 ± 0.38 | 0.0235 | 5 |  |"
    outcomes = {line.row.study: line.agreement.outcome for line in page.lines if line.agreement}
    assert outcomes["visualcse-bert"] == "agrees"
    assert outcomes["visualcse-roberta"] == "differs"
    assert page.lines[1].p is not None
    assert page.lines[0].p is None
    said = "\n".join(pages.sentences(page))
    assert "76.96 (five seeds) in the paper" in said
    assert "agrees: within the margin" in said
    assert "two one-sided t-tests at level 0.05 against ±0.5 points" in said
    assert "wiki1m_for_simcse.txt is not there" in said  # the runs are from elsewhere
    value = json.loads(pages.as_json(page))
    assert value["rows"][1]["published"] == {"avg": 76.96}
    assert len(value["rows"][1]["scores"]["avg"]) == 5
    assert value["rows"][1]["agreement"]["outcome"] == "agrees"


def test_what_is_not_on_record_is_a_dash(tmp_path: Path) -> None:
    page = page_of("table1", tmp_path)
    assert not page.complete
    rows = [line for line in pages.markdown(page).splitlines() if line.startswith("|")]
    assert rows[2] == "| SimCSE-BERT-base | - | - | - | - | - | - | - | - | 0 | - |"
    assert rows[3].startswith("| paper | 68.40 | 82.41 |")
    assert "VisualCSE-BERT-base: not compared: 0 seeds; a comparison needs 2." in pages.sentences(page)
    assert pages.sentences(page)[-1] == "Not complete: rows lack some of the seeds 1, 2, 3, 4, 5."


def test_settings_are_compared_with_table_c1(tmp_path: Path) -> None:
    page = page_of("tableC1", tmp_path)
    assert page.complete
    rows = [line for line in pages.markdown(page).splitlines() if line.startswith("|")]
    assert rows[2] == "| VisualCSE-BERT-base | 64 | 3e-5 | 48 | 1e-6 |  | the same, as shipped |"
    assert rows[3] == "| paper | 64 | 3e-5 | 48 | 1e-6 |  |  |"
    source = sources_of("tableC1", tmp_path)["visualcse-bert"]
    point = {**source.study.own_point, "side.learning_rate": 5e-6}
    chosen = source.study.configure(point)
    Choice(
        study="visualcse-bert", run_id="0123456789ab-s42", point=point, dev=80.0, config=chosen, data={}, seed=42,
        searched=36, checkpoint="x",
    ).write(source.paths.search)  # fmt: skip
    rows = [line for line in pages.markdown(page_of("tableC1", tmp_path)).splitlines() if line.startswith("|")]
    assert rows[2] == "| VisualCSE-BERT-base | 64 | 3e-5 | 48 | 5e-6 |  | others, chosen by search |"


@pytest.mark.parametrize("name", ["table3", "table5", "figure2", "figure4"])
def test_small_scale_is_said_in_every_output(name: str, tmp_path: Path) -> None:
    make_runs(tmp_path, name, {}, "small")
    page = page_of(name, tmp_path, "small")
    assert page.complete
    assert all("SMALL SCALE" in grid.title for grid in pages.grids(page))
    files = write(page, tmp_path)
    assert [file.name for file in files[:2]] == [f"small-{name}.md", f"small-{name}.json"]
    assert all("SMALL SCALE" in file.read_text() for file in files[:2])
    assert [file.suffix for file in files[2:]] == ([".png"] if name.startswith("figure") else [])


def evaluated(source: Source, name: str, scale: Scale, **what: object) -> None:
    table = tables()[name]
    for record, _ in source.kept(SEEDS).values():
        known = {"run_id": record.run_id, "model": record.best_model, "asked": _asked(source, table, scale)}
        made = Evaluated.model_validate({**known, **what})
        made.write(getattr(source.paths.run(record.run_id), table.measure))


def test_transfer_and_retrieval_are_read_back_where_they_are_of_what_is_asked(tmp_path: Path) -> None:
    for name in ("tableE1", "tableD1"):
        make_runs(tmp_path, name, {}, "small")
        assert not page_of(name, tmp_path, "small").complete
    accuracies = {task: 80.0 + i for i, task in enumerate(tables()["tableE1"].columns[:-1])}
    for source in sources_of("tableE1", tmp_path, "small").values():
        evaluated(source, "tableE1", "small", scores=accuracies)
        evaluated(source, "tableD1", "small", hits=dict.fromkeys("xyz", ("a", "b", "c")))
    page = page_of("tableE1", tmp_path, "small")
    assert page.complete
    assert page.lines[0].values("avg") == [83.0] * 5
    retrieved = page_of("tableD1", tmp_path, "small")
    assert retrieved.complete
    assert len(pages.grids(retrieved)) == 3
    assert pages.grids(retrieved)[0].rows[0] == ("#1", "a", "a")
    source = sources_of("tableE1", tmp_path, "small")["simcse-bert"]
    evaluated(source, "tableE1", "full", scores=accuracies)  # by another classifier
    assert not page_of("tableE1", tmp_path, "small").complete
