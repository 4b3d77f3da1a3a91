"""`nlcse-tune search`: the README's first command, and what is refused before it starts."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli


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


@pytest.mark.slow
@pytest.mark.ray
def test_readme_search_demo(tmp_path: Path) -> None:
    """Command one of the README, less the installation: a process and a Ray of its own, as a user starts them."""
    command = [sys.executable, "-m", "nlcse_tune", "search", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500)
    assert done.returncode == 0, done.stderr
    assert "6 runs by STS-B dev" in done.stdout
    assert re.search(r"best: dev \d\d\.\d\d \(n=1, seed 42\)", done.stdout)
    choice = json.loads((tmp_path / "runs" / "demo" / "search.json").read_text())
    record = json.loads((tmp_path / "runs" / "demo" / "records" / f"{choice['run_id']}.json").read_text())
    assert record["best_dev"] > record["dev_before"] + 30
