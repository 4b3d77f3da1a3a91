"""`nlcse-tune seeds` before anything is trained: which study is meant."""

from pathlib import Path

import pytest

from nlcse_tune.search.outcome import write_best, write_choice
from nlcse_tune.study import Study
from tests.cli.conftest import Cli
from tests.search.test_state import plan_of, put

NOWHERE = ("--set", "text.data=nowhere.txt")  # refused once the study is known, and before Ray


def test_without_a_study_and_without_a_search_it_asks_for_one(cli: Cli, tmp_path: Path) -> None:
    done = cli("seeds")
    assert done.status == 1
    assert done.stderr.startswith("error: STUDY: none was named, and nothing was searched under runs; name one: ")
    assert "demo, demo-audiocse" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_without_a_study_it_names_the_one_searched_last(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    plan = plan_of(tiny_study, tmp_path / "runs")
    put(plan, tiny_study.own_point, 50.0)
    (best,) = plan_of(tiny_study, tmp_path / "runs").candidates()
    write_choice(plan, best, (50.0,))
    done = cli("seeds", *NOWHERE)
    assert "demo: chosen since no STUDY was named, and this one was searched last under runs" in done.stdout
    assert "nowhere.txt" in done.stderr


def test_a_study_that_has_no_file_here_is_taken_from_its_search(cli: Cli, tiny_study: Study, tmp_path: Path) -> None:
    elsewhere = tiny_study.copied(name="elsewhere")
    plan = plan_of(elsewhere, tmp_path / "runs")
    put(plan, elsewhere.own_point, 50.0)
    (best,) = plan_of(elsewhere, tmp_path / "runs").candidates()
    write_choice(plan, best, (50.0,))
    write_best(plan, best, (50.0,))
    done = cli("seeds", *NOWHERE)
    assert "runs/elsewhere/best.yaml: chosen since no STUDY was named" in done.stdout
    assert "method: elsewhere (VisualCSE), as its search chose" in done.stdout


@pytest.mark.parametrize("command", ["seeds", "search", "train"])
def test_data_that_are_not_there_are_one_message(command: str, cli: Cli) -> None:
    done = cli(command, "visualcse-bert")
    assert done.status == 1
    (line,) = done.stderr.splitlines()
    assert "sts-dev.csv: not found: run `nlcse-tune data fetch senteval`" in line
