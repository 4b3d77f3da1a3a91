"""Reports over scores that were given: runs that this tool did not train, and of which it has no record."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

import nlcse_tune.report.words as words
from nlcse_tune.errors import DataError, nearest
from nlcse_tune.report.arms import Arm, ScoredArm
from nlcse_tune.report.build import Block, Report, adjusted
from nlcse_tune.report.comparison import ReportOptions, compare_scores
from nlcse_tune.report.declared import Declared
from nlcse_tune.report.numbers import AVERAGE, named_seeds, plural, seed_list
from nlcse_tune.report.rank import Line, Rank
from nlcse_tune.study import Confirm

NAMED = 5  # tasks without a score that are told by name


def build_given(
    arms: Sequence[ScoredArm],
    folder: Path,
    options: ReportOptions | None = None,
    *,
    baseline: str | None = None,
    margin: float | None = None,
) -> Report:
    """The report that compares each arm with `baseline` (None: the first), to be written to `folder`.

    Its test is Welch's unless another is asked for: nobody here knows whether a seed means the same in two arms.
    """
    options, known, usual = options or ReportOptions(), {arm.name: arm for arm in arms}, Confirm()
    if baseline is not None and baseline not in known:
        raise DataError(f"--baseline {baseline}: no such method{nearest(baseline, known)}; known: {', '.join(known)}")
    first = known.pop(baseline or arms[0].name)
    tasks = tuple(dict.fromkeys(task for arm in arms for own in arm.by_seed.values() for task in own))
    declared = Declared(options.test or "welch", (AVERAGE,), usual.level, margin or usual.margin)
    comparisons = tuple(
        compare_scores(arm, first, tasks, declared, options, np.random.default_rng(options.seed))
        for arm in known.values()
    )
    block = Block(first if known else None, (*known.values(),) or (first,), tasks, comparisons)
    return adjusted(Report((block,), options, folder))


def given(block: Block) -> Iterator[Line]:
    """What there is to say of arms whose scores were given."""
    arms = [arm for arm in block.arms if not isinstance(arm, Arm)]
    if not arms:
        return
    yield Rank.NOTE, words.GIVEN_SCOPE
    if not block.shown:
        yield Rank.NOTE, words.GIVEN_WIDE.format(tasks=plural(len(block.tasks), "task"))
    wanted = {seed for arm in arms for seed in arm.seeds}
    for arm in arms:
        yield from _of_one(arm, block, wanted)


def _of_one(arm: ScoredArm, block: Block, wanted: set[int]) -> Iterator[Line]:
    """What is missing from one arm, and whether its scores look like shares."""
    told = {"name": arm.name, "n": plural(len(arm.seeds), "seed"), "seeds": seed_list(arm.seeds)}
    yield Rank.NOTE, words.GIVEN.format(**told)
    scores = [score for own in arm.by_seed.values() for score in own.values()]
    if scores and max(map(abs, scores)) <= 1 and block.comparisons:
        margin = block.comparisons[0].declared.margin
        yield Rank.NO_SCORE, words.GIVEN_SHARES.format(**told, least=min(scores), most=max(scores), margin=margin)
    if absent := wanted - {*arm.seeds}:
        yield Rank.LEFT_OUT, words.GIVEN_ABSENT.format(name=arm.name, seeds=named_seeds(absent))
    seeds_without: dict[tuple[str, ...], list[int]] = {}
    for seed, own in arm.by_seed.items():
        if missing := tuple(task for task in block.tasks if task not in own):
            seeds_without.setdefault(missing, []).append(seed)
    for missing, seeds in seeds_without.items():
        more = f" and {plural(len(missing) - NAMED, 'other task')}" if len(missing) > NAMED else ""
        tasks = ", ".join(missing[:NAMED]) + more
        yield Rank.NO_SCORE, words.GIVEN_MISSING.format(name=arm.name, seeds=named_seeds(seeds), tasks=tasks)
