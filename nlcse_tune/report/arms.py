"""Arms: the tested runs of one study that may be averaged together, what was left out, and in what two differ."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

from nlcse_tune.config import STS_TASKS, RunConfig, StsTask
from nlcse_tune.config.fields import PATH_FIELDS, SPEED_FIELDS, TEST_FIELDS, digest, flatten, inputs, override, plain
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, Opening, RunRecord, TestRecord, split_run_id
from nlcse_tune.records.ledger import Ledger, believed_test, kept_test, ledger, read_openings
from nlcse_tune.report.numbers import AVERAGE, Column, plural, seed_list
from nlcse_tune.study import Study


class SeveralConfigurations(DataError):
    """Tested runs of one study that cannot be averaged together, and what would choose some of them."""

    def __init__(self, lines: Sequence[str], choices: dict[str, tuple[str, ...]]) -> None:
        super().__init__("\n".join([*lines, f"choose one: {' '.join([*choices.values()][-1])}"]))
        self.lines, self.choices = lines, choices  # options of a command by the numerics that they lead to


@dataclass(frozen=True)
class Run:
    """A completed run and its test scores."""

    record: RunRecord
    test: TestRecord

    @property
    def seed(self) -> int:
        return self.record.seed

    @property
    def scores(self) -> dict[str, float]:
        """By task, in the setting of its test record."""
        return {task: score for task in self.test.scores if (score := self.test.score(task)) is not None}


@dataclass(frozen=True)
class LeftOut:
    """What a study has on record beside the runs of an arm."""

    lines: tuple[str, ...] = ()  # a few words on each record that is not in the arm
    seeds: frozenset[int] = frozenset()  # of the arm's own configuration
    search_runs: int = 0  # runs with a seed of the search that were never tested
    configurations: int = 0  # others than the arm's own that were tested


@dataclass(frozen=True)
class ScoredArm:
    """What a table or a test takes of an arm, wherever its runs were trained: a name, and scores by seed and task."""

    name: str
    by_seed: Mapping[int, Mapping[str, float]]

    @property
    def seeds(self) -> tuple[int, ...]:
        return tuple(self.by_seed)

    def scores(self, column: Column, tasks: Sequence[str]) -> dict[int, float]:
        """Score by seed; a seed without that task, or without one of the average's tasks, is not in it."""
        wanted = tasks if column == AVERAGE else (column,)
        whole = {seed: own for seed, own in self.by_seed.items() if wanted and all(task in own for task in wanted)}
        return {seed: sum(own[task] for task in wanted) / len(wanted) for seed, own in whole.items()}


@dataclass(frozen=True)
class Arm(ScoredArm):
    """The runs of one study that share configuration, data and evaluation, by seed."""

    study: Study
    paths: StudyPaths
    runs: tuple[Run, ...]
    left_out: LeftOut
    choice: Choice | None  # of the study's last search
    openings: tuple[Opening, ...]

    @property
    def config(self) -> RunConfig:
        """The configuration that all runs share; an arm without runs has none."""
        return self.runs[0].record.config

    @property
    def recorded(self) -> set[int]:
        """Seeds with any record of this configuration, but for those of the search."""
        return {*self.seeds, *self.left_out.seeds}

    @property
    def search_seeds(self) -> set[int]:
        """The study's own, and those that searches of its folder chose by."""
        return {self.study.search_seed, *(self.choice.search_seeds if self.choice else ())}

    def unpublished(self) -> list[str]:
        """Fields in which the runs are not the study as published, less what a search may change."""
        if not self.runs:
            return []
        written = self.study.written
        ours, theirs = (  # by the last part of a path: the published inputs lie in nobody's folder
            {field: Path(value).name for field, value in inputs(config).items() if field != "eval.data"}  # fingerprints
            for config in (self.config, written)
        )
        ours["eval.setting"], theirs["eval.setting"] = self.runs[0].test.setting, written.eval.setting
        searched = self.study.space.fields if self.study.space else ()
        free = (*searched, "train.eval_every", "train.precision", "train.tf32")
        lines = {line: line.split(":")[0] for line in config_differences(self.config, written)}
        others = [line for line, field in lines.items() if field not in free and plain(field) not in free]
        return differing(ours, theirs, {**ours, **theirs}) + others


def searched(study: Study, paths: StudyPaths) -> RunConfig | None:
    """The configuration that the study's search chose, if it searched the study as it stands."""
    if (choice := Choice.read(paths.search)) is None:
        return None
    own = override(study.config, choice.point)  # how it is tested, or how fast it runs, may be another
    return own if digest(own, {}) == digest(choice.config, {}) else None


