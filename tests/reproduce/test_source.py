"""What makes a row: studies at both scales, their cost, and which records are theirs."""

from pathlib import Path

import numpy as np
import pytest

from nlcse_tune.config import SYNTHETIC
from nlcse_tune.config.fields import flatten, override
from nlcse_tune.errors import ConfigError
from nlcse_tune.published import tables
from nlcse_tune.reproduce.cost import cost_of, flop_of_step, steps_of, total
from nlcse_tune.reproduce.source import STEPS, check_patterns, find_source, values_for
from nlcse_tune.study import find_study, names
from tests.synthetic_records import VERSIONS, make_run

STUDIES = sorted({row.study for table in tables().values() for row in table.rows})


@pytest.mark.parametrize("name", names("studies"))
def test_every_shipped_study_estimates_its_cost(name: str, tmp_path: Path) -> None:
    cost = cost_of(find_source(name, tmp_path, "full", []), 5)
    assert cost.steps
    assert cost.petaflop
    assert cost.hours is None  # nothing on record
    assert total([cost, cost]).petaflop == pytest.approx(2 * cost.petaflop)


def test_the_arithmetic_of_a_cost(tmp_path: Path) -> None:
    """BERT base has 85 million weights in its layers; SimCSE's epoch is 15,625 steps of 64 sentences, twice."""
    simcse, visualcse = find_study("simcse-bert").config, find_study("visualcse-bert").config
    assert steps_of(simcse) == 15_625
    assert flop_of_step(simcse) == pytest.approx(6 * 84.93e6 * 64 * 2 * 32, rel=1e-3)
    assert flop_of_step(visualcse) == pytest.approx(6 * 84.93e6 * (64 * 2 * 32 + 48 * 2 * 197), rel=1e-3)
    assert steps_of(find_study("simcse-bert-sup").config) == 3 * (275_601 // 512)
    assert steps_of(find_study("simcse-bert-sup-10k").config) == 3 * (10_000 // 512)


def test_hours_are_those_of_runs_on_record(tmp_path: Path) -> None:
    source = find_source("simcse-bert", tmp_path, "full", [])
    make_run(tmp_path, source.study, 1, np.random.default_rng(1), config=source.config)
    assert cost_of(source, 4).hours == pytest.approx(4 * 3065 / 3600)


@pytest.mark.parametrize("name", STUDIES)
def test_a_small_study_needs_nothing_from_outside(name: str, tmp_path: Path) -> None:
    source = find_source(name, tmp_path, "small", [])
    assert source.study.name == f"small-{name}"
    assert source.paths.folder == tmp_path / f"small-{name}"
    flat = flatten(source.config)
    assert {flat["text.data"], flat["eval.data"], flat.get("side.data", SYNTHETIC)} == {SYNTHETIC}
    found = flat["encoder.checkpoint"], flat.get("side.checkpoint"), flat["train.precision"]
    assert found == ("scratch", None, "fp32")
    assert steps_of(source.config) <= STEPS
    assert not source.lacking
    full = find_study(name).config
    assert (source.config.method, source.config.text.objective) == (full.method, full.text.objective)
    assert source.config.text.deletion == full.text.deletion


def test_small_parts_differ_as_the_large_ones_do(tmp_path: Path) -> None:
    sizes = [find_source(f"simcse-bert-sup-{k}k", tmp_path, "small", []).config.text.limit for k in (10, 30, 100)]
    assert sizes == [100, 300, 1000]


def test_values_go_to_the_studies_that_they_are_for(tmp_path: Path) -> None:
    sets = ["text.batch_size=16", "audiocse-*:side.data=clips", "side.batch_size=4", "*-bert:text.batch_size=24"]
    assert values_for("audiocse-bert", sets) == {"text.batch_size": 24, "side.data": "clips", "side.batch_size": 4}
    assert values_for("visualcse-de", sets) == {"text.batch_size": 16, "side.batch_size": 4}
    simcse = find_source("simcse-de", tmp_path, "small", sets).config
    assert (simcse.text.batch_size, simcse.side) == (16, None)
    for wrong in (["text.batch_sise=3"], ["x-*:"], ["nothing"]):
        with pytest.raises(ConfigError, match="no such field; did you mean 'text.batch_size'|must look like"):
            find_source("simcse-de", tmp_path, "small", wrong)


def test_what_lacks_is_named_and_records_stand_without_their_inputs(tmp_path: Path) -> None:
    """A page can be made where the data are not, of runs from elsewhere: of one data set, and of today's numerics."""
    source = find_source("simcse-bert", tmp_path, "full", [])
    assert "wiki1m_for_simcse.txt is not there" in source.lacking
    assert source.missing([1, 2]) == [1, 2]
    rng = np.random.default_rng(1)
    old = VERSIONS.model_copy(update={"numerics": "0"})
    make_run(tmp_path, source.study, 1, rng, config=source.config, versions=old)
    make_run(tmp_path, source.study, 2, rng, config=source.config, data={"text": "other"})
    made = make_run(tmp_path, source.study, 3, rng, config=source.config)
    make_run(tmp_path, source.study, 4, rng, config=override(source.config, {"text.batch_size": 32}))
    kept = source.kept(range(1, 6))
    assert [record.run_id for record, _ in kept.values()] == [made.run_id]
    assert source.missing([1, 2, 3]) == [1, 2]


def test_values_for_studies_that_there_are_not_are_refused() -> None:
    check_patterns(["visualcse-*:side.data=x", "text.batch_size=8", "simcse-bert:text.data=a:b"], STUDIES)
    with pytest.raises(
        ConfigError, match=r"--set visulcse-\*:side.data=x: no study of the tables is called 'visulcse-\*'"
    ):
        check_patterns(["visulcse-*:side.data=x"], STUDIES)


def test_studies_of_released_commands_are_not_searched(tmp_path: Path) -> None:
    released = [name for name in STUDIES if name.endswith("-released")]
    assert len(released) == 4
    assert all(find_source(name, tmp_path, "full", []).study.space is None for name in released)
