"""Arms: the tested runs of one study that may be averaged together, and everything that was left out of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import PATH_FIELDS, SPEED_FIELDS, STS_TASKS, TEST_FIELDS, RunConfig, StsTask, digest, flatten
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, TestRecord, ledger, read_openings, searched_seeds, split_run_id, tests_ledger
from nlcse_tune.study import Study

Column = StsTask | Literal["avg"]
AVERAGE: Literal["avg"] = "avg"


@dataclass(frozen=True)
class Run:
    """A completed run and its test scores."""

    record: RunRecord
    test: TestRecord

    @property
    def seed(self) -> int:
        return self.record.seed


@dataclass(frozen=True)
class Arm:
    """The runs of one study that share configuration, data and evaluation, by seed; `left_out` names all others."""

    study: Study
    paths: StudyPaths
    runs: tuple[Run, ...]
    left_out: tuple[str, ...]
    recorded: frozenset[int]  # seeds with any record of this configuration, but for those of the search
    search_runs: int  # runs with a seed of the search that were never tested
    search_seeds: frozenset[int]  # the search's own seed, and those that it repeated its best few with

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

    def scored(self) -> set[StsTask]:
        """Tasks that at least one run has a score of."""
        return {task for run in self.runs for task in run.test.scores}

    def scores(self, column: Column, tasks: tuple[StsTask, ...]) -> dict[int, float]:
        """Score by seed; a run without that task, or without one of the average's tasks, is not in it."""
        found = {run.seed: run.test.average(tasks) if column == "avg" else run.test.score(column) for run in self.runs}
        return {seed: score for seed, score in found.items() if score is not None}

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
    chosen_ids = {record.run_id for record in records if choose is None or _is_of(record, choose)}
    if choose is not None and not chosen_ids & tests.keys():
        raise DataError(f"{study.name}: no tested run's id starts with {choose!r}; {_known(paths, tests)}")
    runs = [
        Run(record, tests[record.run_id])
        for record in records
        if record.run_id in chosen_ids & tests.keys()
        and record.status == "completed"
        and (seeds is None or record.seed in seeds)
    ]
    groups = _groups(runs, any_version)
    if len(groups) > 1:
        raise DataError(_mixed(study.name, groups))
    kept = {run.seed: run for group in groups for run in group}  # the ledger is oldest first: the last stays
    chosen = tuple(kept[seed] for seed in sorted(kept))
    _same_tests(study.name, chosen)
    search_seeds = frozenset({study.search_seed, *searched_seeds(paths)})
    asked = {name for opening in read_openings(paths) if opening.by == "seeds" for name in opening.runs}
    left_out, recorded, search_runs = _left_out(search_seeds, records, tests, chosen, asked)
    if choose is None:
        left_out += [
            f"test record {name} has no run record" for name in sorted(set(tests) - {r.run_id for r in records})
        ]
    return Arm(study, paths, chosen, tuple(left_out), frozenset(recorded), search_runs, search_seeds)


def _is_of(record: RunRecord, choose: str) -> bool:
    return record.run_id.startswith(choose) or record.key.startswith(choose)


def _known(paths: StudyPaths, tests: Mapping[str, TestRecord]) -> str:
    prefixes = sorted({run.configuration for name in tests if (run := split_run_id(name))})
    return f"tested configurations in {paths.tests}: {', '.join(prefixes) or 'none'}"


def _groups(runs: Iterable[Run], any_version: bool) -> list[list[Run]]:
    groups: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        key = digest(run.record.config, run.record.data), "" if any_version else run.record.versions.numerics
        groups.setdefault(key, []).append(run)
    return list(groups.values())


def _mixed(name: str, groups: list[list[Run]]) -> str:
    lines = [f"{name}: tested runs of {len(groups)} configurations cannot be averaged together:"]
    for group in groups:
        seeds = ", ".join(str(run.seed) for run in sorted(group, key=lambda run: run.seed))
        lines.append(f"  {group[0].record.configuration} (seeds {seeds})")
    first = groups[0][0].record
    for group in groups[1:]:
        lines += [f"  they differ in {difference}" for difference in record_differences(first, group[0].record)]
    lines.append(f"choose one: --config {name}={groups[-1][0].record.configuration}")
    return "\n".join(lines)


def record_differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Each field, input or numerics version in which two runs differ, as `name: value against value`."""
    found = config_differences(a.config, b.config)
    found += [
        f"data {key}: {a.data.get(key, 'absent')} against {b.data.get(key, 'absent')}"
        for key in sorted(a.data | b.data)
        if a.data.get(key) != b.data.get(key)
    ]
    if a.versions.numerics != b.versions.numerics:
        found.append(f"numerics: {a.versions.numerics} against {b.versions.numerics} (--any-version joins them)")
    return found


def config_differences(a: RunConfig, b: RunConfig, *, parts: tuple[str, ...] = ()) -> list[str]:
    """Each field that decides a run's numbers and differs, as `field: value against value`; `parts` keeps some."""
    left, right = flatten(a), flatten(b)
    skipped = {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS}
    return [
        f"{field}: {_value(left, field)} against {_value(right, field)}"
        for field in {**left, **right}
        if field not in skipped
        and left.get(field, ...) != right.get(field, ...)
        and (not parts or field.split(".")[0] in parts)
    ]


