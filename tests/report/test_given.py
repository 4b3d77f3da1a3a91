"""Reports over given scores: the same numbers as from records, and what is said of runs trained elsewhere."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from nlcse_tune import report
from nlcse_tune.config import STS_TASKS
from nlcse_tune.errors import DataError
from tests.report.made import BASELINE, METHOD, build, file_of, read_test, terminal, verdict, warnings, words


def given(path: Path, rows: Iterable[Iterable[object]], **options: object) -> report.Report:
    """The report over these rows, the first the header."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(rows)
    how = report.ReportOptions(test=options.pop("test", None))  # type: ignore[arg-type]
    return report.build_given(report.read_scores(path), path.parent / "out", how, **options)  # type: ignore[arg-type]


def scores(**arms: Mapping[int, Mapping[str, float]]) -> list[list[object]]:
    """Rows of the long form: method, then seed, then task."""
    rows = [
        [m, seed, task, s] for m, by_seed in arms.items() for seed, own in by_seed.items() for task, s in own.items()
    ]
    return [["method", "seed", "task", "score"], *rows]


TWO = {
    "plain": {seed: {"mrpc": 70 + 0.3 * seed % 1, "sst2": 90 + 0.4 * seed % 1} for seed in range(1, 6)},
    "new": {seed: {"mrpc": 72 + 0.9 * seed % 1, "sst2": 91 + 0.3 * seed % 1} for seed in range(1, 6)},
}


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("test", ["paired", "welch"])
def test_given_scores_give_the_numbers_of_records(root: Path, tmp_path: Path, test: str, *, wide: bool) -> None:
    arms = {
        study.name: {seed: {t: read_test(root, study, seed).scores[t].all for t in STS_TASKS} for seed in range(1, 6)}
        for study in (BASELINE, METHOD)
    }
    rows = scores(**arms)
    if wide:
        cells = [[name, seed, *own.values()] for name, by_seed in arms.items() for seed, own in by_seed.items()]
        rows = [["method", "seed", *STS_TASKS], *cells]
    (ours,) = build(root, test=test).comparisons
    (theirs,) = given(tmp_path / "scores.csv", rows, test=test).comparisons
    assert theirs.gaps == ours.gaps
    assert (theirs.test, theirs.exploratory) == (test, False)


def test_what_is_written_and_shown_of_given_scores(tmp_path: Path) -> None:
    made = given(tmp_path / "scores.csv", scores(**TWO))
    assert verdict(made).startswith("new against plain: +")
    assert "Welch's t-test" in verdict(made)
    shown = terminal(made, width=80)
    assert "Scores as given, mean" in shown
    assert "mrpc" in shown
    assert "Spearman" not in shown
    names = {path.name for path in report.write_report(made)}
    assert names >= {"report.md", "report.tex", "report.json", "summary.csv", "seeds.csv", "seeds.png"}
    arms = json.loads((tmp_path / "out" / "report.json").read_text())["blocks"][0]["arms"]
    assert [arm["study"] for arm in arms] == ["plain", "new"]
    assert arms[1]["columns"]["mrpc"]["seeds"]["1"] == TWO["new"][1]["mrpc"]
    assert "new,,5,,sst2," in (tmp_path / "out" / "seeds.csv").read_text()
    assert report.next_command(made) == []


def test_the_baseline_and_the_margin_can_be_chosen(tmp_path: Path) -> None:
    made = given(tmp_path / "scores.csv", scores(**TWO), baseline="new", margin=3.0)
    assert made.comparisons[0].pair == "plain against new"
    assert made.comparisons[0].declared.margin == 3.0
    with pytest.raises(DataError, match="--baseline nwe: no such method; did you mean 'new'\\?; known: plain, new"):
        given(tmp_path / "scores.csv", scores(**TWO), baseline="nwe")


def test_one_method_alone_is_a_table_without_a_test(tmp_path: Path) -> None:
    made = given(tmp_path / "scores.csv", scores(plain=TWO["plain"]))
    assert made.comparisons == []
    assert "plain" in terminal(made)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    new = {seed: own for seed, own in TWO["new"].items() if seed != 2}
    new[3] = {"mrpc": 72.5}
    made = given(tmp_path / "scores.csv", scores(plain=TWO["plain"], new=new), test="paired")
    assert "new has no scores of seed 2, which another row has." in warnings(made)
    assert "new, seed 3: no score on sst2, and so in no mean of these or of the average." in warnings(made)
    assert "Unequal n: plain 5, new 4" in warnings(made)
    gaps = made.comparisons[0].gaps
    assert gaps["mrpc"].method.n == 4
    assert gaps["avg"].seeds["method"] == (1, 4, 5)
    assert "nothing here shows that this was chosen before the scores were seen" in words(made)


def test_arms_without_a_shared_seed_are_not_paired(tmp_path: Path) -> None:
    new = {seed + 10: own for seed, own in TWO["new"].items()}
    made = given(tmp_path / "scores.csv", scores(plain=TWO["plain"], new=new), test="paired")
    assert "not tested: no seed has the average in both arms" in verdict(made)
    assert "two-sided p" in verdict(given(tmp_path / "scores.csv", scores(plain=TWO["plain"], new=new)))


def test_one_seed_is_not_tested(tmp_path: Path) -> None:
    made = given(tmp_path / "scores.csv", scores(plain={1: TWO["plain"][1]}, new={1: TWO["new"][1]}))
    assert "a test needs at least 2 seeds per arm, got 1 and 1" in verdict(made)
    assert "A row with n = 1 has no std" in warnings(made)


def test_shares_of_one_are_told(tmp_path: Path) -> None:
    shares = {name: {s: {t: v / 100 for t, v in own.items()} for s, own in arm.items()} for name, arm in TWO.items()}
    said = warnings(given(tmp_path / "scores.csv", scores(**shares)))
    assert "where these are shares of 1, give them x 100: the margin, 0.5, is in the unit of the scores" in said
    assert "shares of 1" not in warnings(given(tmp_path / "scores.csv", scores(**TWO)))


def test_many_tasks_are_rows_not_columns(tmp_path: Path) -> None:
    def arm(low: float) -> dict[int, dict[str, float]]:
        return {seed: {f"task{i}": low + (i * seed) % 7 / 10 for i in range(30)} for seed in range(1, 4)}

    made = given(tmp_path / "scores.csv", scores(plain=arm(70), new=arm(71)))
    assert "The table has no room for 30 tasks" in words(made)
    first, gaps = report.markdown(made).split("**new minus plain")
    assert "task29" not in first.partition("**Warnings**")[0]
    assert "| task29 |" in gaps
    assert "seeds.png" in {path.name for path in report.write_report(made)}


def test_a_record_of_a_study_is_untouched_by_what_is_given(root: Path) -> None:
    """Records alone name the setting, the runs and what was left out."""
    made = build(root)
    run = json.loads(report.as_json(made))["blocks"][0]["arms"][1]
    assert run["runs"][0] == file_of(root, METHOD, 1).stem
    assert 'Spearman x 100, "all" setting' in terminal(made)
