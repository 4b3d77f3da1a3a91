"""`plan`: seeds and hours for a gap. `compare`: tests from published means, stds and n."""

import re
from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.cli import report as cli_report
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.report.plan import compare_words, parse_summary
from tests.report.made import METHOD
from tests.synthetic_records import make_study


def test_plan_needs_two_seeds(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, METHOD, (1,), rng)
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        cli_report.plan(METHOD.name, out=tmp_path)


def test_compare_says_what_rounding_leaves_open() -> None:
    line = list(compare_words(parse_summary("75.74,0.90,5"), parse_summary("76.96,0.38,5")))[1]
    low, high = (float(p) for p in re.findall(r"p = (0\.\d+)", line)[1:])
    assert low < 0.0354 < high
    assert high - low < 0.004


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("75.74,0.90", "must be MEAN,STD,N"),
        ("75.74,x,5", "two numbers and a whole number"),
        ("75.74,0.90,1", "n must be at least 2"),
        ("75.74,-0.9,5", "std: must be"),
        ("nan,0.9,5", "mean: must be"),
    ],
)
def test_compare_refuses_what_is_no_summary(text: str, rule: str) -> None:
    with pytest.raises(ConfigError, match=rule):
        parse_summary(text)
