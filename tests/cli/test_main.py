"""The command line as a user meets it: help, studies, one run, and mistakes as one message."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    "command", ["search", "train", "seeds", "studies", "report", "compare", "plan", "evaluate", "export", "data fetch"]
)
def test_every_command_has_help(command: str, cli: Cli) -> None:
    done = cli(*command.split(), "--help")
    assert done.status == 0
    assert f"nlcse-tune {command}" in done.stdout
    assert "Usage" in done.stdout


def test_help_names_every_command(cli: Cli) -> None:
    shown = cli("--help").stdout
    for command in ("search", "train", "seeds", "studies", "report", "compare", "plan", "evaluate", "export", "data"):
        assert re.search(rf"^\W*{command}\s", shown, re.MULTILINE), command


def test_studies_are_listed_and_shown(cli: Cli) -> None:
    assert "visualcse-bert" in cli("studies").stdout
    shown = cli("studies", "visualcse-bert").stdout
    assert "omega of Eq. 1" in shown
    assert re.search(r"side.learning_rate\s+1e-6", shown)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train dmo", "did you mean 'demo'"),
        ("studies nope", "no such study"),
        ("seeds demo --seeds 7,8 --until-decided", "a stopping rule takes seeds of its own"),
    ],
)
def test_mistakes_are_one_message(arguments: str, message: str, cli: Cli) -> None:
    done = cli(*arguments.split())
    assert done.status == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("search demo --from nothing", "no finished run there is in the space demo-grid"),  # the last check of a call
        (
            "search visualcse-bert --set train.precision=fp16",
            "fp16 needs a GPU and this machine has none; use --set train.precision=fp32",
        ),
        ("train simcse-bert --set train.precision=fp16", "fp16 needs a GPU"),
        ("seeds simcse-bert --set train.precision=fp16", "fp16 needs a GPU"),
        ("search visualcse-bert", "sts-dev.csv: not found"),  # the precision of this machine it finds by itself
        ("seeds demo --seeds 1,a", "must be whole numbers with commas between"),
        ("seeds nope", "no such study"),
        (
            "search visualcse-bert --space continuous --sampler grid",
            "continuous has infinitely many points",
        ),
        ("search simcse-bert --try text.learning_rate=7", "is not in the space text-grid"),
        ("evaluate demo --device gpu", "must be cpu, cuda or cuda:1"),
        ("evaluate demo --tasks sts --figure x.pdf", "add geometry to --tasks"),
        ("evaluate demo --tasks geometry --figure x.docx", "must end in .pdf, .png or .svg"),
    ],
)
def test_a_mistake_is_found_before_anything_slow_is_imported(arguments: str, message: str, tmp_path: Path) -> None:
    """In a process of its own, which lists all that it imports; none of these studies' data are there."""
    command = [sys.executable, "-X", "importtime", "-m", "nlcse_tune", *arguments.split()]
    bare = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=500, env=bare)
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    imported = {line.rsplit("|", 1)[1].strip() for line in lines if line.startswith("import time:")}
    told = [line for line in lines if not line.startswith("import time:")]
    assert "nlcse_tune.cli.main" in imported
    assert not imported & {"torch", "ray", "transformers"}
    assert len(told) == 1
    assert told[0].startswith("error: ")
    assert message in told[0]


def test_data_check_names_every_broken_file_of_a_side(cli: Cli, tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(7):
            Image.new("RGB", (8, 8)).save(tmp_path / "pictures" / name / f"{number}.png")
    done = cli("data", "check", "pictures")
    assert (done.status, done.stdout) == (0, "  image: 14 files in 2 classes of 7\n")
    for number in range(7):
        (tmp_path / "pictures" / "dog" / f"{number}.png").write_bytes(b"")
    done = cli("data", "check", "pictures")
    assert done.status == 1
    assert re.findall(r"warning: (\S+): not readable", done.stderr) == [f"pictures/dog/{i}.png" for i in range(7)]


def test_train_leaves_a_record_and_a_checkpoint_and_is_not_run_twice(cli: Cli, tmp_path: Path) -> None:
    tiny = ["--set", "train.max_steps=4", "--set", "train.eval_every=2", "--set", "side.batch_size=2"]
    first = cli("train", "demo", "--seed", "7", *tiny)
    assert first.status == 0, first.stderr
    assert "step      2  dev" in first.stdout
    record = next((tmp_path / "runs" / "demo" / "records").glob("*-s7.json"))
    assert json.loads(record.read_text())["seed"] == 7
    assert (tmp_path / "runs" / "demo" / "checkpoints" / record.stem / "best" / "config.json").is_file()
    again = cli("train", "demo", "--seed", "7", *tiny)
    assert "step      2  dev" not in again.stdout
    assert "best dev" in again.stdout
