"""Which arms make a table."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune import report
from nlcse_tune.errors import DataError
from nlcse_tune.paths import studies_with_tests
from nlcse_tune.study import find_study
from tests.report.made import BASELINE, METHOD, build, words
from tests.synthetic_records import make_study


def test_methods_with_one_baseline_share_a_table(root: Path, rng: np.random.Generator) -> None:
    audio = find_study("audiocse-bert")
    make_study(root, audio, range(1, 6), rng)
    made = report.build(studies_with_tests(root), root)
    assert [[arm.name for arm in block.arms] for block in made.blocks] == [
        ["simcse-bert", "audiocse-bert", "visualcse-bert"]
    ]
    assert made.declared == 2


def test_a_study_without_baseline_or_records(tmp_path: Path, rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match=r"no test scores of visualcse-bert under .*run `nlcse-tune seeds` first"):
        build(tmp_path)
    make_study(tmp_path, METHOD, (1, 2), rng)
    assert "simcse-bert: no tested run on record; `nlcse-tune seeds simcse-bert` makes some" in words(build(tmp_path))
    make_study(tmp_path, BASELINE, (1, 2), rng)
    alone = report.build([BASELINE], tmp_path)
    assert alone.declared == 0
    assert not alone.blocks[0].comparisons
    report.write_report(alone)