def other_setting(arm: Arm) -> list[str]:
    """Fields in which the runs are not the study as published, less what a search may change.

    Inputs count by the last part of their paths: the published ones lie in nobody's folder.
    """
    if arm.config is None:
        return []
    published = arm.study.written
    ours, theirs = flatten(arm.config), flatten(published)
    names = {
        field: tuple(Path(str(flat[field])).name if flat.get(field) else "none" for flat in (ours, theirs))
        for field in PATH_FIELDS
        if field != "eval.data"  # test sets have fingerprints of their own
    }
    found = [f"{field}: {mine} against {other}" for field, (mine, other) in names.items() if mine != other]
    if (setting := arm.runs[0].test.setting) != published.eval.setting:
        found.append(f"eval.setting: {setting} against {published.eval.setting}")
    searched = arm.study.space.fields if arm.study.space else ()
    free = (*searched, "train.eval_every", "train.precision", "train.tf32")
    return found + [d for d in config_differences(arm.config, published) if d.split(":")[0] not in free]


def _value(flat: Mapping[str, Any], field: str) -> str:
    return "absent" if field not in flat else "null" if flat[field] is None else f"{flat[field]}"


def _same_tests(name: str, runs: tuple[Run, ...]) -> None:
    for i, run in enumerate(runs):
        for other in runs[:i]:  # each pair: a set that the first run lacks may be another's on each of the others
            if differences := test_differences(other.test, run.test):
                raise DataError(
                    f"{name}: test scores of seeds {other.seed} and {run.seed} cannot be averaged together: they "
                    f"differ in {'; '.join(differences)}; `nlcse-tune seeds` tests them again on the data at hand"
                )


def test_differences(a: TestRecord, b: TestRecord) -> list[str]:
    """How two test records' setting, or the fingerprint of a test set that both used, differ."""
    found = [f"setting: {a.setting} against {b.setting}"] if a.setting != b.setting else []
    return found + [
        f"test data {key}: {a.data[key]} against {b.data[key]}"
        for key in sorted(a.data.keys() & b.data.keys())
        if a.data[key] != b.data[key]
    ]


test_differences.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def _left_out(
    search_seeds: frozenset[int],
    records: list[RunRecord],
    tests: Mapping[str, TestRecord],
    chosen: tuple[Run, ...],
    asked: set[str],
) -> tuple[list[str], set[int], int]:
    """A line for each record that is not in the arm, the seeds on record, and the number of search runs.

    `asked` are the runs that a seed study set out to test: none of them is a search's, and one without a record
    died or was interrupted.
    """
    kept, kept_seeds = {run.record.run_id for run in chosen}, {run.seed for run in chosen}
    own = digest(chosen[0].record.config, {}) if chosen else None
    lines, recorded, search_runs, others = [], {run.seed for run in chosen}, 0, 0
    for record in records:
        if record.run_id in kept:
            continue
        same = own is None or digest(record.config, {}) == own
        if record.seed in search_seeds and record.run_id not in tests.keys() | asked:
            search_runs += 1
        elif not same:
            others += 1
        else:
            recorded.add(record.seed)
            again = " (run again since)" if record.seed in kept_seeds else ""
            lines.append(f"seed {record.seed}: {_reason(record, tests, kept_seeds)}{again}")
    starts = {run.record.configuration for run in chosen}
    for name in sorted(asked - {record.run_id for record in records}):
        run = split_run_id(name)
        if run and run.configuration in starts and run.seed not in kept_seeds:
            recorded.add(run.seed)
            lines.append(
                f"seed {run.seed}: begun, no record: interrupted, or its process died; `seeds` goes on with it"
            )
    if others:
        lines.append(f"{others} run{'s' * (others > 1)} of other configurations")
    return lines, recorded, search_runs


def _reason(record: RunRecord, tests: Mapping[str, TestRecord], kept_seeds: set[int]) -> str:
    if record.status == "failed":
        return f"failed: {(record.error or 'no reason recorded').strip().splitlines()[-1][:160]}"
    if record.status == "stopped":
        return f"stopped at step {record.steps}" + (", tested all the same" if record.run_id in tests else "")
    if record.run_id not in tests:
        return "trained but not tested"
    return "an earlier record of the same configuration" if record.seed in kept_seeds else "not asked for"


def task_order(arms: Iterable[Arm]) -> tuple[StsTask, ...]:
    """The tasks that any of the arms has scores of, in the order of the published tables."""
    scored = set().union(*(arm.scored() for arm in arms))
    return tuple(task for task in STS_TASKS if task in scored)
