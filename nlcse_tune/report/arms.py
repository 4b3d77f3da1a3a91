"""Arms: the tested runs of one study that may be averaged together, and everything that was left out of them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import STS_TASKS, RunConfig, StsTask, digest
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, Opening, RunRecord, TestRecord, ledger, read_openings, split_run_id, tests_ledger
from nlcse_tune.report.differences import published_differences, record_differences, test_differences
from nlcse_tune.report.numbers import AVERAGE, Column, plural, seed_list
from nlcse_tune.study import Study


@dataclass(frozen=True)
class Run:
    """A completed run and its test scores."""

    record: RunRecord
    test: TestRecord

    @property
    def seed(self) -> int:
        return self.record.seed


@dataclass(frozen=True)
class LeftOut:
    """What a study has on record beside the runs of an arm."""

    lines: tuple[str, ...]  # a few words on each record that is not in the arm
    seeds: frozenset[int]  # of the arm's own configuration
    search_runs: int  # runs with a seed of the search that were never tested


@dataclass(frozen=True)
class Arm:
    """The runs of one study that share configuration, data and evaluation, by seed."""

    study: Study
    paths: StudyPaths
    runs: tuple[Run, ...]
    left_out: LeftOut
    choice: Choice | None  # of the study's last search
    openings: tuple[Opening, ...]

    @property
    def name(self) -> str:
        return self.study.name

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(run.seed for run in self.runs)

    @property
    def config(self) -> RunConfig | None:
        """The configuration that all runs share; None for an arm without runs."""
        return self.runs[0].record.config if self.runs else None

    @property
    def recorded(self) -> set[int]:
        """Seeds with any record of this configuration, but for those of the search."""
        return {*self.seeds, *self.left_out.seeds}

    @property
    def search_seeds(self) -> set[int]:
        """The search's own seed, and those that it repeated its best few with."""
        return _search_seeds(self.study, self.choice)

    def scores(self, column: Column, tasks: tuple[StsTask, ...]) -> dict[int, float]:
        """Score by seed; a run without that task, or without one of the average's tasks, is not in it."""
        scores = {r.seed: r.test.average(tasks) if column == AVERAGE else r.test.score(column) for r in self.runs}
        return {seed: score for seed, score in scores.items() if score is not None}

    def unpublished(self) -> list[str]:
        """Fields in which the runs are not the study as published."""
        if self.config is None:
            return []
        return published_differences(self.study, self.config, self.runs[0].test.setting)

    def similarities(self, run: Run) -> dict[str, NDArray[Any]]:
        """Per-pair cosines and gold scores of one run; empty where they were not kept."""
        path = self.paths.run(run.record.run_id).similarities
        if not path.is_file():
            return {}
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not readable as per-pair similarities: {error}; test the run again") from None


def task_order(arms: Iterable[Arm]) -> tuple[StsTask, ...]:
    """The tasks that any of the arms has scores of, in the order of the published tables."""
    scored = {task for arm in arms for run in arm.runs for task in run.test.scores}
    return tuple(task for task in STS_TASKS if task in scored)


def collect(
    study: Study,
    root: Path,
    *,
    choose: str | None = None,
    any_version: bool = False,
    seeds: tuple[int, ...] | None = None,
) -> Arm:
    """The arm of `study` from its records under `root`.

    `choose` is the start of one configuration's run ids, or of its `configuration_key`. Without it, tested runs of
    several configurations or data are a DataError that names what differs: they are never averaged together.
    Different numerics of this tool are one too, unless `any_version`; of two records of a seed the later then
    counts. `seeds` keeps these seeds only. What was searched or left out is counted over all records either way.
    """
    paths = StudyPaths(root, study.name)
    records, tests = list(ledger(paths)), tests_ledger(paths)
    tested = [Run(r, tests[r.run_id]) for r in records if r.run_id in tests and _is_of(r, choose)]
    if choose is not None and not tested:
        raise DataError(f"{study.name}: no tested run's id starts with {choose!r}; {_known(paths, tests)}")
    wanted = [r for r in tested if r.record.status == "completed" and (seeds is None or r.seed in seeds)]
    runs = _one_configuration(study.name, wanted, any_version)
    _check_tests(study.name, runs)
    choice, openings = Choice.read(paths.search), tuple(read_openings(paths))
    left_out = _left_out(records, tests, runs, _asked(openings), _search_seeds(study, choice))
    if choose is None:
        orphans = sorted(tests.keys() - {record.run_id for record in records})
        lines = *left_out.lines, *(f"test record {name} has no run record" for name in orphans)
        left_out = replace(left_out, lines=lines)
    return Arm(study, paths, runs, left_out, choice, openings)


