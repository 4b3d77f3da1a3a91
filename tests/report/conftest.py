from pathlib import Path

import numpy as np
import pytest

from tests.report.made import BASELINE, METHOD
from tests.synthetic_records import make_study


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def root(tmp_path: Path, rng: np.random.Generator) -> Path:
    """Five tested seeds per arm, 1.2 points apart."""
    make_study(tmp_path, BASELINE, range(1, 6), rng, shift=-0.6)
    make_study(tmp_path, METHOD, range(1, 6), rng, shift=0.6)
    return tmp_path
