"""`plan`: seeds and hours for a gap."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.cli import report as cli_report
from nlcse_tune.errors import DataError
from tests.report.made import METHOD
from tests.synthetic_records import make_study


def test_plan_needs_two_seeds(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, METHOD, (1,), rng)
    with pytest.raises(DataError, match="at least 2 seeds, got 1"):
        cli_report.plan(METHOD.name, out=tmp_path)
