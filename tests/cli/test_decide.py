"""`nlcse-tune decide`: refused, out of time, killed, and its verdict."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

TINY = """
config:
  encoder: {scratch: {hidden_size: 16}}
  text: {batch_size: 32}
  train: {max_steps: 4, eval_every: 2}
"""
HEAD = "extends: demo\nbaseline: tiny-simcse\nconfirm: {rule: {first: 3, maximum: 3}}"
METHOD = HEAD + TINY + "  side: {batch_size: 4}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("demo-simcse", "demo-simcse: the study has no baseline to search or compare with"),
        ("demo --max-time soon", "--max-time soon: must be hours, minutes and seconds"),
    ],
)
def test_mistakes_are_one_message(arguments: str, message: str, cli: Cli) -> None:
    done = cli("decide", *arguments.split())
    assert (done.status, len(done.stderr.splitlines())) == (1, 1)
    assert message in done.stderr


def command(*more: str) -> list[str]:
    return [sys.executable, "-m", "nlcse_tune", "decide", "tiny", "--trials", "2", *more]


def verdict_of(text: str) -> str:
    (line,) = [line for line in text.splitlines() if line.startswith("verdict: ")]
    return line


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_out_of_time_and_killed_it_comes_to_the_same_verdict(tmp_path: Path) -> None:
    """Twice: in order by --max-time, then by SIGKILL once there are two records, searches and seeds as they come."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "tiny.yaml").write_text(METHOD)
    (tmp_path / "studies" / "tiny-simcse.yaml").write_text("extends: demo-simcse" + TINY)
    ended = subprocess.run(command("--max-time", "1s"), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 128 + signal.SIGALRM, ended.stderr
    assert "time was up (--max-time) before a verdict; the same command goes on from here:" in ended.stdout
    assert "search of tiny-simcse: " in ended.stdout
    assert "Traceback" not in ended.stderr
    with (tmp_path / "log").open("w") as log:
        killed = subprocess.Popen(command(), cwd=tmp_path, stdout=log, stderr=log)
        until = time.monotonic() + 400
        while killed.poll() is None and len([*tmp_path.glob("runs/*/records/*.json")]) < 2 and time.monotonic() < until:
            time.sleep(0.2)
        killed.kill()
        killed.wait()
    whole = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert whole.returncode == 0, whole.stderr
    again = subprocess.run(command(), cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert verdict_of(again.stdout) == verdict_of(whole.stdout)
    assert len([*tmp_path.glob("runs/*/tests/*.json")]) == 6
