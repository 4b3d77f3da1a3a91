"""Naming a winner by the mean over seeds: worked rounds, and a real search."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nlcse_tune.paths import StudyPaths
from nlcse_tune.records.ledger import ledger
from nlcse_tune.search.search import search
from nlcse_tune.search.selection import Standing, repeat
from nlcse_tune.search.state import SearchOptions
from nlcse_tune.study import Study


@pytest.mark.parametrize(("seeds", "rounds"), [(1, []), (2, [6]), (4, [6, 3, 2])])
def test_each_round_repeats_half_as_many(seeds: int, rounds: list[int]) -> None:
    asked: list[int] = []

    def run(names: Sequence[int], i: int) -> Mapping[int, float]:
        asked.append(len(names))
        return dict.fromkeys(names, 80.0)

    repeat(dict.fromkeys(range(10), 80.0), seeds, run)
    assert asked == rounds


def test_the_winner_is_the_best_mean_not_the_best_single_score() -> None:
    first = {name: 80.0 - i / 10 for i, name in enumerate("abcdefgh")}
    again = {
        1: {"a": 78.0, "b": 79.9, "c": 79.8, "d": 79.5, "e": 79.0, "f": 79.0},
        2: {"b": 79.7, "c": 80.0, "d": 79.0},
    }
    asked: list[list[str]] = []

    def run(names: Sequence[str], i: int) -> Mapping[str, float]:
        asked.append(list(names))
        return {name: again[i][name] for name in names}

    standings = repeat(first, 3, run)
    assert asked == [list("abcdef"), list("bcd")]
    assert list(standings) == ["c", "b", "d", "e", "f", "a"]  # three seeds before two, then by mean
    assert standings["b"].mean == pytest.approx((79.9 + 79.9 + 79.7) / 3)
    assert standings["a"] == Standing((80.0, 78.0))
    assert standings["a"].fresh == 78.0
    assert math.isnan(Standing((80.0,)).fresh)


def test_a_repetition_that_failed_takes_its_configuration_out_of_the_race() -> None:
    standings = repeat({"a": 80.0, "b": 79.0}, 3, lambda names, i: {name: 79.5 for name in names if name != "a"})
    assert list(standings) == ["b"]


def test_one_seed_repeats_nothing() -> None:
    assert repeat({"a": 1.0}, 1, lambda names, i: {}) == {"a": Standing((1.0,))}


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_search_repeats_its_best_few_and_names_the_best_mean(tiny_study: Study, tmp_path: Path) -> None:
    paths = StudyPaths(tmp_path, tiny_study.name)
    result = search(tiny_study, paths, SearchOptions(trials=3, select_seeds=2, keep=1))
    seeds = sorted((record.seed, record.run_id) for record in ledger(paths).runs)
    assert [seed for seed, _ in seeds] == [42, 42, 42, 43, 43, 43]
    assert len(result.candidates) == 3  # a repetition is no further point
    assert [len(standing.scores) for _, standing in result.standings] == [2, 2, 2]
    means = [standing.mean for _, standing in result.standings]
    assert means == sorted(means, reverse=True)
    assert result.best is result.standings[0][0]
    choice = json.loads(paths.search.read_text())
    assert choice["run_id"] == result.best.record.run_id
    assert list(choice["dev_by_seed"]) == ["42", "43"]
    assert (paths.folder / choice["checkpoint"] / "config.json").is_file()
    kept = [folder.name for folder in (paths.folder / "checkpoints").iterdir()]
    assert result.best.record.run_id in kept

    again = search(tiny_study, paths, SearchOptions(trials=3, select_seeds=2, keep=1))
    assert again.trained == 0
    assert again.standings == result.standings
