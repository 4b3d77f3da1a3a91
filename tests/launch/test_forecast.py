"""How long everything will take, from what runs say."""

from pathlib import Path

import pytest

from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import override
from nlcse_tune.launch.forecast import Forecast
from nlcse_tune.launch.spec import RunSpec
from tests.launch.test_events import spec_of
from tests.synthetic_records import progress_of


def specs_of(config: RunConfig, folder: Path, number: int) -> list[RunSpec]:
    return [spec_of(override(config, {"text.learning_rate": 1e-4 * (n + 1)}), folder) for n in range(number)]


def test_runs_to_come_take_as_long_as_those_before(tiny_config: RunConfig, tmp_path: Path) -> None:
    first, second, third = specs_of(tiny_config, tmp_path, 3)
    forecast = Forecast()
    forecast.expected([5, 1], 2)
    for spec in (first, second):
        forecast.begun(spec)
        assert forecast.seconds_left() is None  # nothing is known yet
        forecast.placed(spec)
    forecast.progressed(first, progress_of(first, left=1000.0))
    # Two now, two after them, the fifth alone, and only then the one of the next batch.
    assert forecast.seconds_left() == pytest.approx(4000.0, abs=50)
    forecast.progressed(second, progress_of(second, left=500.0))
    # 1000 and 500; then 750 each: until 1250 and 1750; the fifth from 1250 to 2000; then 750 more.
    assert forecast.seconds_left() == pytest.approx(2750.0, abs=50)
    forecast.ended(second, None)  # its process died: no time to learn from
    forecast.begun(third)
    assert forecast.batches == [4, 1]
    assert forecast.seconds_left() == pytest.approx(3000.0, abs=50)


def test_a_run_that_begins_again_is_not_believed_to_be_where_it_was(tiny_config: RunConfig, tmp_path: Path) -> None:
    (spec,) = specs_of(tiny_config, tmp_path, 1)
    forecast = Forecast()
    forecast.begun(spec)
    forecast.placed(spec)
    forecast.progressed(spec, progress_of(spec))
    forecast.placed(spec)
    assert forecast.under_way[spec.run_id].progress is None
