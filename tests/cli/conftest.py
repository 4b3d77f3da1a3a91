"""Commands in this process, as `nlcse-tune` runs them: an import of torch for each would take most of the time."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from nlcse_tune.cli.main import main
from nlcse_tune.errors import VERBOSE


@dataclass(frozen=True)
class Done:
    """What a command left: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """`cli("search", "demo")` in a folder of its own, through `main` and so with its errors; a bug is raised."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv(VERBOSE, "")  # put back at the end, whatever `-v` makes of it

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["nlcse-tune", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return run
