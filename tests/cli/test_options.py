"""Options that several commands share, and how their texts are read."""

import pytest

from nlcse_tune.cli.options import parse_time
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--set text.lr=1", "text.lr: no such field"),
        ("--set text.learning_rate=-1", "must be greater than 0, got -1"),
        ("--max-time soon", "must be hours, minutes and seconds, for instance 2h"),
    ],
)
def test_a_wrong_value_names_the_option_or_field_and_the_rule(arguments: str, message: str, cli: Cli) -> None:
    done = cli("search", "demo", *arguments.split())
    assert done.status == 1
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("text", "seconds"), [("2h", 7200), ("90m", 5400), ("1h30m", 5400), ("1.5m", 90), ("20s", 20)])
def test_times_are_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_time(text) == seconds
    assert parse_time(None) is None