def task_order(arms: Iterable[ScoredArm]) -> tuple[StsTask, ...]:
    """The tasks that any of the arms has scores of, in the order of the published tables."""
    scored = {task for arm in arms for own in arm.by_seed.values() for task in own}
    return tuple(task for task in STS_TASKS if task in scored)


def collect(
    study: Study, root: Path, *, choose: str = "", any_version: bool = False, seeds: tuple[int, ...] | None = None
) -> Arm:
    """The arm of `study` from its records under `root`.

    `choose` is the start of one configuration's run ids or key; without it, tested runs of several configurations
    or data are a DataError that names what differs. Different numerics are one too, unless `any_version`; of two
    records of a seed the later then counts. `seeds` keeps these only; what is left out is counted over all records.
    """
    paths = StudyPaths(root, study.name)
    kept = ledger(paths)
    records, tests = kept.runs, {r.run_id: test for r in kept.runs if (test := kept_test(paths.run(r.run_id), r))}
    tested = [r for r in records if r.run_id in tests and (r.run_id.startswith(choose) or r.key.startswith(choose))]
    if choose and not tested:
        known = sorted({run.configuration for name in tests if (run := split_run_id(name))})
        configurations = f"tested configurations in {paths.tests}: {', '.join(known) or 'none'}"
        raise DataError(f"{study.name}: no tested run's id starts with {choose!r}; {configurations}")
    wanted = [r for r in tested if r.status == "completed" and (seeds is None or r.seed in seeds)]
    runs = _one_configuration(study.name, [Run(r, tests[r.run_id]) for r in wanted], any_version)
    opened, torn = read_openings(paths)
    own = {run.record.configuration for run in runs}
    openings = tuple(o for o in opened if own & {run.configuration for run in filter(None, map(split_run_id, o.runs))})
    misfits, choice = _misfits(kept, tests, paths, torn), None
    try:
        choice = Choice.read(paths.search)
    except DataError as error:
        misfits.append(str(error).removeprefix(f"{paths.folder}/"))
    arm = Arm(study.name, {run.seed: run.scores for run in runs}, study, paths, runs, LeftOut(), choice, openings)
    tested_by = filter(None, map(split_run_id, [*tests, *(run for opening in opened for run in opening.runs)]))
    others = {run.configuration for run in tested_by} - own
    return replace(arm, left_out=replace(_left_out(arm, records, tests, misfits), configurations=len(others)))


def _misfits(kept: Ledger, tests: Mapping[str, TestRecord], paths: StudyPaths, torn: int) -> list[str]:
    """Files of the study that are not what their place says, and why: none of them is believed."""
    ours = {record.run_id: record for record in kept.runs}
    lines = [line.removeprefix(f"{paths.folder}/") for line in kept.left_out]
    for path in sorted(paths.tests.glob("*.json")):
        if path.stem not in ours:
            lines.append(f"tests/{path.name}: has no run record")
        elif path.stem not in tests:
            try:
                believed_test(path, ours[path.stem])
            except DataError as error:
                lines.append(str(error).removeprefix(f"{paths.folder}/"))
    return lines + [f"{paths.openings.name}: {plural(torn, 'opening')} that cannot be read"] * (torn > 0)


def _one_configuration(name: str, runs: Iterable[Run], any_version: bool) -> tuple[Run, ...]:
    """The runs by seed; DataError where they are of several configurations, data, numerics or test sets."""
    groups: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        key = run.record.key, "" if any_version else run.record.versions.numerics
        groups.setdefault(key, {})[run.seed] = run  # the ledger is oldest first: the last stays
    if len(groups) > 1:
        records = [(next(iter(group.values())).record, group) for group in groups.values()]
        lines = [f"{name}: tested runs of {len(records)} configurations cannot be averaged together:"]
        lines += [f"  {record.configuration} (seeds {seed_list(group)})" for record, group in records]
        a = records[0][0]
        for b, _ in records[1:]:
            inputs = differing(a.data, b.data, sorted(a.data.keys() | b.data.keys()), "data ")
            numerics = differing(a.versions.model_dump(), b.versions.model_dump(), ["numerics"])
            joined = [f"{difference} (--any-version joins them)" for difference in numerics]
            lines += [f"  they differ in {d}" for d in (*config_differences(a.config, b.config), *inputs, *joined)]
        raise SeveralConfigurations(lines, _choices(name, [record for record, _ in records], any_version))
    chosen = tuple(group[seed] for group in groups.values() for seed in sorted(group))
    for one, other in combinations(chosen, 2):  # each pair: a set that the first lacks may be another's on the rest
        if differences := scoring_differences(one.test, other.test):
            raise DataError(
                f"{name}: test scores of seeds {one.seed} and {other.seed} cannot be averaged together: they "
                f"differ in {'; '.join(differences)}; `nlcse-tune seeds` tests them again on the data at hand"
            )
    return chosen


