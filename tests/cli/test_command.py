"""What every command has beside its own options."""

import logging
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from nlcse_tune.errors import VERBOSE
from tests.cli.conftest import Cli


@pytest.mark.parametrize("arguments", ["-v train dmo", "train dmo -v", "train --verbose dmo"])
def test_verbose_adds_the_traceback_to_the_message(arguments: str, cli: Cli) -> None:
    done = cli(*arguments.split())
    assert done.status == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "in find_study" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: dmo: no such study")


def test_without_verbose_there_is_no_traceback(cli: Cli) -> None:
    assert "Traceback" not in cli("train", "dmo").stderr


@pytest.mark.parametrize(("asked", "level"), [("1", logging.INFO), ("", logging.ERROR)])
def test_rays_own_output_is_shown_under_verbose_alone(
    asked: str, level: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Ray itself is not started: it is looked at what it would be told."""
    from nlcse_tune.launch import cluster

    told: dict[str, object] = {}
    monkeypatch.setenv(VERBOSE, asked)
    monkeypatch.setattr(cluster.ray, "init", lambda *_, **options: told.update(options))
    cluster.OwnRay(print)._init(tmp_path)
    assert told["log_to_driver"] is bool(asked)
    assert told["logging_level"] == level


@pytest.mark.parametrize(
    ("typed", "proposed"),
    [("--gpus", "--gpus-per-worker"), ("--max", "--max-time, --max-trials"), ("--gracee", "--grace")],
)
def test_an_unknown_option_is_answered_with_those_that_begin_so(typed: str, proposed: str, cli: Cli) -> None:
    done = cli("search", "demo", typed, "1")
    assert done.status == 2
    assert f"No such option: {typed} (Possible options: {proposed}" in done.stderr
    assert "--figures" not in done.stderr


def test_version_names_what_numbers_rest_on_and_imports_none_of_it() -> None:
    code = (
        "import sys; from nlcse_tune.cli.main import main; sys.argv = ['nlcse-tune', '--version']\n"
        "try: main()\n"
        "finally: print(sorted({'torch', 'ray', 'optuna', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, imported = done.stdout.splitlines()
    assert imported == "[]"
    python = ".".join(map(str, sys.version_info[:3]))
    assert lines[:2] == [f"nlcse-tune {metadata.version('nlcse-tune')}", f"python {python}"]
    for package in ("torch", "ray", "optuna"):
        assert f"{package} {metadata.version(package)}" in lines


def test_shells_can_complete_commands_and_studies(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {"--install-completion", "--show-completion"} <= set(cli("--help").stdout.split())
    monkeypatch.setenv("_NLCSE_TUNE_COMPLETE", "complete_bash")
    for typed, completed in (
        ("nlcse-tune stu", ["studies"]),
        ("nlcse-tune train demo-", ["demo-audiocse", "demo-simcse", "demo-visualaudiocse"]),
        ("nlcse-tune seeds demo-", ["demo-audiocse", "demo-simcse", "demo-visualaudiocse"]),
        ("nlcse-tune report demo demo-a", ["demo-audiocse"]),
    ):
        monkeypatch.setenv("COMP_WORDS", typed)
        monkeypatch.setenv("COMP_CWORD", str(len(typed.split()) - 1))
        assert cli().stdout.split() == completed, typed
