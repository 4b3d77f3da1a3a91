"""From study names to a Report: blocks of one baseline and its methods, compared."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from nlcse_tune.paths import StudyPaths
from nlcse_tune.report.arms import Arm, ScoredArm, SeveralConfigurations, collect, task_order
from nlcse_tune.report.comparison import Comparison, ReportOptions, check_comparable, compare
from nlcse_tune.report.numbers import WIDEST
from nlcse_tune.study import Study, find_study


@dataclass(frozen=True)
class Block:
    """One table: a baseline (if the studies have one) and the methods that are compared with it."""

    baseline: ScoredArm | None
    methods: tuple[ScoredArm, ...]
    tasks: tuple[str, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def arms(self) -> tuple[ScoredArm, ...]:
        """Every row of the table, the baseline first."""
        return (self.baseline, *self.methods) if self.baseline else self.methods

    @property
    def tested(self) -> tuple[ScoredArm, ...]:
        return tuple(arm for arm in self.arms if arm.by_seed)

    @property
    def recorded(self) -> tuple[Arm, ...]:
        """The rows of which this tool has records; those of a block whose scores were given are none."""
        return tuple(arm for arm in self.arms if isinstance(arm, Arm))

    @property
    def setting(self) -> str | None:
        """How sub-sets of a task were joined: the same for all runs of the block, which `build` checked."""
        return next((arm.runs[0].test.setting for arm in self.recorded if arm.runs), None)

    @property
    def shown(self) -> tuple[str, ...]:
        """The tasks that have a column in the table and a panel in the figure: none where they are too many."""
        return self.tasks if len(self.tasks) <= WIDEST else ()


@dataclass(frozen=True)
class Report:
    """All blocks, what they were computed with, and the folder that it is written to."""

    blocks: tuple[Block, ...]
    options: ReportOptions
    folder: Path

    @property
    def comparisons(self) -> list[Comparison]:
        return [comparison for block in self.blocks for comparison in block.comparisons]

    @property
    def declared(self) -> int:
        """The number of declared tests in it."""
        return sum(c.declared_tests for c in self.comparisons)

    @property
    def corrected(self) -> list[Comparison]:
        """The comparisons that Holm's correction takes as one family: a stopping rule's verdict keeps its own level."""
        return [c for c in self.comparisons if not c.kept] if self.options.correct == "holm" else []

    def family(self, comparison: Comparison) -> int:
        """The number of tests that a comparison's p are corrected over."""
        joined = self.options.correct == "holm" and not comparison.kept
        family = self.corrected if joined else [comparison]
        return sum(c.declared_tests for c in family)


def build(studies: Sequence[Study | str], root: Path, options: ReportOptions | None = None) -> Report:
    """The report over `studies` and their baselines; DataError where nothing is tested or arms do not compare."""
    options = options or ReportOptions()
    chosen = {study.name: study for study in (find_study(s) if isinstance(s, str) else s for s in studies)}
    baselines = list(dict.fromkeys(study.baseline for study in chosen.values() if study.baseline))
    if unknown := options.choose.keys() - chosen.keys() - set(baselines):
        raise DataError(f"--config {min(unknown)}: not a study of this report ({', '.join(chosen)})")

    @cache
    def arm(name: str) -> Arm:
        study, choose = chosen.get(name) or find_study(name), options.choose.get(name, "")
        return collect(study, root, choose=choose, any_version=options.any_version, seeds=options.seeds)

    check_chosen(arm, [*baselines, *chosen])
    rows = [(arm(name), [arm(study.name) for study in chosen.values() if study.baseline == name]) for name in baselines]
    alone = [(None, [arm(name)]) for name, study in chosen.items() if not study.baseline and name not in baselines]
    blocks = [block for arms in (*rows, *alone) if (block := _block(*arms, options)).tested]
    if not blocks:
        raise DataError(
            f"no test scores of {', '.join(chosen) or 'any study'} under {root}: run `nlcse-tune seeds` first, or name "
            "the folder with --out"
        )
    return adjusted(Report(tuple(blocks), options, StudyPaths(root, blocks[0].methods[0].name).report))


def adjusted(report: Report) -> Report:
    """The report with Holm's correction in each family of its declared tests."""
    families = [report.corrected] if report.options.correct == "holm" else [[c] for c in report.comparisons]
    for family in families:
        _correct(family)
    return report


def _correct(family: Sequence[Comparison]) -> None:
    """Holm's correction over the declared tests of these comparisons, of difference and of equivalence each."""
    declared = [(c.gaps, column) for c in family for column in c.declared.columns if column in c.gaps]
    for (gaps, column), p in zip(declared, _holm([gaps[column].p for gaps, column in declared]), strict=True):
        gaps[column] = replace(gaps[column], holm=p)
    equal = _holm([gaps[column].p_equivalence for gaps, column in declared])
    for (gaps, column), p in zip(declared, equal, strict=True):
        gaps[column] = replace(gaps[column], holm_equivalence=p)


def _holm(p_values: Sequence[float | None]) -> list[float | None]:
    """`stats.holm` over those that are known, in their places."""
    known = iter(stats.holm([p for p in p_values if p is not None]) if any(p is not None for p in p_values) else [])
    return [None if p is None else next(known) for p in p_values]


def check_chosen(arm: Callable[[str], Arm], names: Iterable[str]) -> None:
    """One DataError for all arms whose runs cannot be averaged, with options that leave arms to compare."""
    several: list[SeveralConfigurations] = []
    known: list[set[str]] = []
    for name in names:
        try:
            numerics = {run.record.versions.numerics for run in arm(name).runs}
        except SeveralConfigurations as error:
            several.append(error)
            numerics = {*error.choices}
        known += [numerics] if numerics else []
    if several:
        shared = set.intersection(*known)
        picked = [[o for n, o in e.choices.items() if n in shared or not shared][-1] for e in several]
        options = [" ".join(option[:2]) for option in picked]
        joined = ["--any-version"] if not shared or any(option[2:] for option in picked) else []
        lines = [line for error in several for line in error.lines]
        raise DataError("\n".join([*lines, f"choose: {' '.join([*options, *joined])}"]))


def _block(baseline: Arm | None, methods: Sequence[Arm], options: ReportOptions) -> Block:
    tested = [arm for arm in ([baseline] if baseline else []) + list(methods) if arm.runs]
    tasks = task_order(tested)
    for other in tested[1:]:
        check_comparable(other, tested[0], any_version=options.any_version)
    comparisons = tuple(
        compare(method, baseline, tasks, options) for method in methods if baseline and baseline.runs and method.runs
    )
    return Block(baseline, tuple(methods), tasks, comparisons)