def _choices(name: str, records: Sequence[RunRecord], any_version: bool) -> dict[str, tuple[str, ...]]:
    """For each numerics the options that choose the newest of these configurations under it."""
    ids = [record.key if any_version else record.configuration for record in records]
    joined = ("--any-version",) if any_version else ()
    options = [("--config", f"{name}={own}", *joined) for own in ids]
    return {record.versions.numerics: option for record, option in zip(records, options, strict=True)}


def _left_out(
    arm: Arm, records: Sequence[RunRecord], tests: Mapping[str, TestRecord], misfits: Sequence[str]
) -> LeftOut:
    """What became of each record, and each run that a seed study began, that is not in the arm."""
    # None of these is a search's, and one without a record was interrupted.
    asked = {run.run_id for run in arm.paths.checkpoints() if not run.begun.is_file()}
    kept, recorded = {run.record.run_id for run in arm.runs}, {record.run_id for record in records}
    rest = [record for record in records if record.run_id not in kept]
    tried = [r for r in rest if r.seed not in arm.search_seeds or r.run_id in tests or r.run_id in asked]
    own = digest(arm.config, {}) if arm.runs else None
    same = [record for record in tried if own is None or digest(record.config, {}) == own]
    configurations = {run.record.configuration for run in arm.runs}
    begun = filter(None, map(split_run_id, sorted(asked - recorded)))
    lost = [run.seed for run in begun if run.configuration in configurations and run.seed not in arm.seeds]
    lines = [f"seed {r.seed}: {_fate(r, tests, arm.seeds)}" for r in same]
    lines += [f"seed {s}: begun, no record: interrupted, or its process died; `seeds` goes on with it" for s in lost]
    if others := len(tried) - len(same):
        lines.append(f"{plural(others, 'run')} of other configurations")
    lines += misfits
    return LeftOut(tuple(lines), frozenset([*(record.seed for record in same), *lost]), len(rest) - len(tried))


def _fate(record: RunRecord, tests: Mapping[str, TestRecord], seeds: Sequence[int]) -> str:
    """Why a record is not in an arm with these seeds."""
    again, tested = record.seed in seeds, record.run_id in tests
    if record.status == "failed":
        fate = f"failed: {(record.error or 'no reason recorded').strip().splitlines()[-1][:160]}"
    elif record.status == "stopped":
        fate = f"stopped at step {record.steps}" + (", tested all the same" if tested else "")
    elif not tested:
        fate = "trained but not tested"
    else:
        fate = "an earlier record of the same configuration" if again else "not asked for"
    return fate + " (run again since)" * again


# In what two of them differ


def differing(a: Mapping[str, Any], b: Mapping[str, Any], names: Iterable[str], what: str = "") -> list[str]:
    """`name: value against value` for those of `names` that the two do not share."""
    ours, theirs = ({n: "null" if value is None else value for n, value in values.items()} for values in (a, b))
    others = [n for n in names if a.get(n, ...) != b.get(n, ...)]
    return [f"{what}{n}: {ours.get(n, 'absent')} against {theirs.get(n, 'absent')}" for n in others]


def scoring_differences(a: TestRecord, b: TestRecord) -> list[str]:
    """How two test records' setting, or the fingerprint of a test set that both used, differ."""
    setting = differing({"setting": a.setting}, {"setting": b.setting}, ["setting"])
    return setting + differing(a.data, b.data, sorted(a.data.keys() & b.data.keys()), "test data ")


def config_differences(a: RunConfig, b: RunConfig, *, parts: tuple[str, ...] = ()) -> list[str]:
    """Each field that decides a run's numbers and differs; `parts` keeps those of some parts of a configuration."""
    left, right = flatten(a), flatten(b)
    fields = [field for field in {**left, **right} if plain(field) not in {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS}]
    return differing(left, right, [field for field in fields if not parts or field.split(".")[0] in parts])
