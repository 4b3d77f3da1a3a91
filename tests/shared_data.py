"""Where the real data lie, and the mark for tests that need them."""

from pathlib import Path

import pytest

DATA = (Path(__file__).resolve().parents[1] / ".." / "shared" / "data").resolve()
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="needs ../shared/data beside the checkout")
