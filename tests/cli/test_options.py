"""Options that several commands share, and how their texts are read."""

import pytest

from nlcse_tune.cli.options import parse_seeds, parse_time
from nlcse_tune.errors import ConfigError
from tests.cli.conftest import Cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--set text.lr=1", "text.lr: no such field"),
        ("--set text.learning_rate=-1", "must be greater than 0, got -1"),
        ("--max-time soon", "must be hours, minutes and seconds, for instance 2h"),
        ("--max-time 0h", "must be hours, minutes and seconds, for instance 2h"),
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


def test_all_mistakes_of_a_call_are_told_at_once(cli: Cli) -> None:
    sets = ("text.learning_rte=1", "a=[1", "text.batch_size=1", "side.loss=x", "alone", "side=image")
    told = cli("train", "demo", *(part for text in sets for part in ("--set", text))).stderr
    assert len(told.splitlines()) == len(sets)
    for message in (
        "text.learning_rte: no such field; did you mean 'text.learning_rate'?",
        "--set a=[1: line 1, column 3: not readable as YAML",
        "--set: text.batch_size: must be greater than or equal to 2, got 1",
        "--set: side.loss: must be 'simclr'",
        "--set alone: must look like field=value",
        "side: can only be set to null",
    ):
        assert message in told
    assert "nope: no such study" in cli("train", "nope", "--set", "alone").stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,a", "must be whole numbers with commas between"),
        ("-1,2", "must be whole numbers from 0 to 2147483647, got -1"),
        ("1,2147483648", "must be whole numbers from 0 to 2147483647, got 2147483648"),
        ("3,1,3", "must differ, got 3 more than once"),
    ],
)
def test_seeds_that_no_run_can_have_are_refused(text: str, message: str, cli: Cli) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_seeds(text)
    done = cli("seeds", "demo", "--seeds", text)
    assert message in done.stderr
    assert done.stdout == ""
    assert parse_seeds("0,2147483647") == (0, 2147483647)
