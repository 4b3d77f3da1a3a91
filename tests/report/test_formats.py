"""JSON and CSV."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import report
from nlcse_tune.report.remarks import remarks
from tests.report.made import BASELINE, METHOD, averages, build, terminal


def test_every_format_gives_the_same_mean(root: Path) -> None:
    made = build(root)
    mean = np.mean(list(averages(root, METHOD).values()))
    std = np.std(list(averages(root, METHOD).values()), ddof=1)
    assert f"{mean:.2f} ± {std:.2f}" in report.markdown(made)
    assert f"${mean:.2f}_{{\\pm {std:.2f}}}$" in report.latex(made)
    assert f"{mean:.2f}" in terminal(made)
    rows = list(csv.DictReader(io.StringIO(report.summary_csv(made))))
    row = next(r for r in rows if (r["study"], r["column"]) == (METHOD.name, "avg"))
    assert float(row["mean"]) == pytest.approx(mean, rel=1e-5)
    assert (row["n"], row["baseline"], row["test"]) == ("5", BASELINE.name, "paired")
    arm = json.loads(report.as_json(made))["blocks"][0]["arms"][1]
    assert arm["columns"]["avg"]["summary"]["mean"] == pytest.approx(mean)


def test_json_holds_what_is_said_in_three_lists(root: Path) -> None:
    made = build(root)
    [said] = remarks(made)
    block = json.loads(report.as_json(made))["blocks"][0]
    assert [block[key] for key in ("verdict", "warnings", "notes")] == [
        [*said.verdict],
        [*said.warnings],
        [*said.notes],
    ]
