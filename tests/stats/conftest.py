import numpy as np
import pytest

A = [76.51, 77.42, 76.98, 76.70, 77.33]
B = [75.10, 76.95, 74.80, 76.41, 75.62]
C = [75.10, 76.95, 74.80, 76.41, 75.62, 75.05, 74.31]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
