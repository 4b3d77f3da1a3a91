"""Where the real data lie: `shared/data` beside the checkout. Tests that need them skip where they are not."""

from pathlib import Path

import pytest

DATA = (Path(__file__).resolve().parents[1] / ".." / "shared" / "data").resolve()
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"the shared data are not there: {DATA}")
