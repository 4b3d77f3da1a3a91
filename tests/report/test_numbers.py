"""How numbers are written."""

from nlcse_tune.report.numbers import seed_list, signed


def test_small_writings() -> None:
    assert seed_list((5, 1, 2, 3, 9, 10)) == "1-3, 5, 9, 10"
    assert (signed(1.224), signed(-0.3), signed(-0.001)) == ("+1.22", "-0.30", "0.00")