def _is_of(record: RunRecord, choose: str | None) -> bool:
    return choose is None or record.run_id.startswith(choose) or record.key.startswith(choose)


def _known(paths: StudyPaths, tests: Iterable[str]) -> str:
    prefixes = sorted({run.configuration for name in tests if (run := split_run_id(name))})
    return f"tested configurations in {paths.tests}: {', '.join(prefixes) or 'none'}"


def _search_seeds(study: Study, choice: Choice | None) -> set[int]:
    return {study.search_seed, *(choice.dev_by_seed if choice else ())}


def _asked(openings: Iterable[Opening]) -> set[str]:
    """Runs that a seed study set out to test: none is a search's, and one without a record was interrupted."""
    return {run for opening in openings if opening.by == "seeds" for run in opening.runs}


def _one_configuration(name: str, runs: Iterable[Run], any_version: bool) -> tuple[Run, ...]:
    """The runs by seed; DataError where they are of several configurations, data or numerics."""
    groups: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        key = run.record.key, "" if any_version else run.record.versions.numerics
        groups.setdefault(key, {})[run.seed] = run  # the ledger is oldest first: the last stays
    if len(groups) > 1:
        raise DataError(_mixed(name, [list(group.values()) for group in groups.values()]))
    return tuple(group[seed] for group in groups.values() for seed in sorted(group))


def _mixed(name: str, groups: Sequence[Sequence[Run]]) -> str:
    lines = [f"{name}: tested runs of {len(groups)} configurations cannot be averaged together:"]
    lines += [f"  {group[0].record.configuration} (seeds {seed_list([run.seed for run in group])})" for group in groups]
    first = groups[0][0].record
    for group in groups[1:]:
        lines += [f"  they differ in {difference}" for difference in record_differences(first, group[0].record)]
    return "\n".join([*lines, f"choose one: --config {name}={groups[-1][0].record.configuration}"])


def _check_tests(name: str, runs: tuple[Run, ...]) -> None:
    for one, other in combinations(runs, 2):  # each pair: a set that the first run lacks may be another's on the rest
        if differences := test_differences(one.test, other.test):
            raise DataError(
                f"{name}: test scores of seeds {one.seed} and {other.seed} cannot be averaged together: they "
                f"differ in {'; '.join(differences)}; `nlcse-tune seeds` tests them again on the data at hand"
            )


def _left_out(
    records: Sequence[RunRecord],
    tests: Mapping[str, TestRecord],
    runs: tuple[Run, ...],
    asked: set[str],
    search_seeds: set[int],
) -> LeftOut:
    """What became of each record, and each run that was `asked` for, that is not among `runs`."""
    kept, seeds = {run.record.run_id for run in runs}, {run.seed for run in runs}
    rest = [record for record in records if record.run_id not in kept]
    tried = [r for r in rest if r.seed not in search_seeds or r.run_id in tests or r.run_id in asked]
    own = digest(runs[0].record.config, {}) if runs else None
    same = [record for record in tried if own is None or digest(record.config, {}) == own]
    lost = _lost_seeds(asked - {record.run_id for record in records}, runs)
    lines = [f"seed {r.seed}: {_fate(r, tests, seeds)}{' (run again since)' * (r.seed in seeds)}" for r in same]
    lines += [f"seed {s}: begun, no record: interrupted, or its process died; `seeds` goes on with it" for s in lost]
    if others := len(tried) - len(same):
        lines.append(f"{plural(others, 'run')} of other configurations")
    return LeftOut(tuple(lines), frozenset([*(record.seed for record in same), *lost]), len(rest) - len(tried))


def _lost_seeds(names: Iterable[str], runs: tuple[Run, ...]) -> list[int]:
    """Seeds of the arm's configurations whose runs were begun and left no record."""
    configurations, seeds = {run.record.configuration for run in runs}, {run.seed for run in runs}
    begun = [run for name in sorted(names) if (run := split_run_id(name))]
    return [run.seed for run in begun if run.configuration in configurations and run.seed not in seeds]


def _fate(record: RunRecord, tests: Mapping[str, TestRecord], seeds: set[int]) -> str:
    if record.status == "failed":
        return f"failed: {(record.error or 'no reason recorded').strip().splitlines()[-1][:160]}"
    if record.status == "stopped":
        return f"stopped at step {record.steps}" + (", tested all the same" if record.run_id in tests else "")
    if record.run_id not in tests:
        return "trained but not tested"
    return "an earlier record of the same configuration" if record.seed in seeds else "not asked for"
