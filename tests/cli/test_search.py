"""`nlcse-tune search`: the README's first command, and what is refused before it starts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from nlcse_tune.paths import StudyPaths
from nlcse_tune.search.state import load_state
from nlcse_tune.study import find_study
from tests.cli.conftest import Cli
from tests.search.test_state import leave_model, put


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("demo --try text.batch_size=63", "is not in the space demo-grid"),
        ("demo --try side.weight=1", "side.weight is not searched by demo-grid"),
        ("demo-simcse --with-baseline", "the study has no baseline"),
        ("simcse-bert --space image-grid", "side.learning_rate cannot be searched: the study has no side"),
        ("demo --show", "no run of this search is on record"),
        ("demo --space demo-gird", "no such search space; did you mean 'demo-grid'"),
    ],
)
def test_mistakes_are_one_message(arguments: str, message: str, cli: Cli) -> None:
    done = cli("search", *arguments.split())
    assert done.status == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--sampler", "--scheduler"])
def test_an_unknown_choice_is_answered_with_the_known_ones(option: str, cli: Cli) -> None:
    done = cli("search", "demo", option, "tpee")
    assert done.status == 2
    assert re.search(rf"'{option}'.*'tpee' is not one of '\w+'", done.stderr)


def test_a_seed_of_ones_own_is_that_of_every_run(cli: Cli, tmp_path: Path) -> None:
    """Runs of seed 7 belong to a search with that seed, and to none without it; what comes next repeats --out."""
    plan = load_state(find_study("demo").copied(search_seed=7), StudyPaths(tmp_path / "mine", "demo"), 1)
    run = put(plan, plan.study.own_point, 50.0, seed=7)
    leave_model(plan.paths.run(run.run_id))
    search = ("search", "demo", "--trials", "1", "--out", "mine")
    assert "no run of this search is on record" in cli(*search, "--show").stderr
    assert run.run_id in cli(*search, "--seed", "7", "--show").stdout
    done = cli(*search, "--seed", "7")
    assert done.status == 0, done.stderr
    assert "best: dev 50.00 (n=1, seed 7)" in done.stdout
    assert "as a study: mine/demo/best.yaml; every run: mine/demo/trials.csv" in done.stdout
    assert done.stdout.splitlines()[-1] == "next: nlcse-tune seeds demo --out mine"
    assert "warning" not in done.stdout


def test_a_seed_that_the_study_is_tested_with_is_warned_of(cli: Cli, tmp_path: Path) -> None:
    plan = load_state(find_study("demo").copied(search_seed=3), StudyPaths(tmp_path / "runs", "demo"), 1)
    leave_model(plan.paths.run(put(plan, plan.study.own_point, 50.0, seed=3).run_id))
    done = cli("search", "demo", "--trials", "1", "--seed", "3")
    assert "warning: this study is tested with seeds 1-5, and seed 3 is one" in done.stdout


@pytest.mark.slow
@pytest.mark.ray
def test_readme_search_demo(tmp_path: Path) -> None:
    """Command one of the README, less the installation: a process and a Ray of its own, as a user starts them."""
    command = [sys.executable, "-m", "nlcse_tune", "search", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "6 runs by STS-B dev" in done.stdout
    assert re.search(r"best: dev \d\d\.\d\d \(n=1, seed 42\)", done.stdout)
    assert done.stdout.splitlines()[-1] == "next: nlcse-tune seeds demo"
    assert (tmp_path / "runs" / "demo" / "best.yaml").is_file()
    assert len((tmp_path / "runs" / "demo" / "trials.csv").read_text().splitlines()) == 7
    choice = json.loads((tmp_path / "runs" / "demo" / "search.json").read_text())
    record = json.loads((tmp_path / "runs" / "demo" / "records" / f"{choice['run_id']}.json").read_text())
    assert record["best_dev"] > record["dev_before"] + 30
