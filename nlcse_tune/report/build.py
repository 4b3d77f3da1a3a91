"""From study names to a Report: blocks of one baseline and its methods, compared and put into words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlcse_tune.config import StsTask
from nlcse_tune.errors import DataError
from nlcse_tune.report.arms import Arm, collect, task_order
from nlcse_tune.report.comparison import Comparison, ReportOptions, check_comparable, compare, with_holm
from nlcse_tune.study import Study, find_study


@dataclass(frozen=True)
class Block:
    """One table: a baseline (if the studies have one) and the methods that are compared with it."""

    baseline: Arm | None
    methods: tuple[Arm, ...]
    tasks: tuple[StsTask, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def arms(self) -> tuple[Arm, ...]:
        """Every row of the table, the baseline first."""
        return (self.baseline, *self.methods) if self.baseline else self.methods

    @property
    def tested(self) -> tuple[Arm, ...]:
        return tuple(arm for arm in self.arms if arm.runs)

    @property
    def setting(self) -> str:
        """How sub-sets of a task were joined: the same for all runs of the block, which `build` checked."""
        return self.tested[0].runs[0].test.setting


@dataclass(frozen=True)
class Report:
    """All blocks, and the number of tests in them: the family of a correction."""

    blocks: tuple[Block, ...]
    options: ReportOptions
    family: int

    @property
    def arms(self) -> list[Arm]:
        """Each study once."""
        return list({arm.name: arm for block in self.blocks for arm in block.arms}.values())


def build(studies: Sequence[Study | str], root: Path, options: ReportOptions | None = None) -> Report:
    """The report over `studies` from the records under `root`; a baseline comes along with its methods.

    DataError where no study has a tested run, or where records cannot be averaged or compared, naming why.
    """
    options = options or ReportOptions()
    chosen = {study.name: study for study in (find_study(s) if isinstance(s, str) else s for s in studies)}
    if unknown := options.choose.keys() - chosen.keys() - {study.baseline for study in chosen.values()}:
        raise DataError(f"--config {min(unknown)}: not a study of this report ({', '.join(chosen)})")
    arms: dict[str, Arm] = {}

    def arm(name: str) -> Arm:
        if name not in arms:
            study = chosen.get(name) or find_study(name)
            arms[name] = collect(
                study,
                root,
                choose=options.choose.get(name),
                any_version=options.any_version,
                seeds=options.seeds,
            )
        return arms[name]

    baselines = {study.baseline for study in chosen.values() if study.baseline}
    grouped: dict[str | None, list[Arm]] = {}
    for study in chosen.values():
        if study.baseline:
            grouped.setdefault(study.baseline, []).append(arm(study.name))
    drafts = [_block(arm(name) if name else None, methods, options) for name, methods in grouped.items()]
    drafts += [
        _block(None, [arm(s.name)], options) for s in chosen.values() if not s.baseline and s.name not in baselines
    ]
    drafts = [block for block in drafts if block.tested]
    if not drafts:
        raise DataError(
            f"no test scores of {', '.join(chosen) or 'any study'} under {root}: run `nlcse-tune seeds` first, or name "
            "the folder with --out"
        )
    return _corrected(drafts, options)


def _block(baseline: Arm | None, methods: Sequence[Arm], options: ReportOptions) -> Block:
    arms = ([baseline] if baseline else []) + list(methods)
    with_runs = [arm for arm in arms if arm.runs]
    tasks = task_order(with_runs)
    for other in with_runs[1:]:
        check_comparable(other, with_runs[0], any_version=options.any_version)
    comparisons = tuple(
        compare(method, baseline, tasks, options) for method in methods if baseline and baseline.runs and method.runs
    )
    return Block(baseline, tuple(methods), tasks, comparisons)


def _corrected(blocks: Sequence[Block], options: ReportOptions) -> Report:
    adjusted = iter(with_holm([c for block in blocks for c in block.comparisons]))
    corrected = tuple(
        Block(b.baseline, b.methods, b.tasks, tuple(next(adjusted) for _ in b.comparisons)) for b in blocks
    )
    family = sum(1 for b in corrected for c in b.comparisons for gap in c.gaps.values() if gap.result)
    return Report(corrected, options, family)
