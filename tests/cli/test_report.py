"""`report`, `compare` and `plan` as commands."""

import re
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer import Typer
from typer.testing import CliRunner

from nlcse_tune import records, stats
from nlcse_tune.cli import report as cli_report
from nlcse_tune.cli.options import parse_configurations
from nlcse_tune.errors import ConfigError, DataError
from tests.report.made import BASELINE, METHOD, averages
from tests.synthetic_records import VERSIONS, make_study

Run = Callable[..., str]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Five tested seeds per arm, 1.2 points apart."""
    for study, shift, seed in ((BASELINE, -0.6, 7), (METHOD, 0.6, 8)):
        make_study(tmp_path, study, range(1, 6), np.random.default_rng(seed), shift=shift)
    return tmp_path


@pytest.fixture
def run() -> Callable[..., str]:
    app = Typer()
    for command in (cli_report.report, cli_report.compare, cli_report.plan):
        app.command()(command)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return call


def test_compare_gives_table_3(run: Callable[..., str]) -> None:
    text = run("compare", "75.74,0.90,5", "76.96,0.38,5")
    assert "gap (second minus first): +1.22" in text
    assert "two-sided p = 0.0235" in text
    assert "two-sided p = 0.0354" in text
    assert "two-sided p < 0.0001" in run("compare", "76.36,0.18,5", "77.74,0.25,5")


def test_plan_counts_seeds_and_hours(root: Path, run: Callable[..., str]) -> None:
    text = run("plan", METHOD.name, "--gap", "0.7", "--out", str(root))
    a, b = (np.std(list(averages(root, study).values()), ddof=1) for study in (METHOD, BASELINE))
    needed = stats.seeds_needed(partial(stats.power_unpaired, stds=(a, b)), 0.7)
    row = next(line for line in text.splitlines() if "0.7 *" in line)
    assert f" {needed} " in row
    hours = 2 * needed * 3065 / 3600
    assert f"{int(hours)} h" in row
    equal = stats.seeds_needed(partial(stats.power_equivalence, margin=0.5, stds=(a, b)), 0.0)
    assert f" {equal} " in next(line for line in text.splitlines() if "within ±0.5" in line)


def test_plan_says_what_reusing_its_pilot_costs(root: Path, run: Callable[..., str]) -> None:
    text = " ".join(run("plan", METHOD.name, "--gap", "0.7", "--out", str(root)).split())
    scores = [list(averages(root, study).values()) for study in (METHOD, BASELINE)]
    stds = tuple(float(np.std(arm, ddof=1)) for arm in scores)
    difference = float(np.std(np.subtract(*scores), ddof=1))
    rates = stats.pilot_error(5, 0.7, stds), stats.pilot_error(5, 0.7, (difference,))
    assert f"in {rates[0]:.1%} (Welch) and {rates[1]:.1%} (paired) of simulated studies, not in 5.0%" in text
    assert "`nlcse-tune seeds visualcse-bert --until-decided --n N --max N` tests once, at N seeds after these" in text
    assert "stays close to the level" not in text


def test_a_study_from_elsewhere_is_left_out_with_a_word(root: Path, run: Callable[..., str]) -> None:
    """Its folder does not say which YAML file it came from."""
    (root / "mine" / "tests").mkdir(parents=True)
    (root / "mine" / "tests" / "0123456789ab-s1.json").write_text("{}")
    assert "visualcse-bert minus simcse-bert" in run("report", "--out", str(root), "--no-write")
    app = Typer()
    app.command()(cli_report.report)
    told = CliRunner().invoke(app, ["--out", str(root), "--no-write"])
    assert "mine: left out, no study has this name; give its YAML file to report it" in told.stderr


def two_numerics(root: Path, monkeypatch: pytest.MonkeyPatch, *, method: str = "12", baseline: str = "12") -> None:
    """Three tested seeds per arm under each numerics."""
    for first, numerics in enumerate("12"):
        monkeypatch.setattr(records, "NUMERICS", numerics)
        versions = VERSIONS.model_copy(update={"numerics": numerics})
        for study, has, shift in ((METHOD, method, 0.5), (BASELINE, baseline, 0.0)):
            if numerics in has:
                seeds = range(3 * first + 1, 3 * first + 4)
                make_study(root, study, seeds, np.random.default_rng(7), shift=shift, versions=versions)


@pytest.mark.parametrize("command", ["report", "plan"])
@pytest.mark.parametrize(
    ("records_of", "expected"),
    [
        ({}, "--config simcse-bert=# --config visualcse-bert=#"),
        ({"baseline": "1"}, "--config visualcse-bert=#"),
        ({"method": "2"}, "--config simcse-bert=#"),
        ({"method": "1"}, "--config simcse-bert=#"),
    ],
)
def test_what_is_proposed_over_two_numerics_works(
    records_of: dict[str, Any], expected: str, command: str, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_numerics(tmp_path, monkeypatch, **records_of)
    asked = [command, METHOD.name, "--out", str(tmp_path)]
    with pytest.raises(DataError, match=r"numerics: 1 against 2 \(--any-version joins them\)") as caught:
        run(*asked)
    *_, last = str(caught.value).splitlines()
    proposal = last.removeprefix("choose: ").split()
    assert sorted(re.sub("=[0-9a-f]{12}", "=#", last.removeprefix("choose: ")).split()) == sorted(expected.split())
    assert "visualcse-bert" in run(*asked, *proposal)


def test_a_plan_refuses_the_configuration_of_another_study(root: Path, run: Run) -> None:
    with pytest.raises(ConfigError, match="--config demo: not a study of this plan \\(visualcse-bert, simcse-bert\\)"):
        run("plan", METHOD.name, "--config", "demo=0123", "--out", str(root))


def test_report_prints_each_format(root: Path, run: Callable[..., str]) -> None:
    for kind, sign in (
        ("markdown", "| --- |"),
        ("latex", "\\toprule"),
        ("csv", "study,baseline"),
        ("json", '"blocks"'),
    ):
        assert sign in run("report", "--format", kind, "--out", str(root))
    assert "visualcse-bert minus simcse-bert" in run("report", METHOD.name, "--no-write", "--out", str(root))
    with pytest.raises(ConfigError, match="must be STUDY=ID"):
        parse_configurations(["visualcse-bert"])


def test_reports_import_no_torch_and_commands_import_nothing_heavy() -> None:
    code = "import sys, nlcse_tune.{}; print([m for m in {!r} if m in sys.modules])"
    cases = {
        "report": ("torch", "transformers", "ray", "optuna", "matplotlib", "pandas", "scipy.stats"),
        "cli.report": ("torch", "numpy", "scipy", "matplotlib", "pandas", "pydantic"),
    }
    for module, heavy in cases.items():
        found = subprocess.run(
            [sys.executable, "-c", code.format(module, heavy)], capture_output=True, text=True, check=True
        )
        assert found.stdout.strip() == "[]", module


def test_notes_wait_behind_an_option(root: Path, run: Callable[..., str]) -> None:
    short = run("report", METHOD.name, "--no-write", "--out", str(root))
    long = run("report", METHOD.name, "--no-write", "--notes", "--out", str(root))
    assert "19 notes on tests, data and limits: `nlcse-tune report --notes`, or report.md." in short
    assert "Seeds vary initialisation" not in short
    assert "Notes" in long.splitlines()
    assert "- Seeds vary initialisation" in long
    assert "--notes`" not in long


def test_what_comes_next_is_said_with_the_same_options(tmp_path: Path, run: Callable[..., str]) -> None:
    """After a table for people alone: no other format has room for it."""
    for study, seed in ((BASELINE, 7), (METHOD, 8)):
        make_study(tmp_path, study, range(1, 6), np.random.default_rng(seed))
    arguments = "report", METHOD.name, "--no-write", "--any-version", "--out", str(tmp_path)
    assert run(*arguments).splitlines()[-1] == f"next: nlcse-tune plan {METHOD.name} --any-version --out {tmp_path}"
    assert "next:" not in run(*arguments, "--format", "markdown")


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Scores of two methods that were trained elsewhere, in a file for each."""
    for name, low in (("plain", 70.0), ("new", 71.0)):
        rows = "".join(f"{name},{seed},mrpc,{low + seed * 0.37 % 1:.2f}\n" for seed in range(1, 6))
        (tmp_path / f"{name}.csv").write_text(f"method,seed,task,score\n{rows}")
    return [str(tmp_path / "plain.csv"), str(tmp_path / "new.csv")]


