"""What travels to a cluster's nodes with the inputs of a run."""

from pathlib import Path

from nlcse_tune.data.manifest import manifest_path
from nlcse_tune.launch.travel import pack


def test_a_manifest_travels_beside_its_data_set(tmp_path: Path) -> None:
    """So a run's record says the same on every node."""
    place = tmp_path / "pictures"
    (place / "cat").mkdir(parents=True)
    (place / "cat" / "a.jpg").write_bytes(b"x")
    manifest_path(place).write_text("{}")
    (copy,) = pack([("side.data", place)], tmp_path / "out").glob("*/pictures")
    assert (copy / "cat" / "a.jpg").read_bytes() == b"x"
    assert manifest_path(copy).read_text() == "{}"
