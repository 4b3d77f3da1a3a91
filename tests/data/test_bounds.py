"""The bounds that the docs tell are those that hold."""

from pathlib import Path

import pytest

from nlcse_tune import files
from nlcse_tune.data import bounds

PAGE = Path(__file__).parents[2] / "docs" / "data.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="needs the checkout")
def test_every_bound_is_in_the_table() -> None:
    table = PAGE.read_text().split("## Bounds\n")[1].split("\n## ")[0]
    values = [value for name, value in vars(bounds).items() if name.isupper()] + [files.YAML_DEPTH]
    flat = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    told = [f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in flat]
    assert not [value for value in told if value not in table]