def test_compare_takes_two_files_of_scores(files: list[str], run: Run) -> None:
    text = " ".join(run("compare", *files).split())
    assert "new against plain: +1.00 on the average" in text
    assert "Welch's t-test, 5 seeds per arm" in text
    assert "over 5 shared seeds" in " ".join(run("compare", *files, "--test", "signflip").split())
    with pytest.raises(ConfigError, match="must be MEAN,STD,N twice, or two files of scores"):
        run("compare", files[0], "70,1,5")
    with pytest.raises(ConfigError, match="--test: nothing to do with MEAN,STD,N; leave it out"):
        run("compare", "70,1,5", "71,1,5", "--test", "welch")


def test_report_takes_a_file_of_scores(files: list[str], tmp_path: Path, run: Run) -> None:
    both = tmp_path / "both.csv"
    both.write_text(Path(files[0]).read_text() + Path(files[1]).read_text().partition("\n")[2])
    text = run("report", "--from", str(both), "--figures", "--baseline", "new", "--out", str(tmp_path))
    assert "plain minus new" in text
    written = {path.name for path in (tmp_path / "both-scores" / "report").iterdir()}
    assert {"report.md", "seeds.svg"} <= written
    with pytest.raises(ConfigError, match="STUDY, --pairs: nothing to do with --from; leave them out"):
        run("report", METHOD.name, "--pairs", "10", "--from", str(both))
    with pytest.raises(
        ConfigError, match=r"--from: must be one file, got .*plain.csv, .*new.csv; put all methods' rows"
    ):
        run("report", "--from", files[0], "--from", files[1])
    with pytest.raises(ConfigError, match="--margin: nothing to do without --from; leave it out"):
        run("report", METHOD.name, "--margin", "1", "--out", str(tmp_path))
