"""Which sentences a report needs: the verdict, what a reader must know with it, and notes for who reads on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import chain

import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS, StsTask
from nlcse_tune.records import KeptRule, RunRecord
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.differences import config_differences
from nlcse_tune.report.numbers import AVERAGE, TASK_LABELS, mean_std, signed_range
from nlcse_tune.report.verdict import level, pair, resolution, rule_of, verdict

MOST_WARNINGS = 6


@dataclass(frozen=True)
class Remarks:
    """What is said of a block: a verdict of at most three sentences for each comparison, warnings, notes."""

    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


class Rank(IntEnum):
    """What a reader must know, the gravest first. A NOTE can be read later."""

    SEARCH_SEED = 1
    NO_ARM = 2
    CANNOT_REJECT = 3
    NO_SCORE = 4
    WITH_METHOD = 5
    TUNING = 6
    SETTINGS = 7
    OTHER_SETTING = 8
    MANY_TESTS = 9
    N = 10
    LEFT_OUT = 11
    NOTE = 99


Line = tuple[Rank, str]


def remarks(report: Report) -> list[Remarks]:
    """The remarks of each block. What one block said the next does not say again; warnings beyond six are notes."""
    made: list[Remarks] = []
    said: set[str] = set()
    for block in report.blocks:
        rules = [rule_of(comparison) for comparison in block.comparisons]
        verdicts = tuple(" ".join(verdict(c, kept, report)) for c, kept in zip(block.comparisons, rules, strict=True))
        lines = {text: rank for rank, text in _lines(block, rules, report) if text not in said}
        said |= lines.keys()
        warnings = sorted((text for text in lines if lines[text] < Rank.NOTE), key=lambda text: lines[text])
        warnings = warnings[:MOST_WARNINGS]
        made.append(Remarks(verdicts, tuple(warnings), tuple(text for text in lines if text not in warnings)))
    return made


def _lines(block: Block, rules: Sequence[KeptRule | None], report: Report) -> Iterator[Line]:
    for comparison, kept in zip(block.comparisons, rules, strict=True):
        gap = comparison.gaps.get(AVERAGE)
        if gap is not None and gap.result is not None:
            several = f"{comparison.method.name}: " if len(block.comparisons) > 1 else ""
            own = _beside_the_rule(comparison, gap, kept, report) if kept else iter(())
            for rank, text in chain(own, _own_numbers(gap, report.options)):
                yield rank, several + text
            yield from _reach(gap, report)
        yield from _untested(comparison, report.options)
        yield from _fairness(comparison.method, comparison.baseline)
    yield from _family(report)
    yield from _data(block)
    for arm in block.arms:
        yield from _arm(arm, block)
    yield from _limits(block, report.options)


def _beside_the_rule(comparison: Comparison, gap: Gap, kept: KeptRule, report: Report) -> Iterator[Line]:
    """What a verdict at a fixed n would say, which a stopping rule replaces."""
    yield Rank.NOTE, words.with_n_fixed(level(comparison.method.name, gap, report.options))
    yield from ((Rank.NOTE, text) for text in resolution(gap, report))
    if apart := sorted(set(comparison.method.seeds) - set(kept.seeds)):
        yield Rank.NOTE, words.apart_from_rule(apart)


def _own_numbers(gap: Gap, options: ReportOptions) -> Iterator[Line]:
    """What further tests and intervals say of this gap."""
    rate = {"student": 0.060, "permutation": 0.062}.get(options.test)  # measured: benchmarks/statistics.py
    if rate and gap.method.std is not None and gap.baseline.std is not None:
        seen = f"{gap.method.std:.2f} and {gap.baseline.std:.2f}"
        yield Rank.NOTE, words.equal_spreads(options.test, seen, rate)
    if flip := gap.signflip:
        yield Rank.NOTE, words.sign_flip(flip.n_method, flip.p, exact=flip.exact)
        if gap.correlation is not None:
            yield Rank.NOTE, words.correlated(flip.n_method, gap.correlation)
    if gap.bootstrap:
        n = min(gap.method.n, gap.baseline.n)
        known = max((k for k in stats.BOOTSTRAP_COVERAGE if k <= n), default=min(stats.BOOTSTRAP_COVERAGE))
        coverage = stats.BOOTSTRAP_COVERAGE[known][options.paired]
        yield Rank.NOTE, words.bootstrap(gap.bootstrap.low, gap.bootstrap.high, known, coverage)
    if two := gap.two_level:
        spans = signed_range(two.low, two.high), signed_range(two.bootstrap_low, two.bootstrap_high)
        yield Rank.NOTE, words.pairs_error(two.se_seeds, two.se_pairs, *spans)
    elif options.pair_resamples:
        yield Rank.LEFT_OUT, words.NO_PAIRS_ERROR


def _reach(gap: Gap, report: Report) -> Iterator[Line]:
    """What this many seeds cannot show, whatever their scores; the same for every comparison of as many."""
    options, n, result = report.options, min(gap.method.n, gap.baseline.n), gap.result
    if gap.std_difference if options.paired else gap.method.std and gap.baseline.std:
        rough = stats.std_interval(stats.Summary(0.0, 1.0, n))
        yield Rank.NOTE, words.rough_stds(n, rough.low, rough.high)
    if flip := gap.signflip:
        tests, reach = report.family, stats.sign_flip_seeds(options.alpha)
        holm = f", {stats.sign_flip_seeds(options.alpha, tests)} with Holm over {tests} tests" if tests > 1 else ""
        never = options.test == "signflip" and flip.n_method < reach
        text = words.sign_flip_reach(flip.n_method, flip.floor, options.alpha, reach, holm)
        yield Rank.CANNOT_REJECT if never else Rank.NOTE, text
    if options.test in ("permutation", "wilcoxon") and result is not None:
        rank = Rank.CANNOT_REJECT if result.floor > options.alpha else Rank.NOTE
        yield rank, words.floor(options.test, result.floor, options.alpha)
    if gap.correlation is not None:
        yield Rank.NOTE, words.PAIR_OR_NOT


def _untested(comparison: Comparison, options: ReportOptions) -> Iterator[Line]:
    """Columns without a test by the reason, and seeds that a paired test leaves out."""
    by_reason: dict[str, list[str]] = {}
    for column, gap in comparison.gaps.items():
        if gap.result is None and column != AVERAGE:
            by_reason.setdefault(gap.why, []).append(TASK_LABELS[column])
    for why, columns in by_reason.items():
        yield Rank.NOTE, words.untested_columns(pair(comparison), columns, why)
    if options.paired and (alone := sorted(set(comparison.method.seeds) ^ set(comparison.baseline.seeds))):
        yield Rank.N, words.seeds_not_shared(pair(comparison), alone)


def _fairness(method: Arm, baseline: Arm) -> Iterator[Line]:
    """Whether settings and search effort were the same in both arms."""
    assert method.config is not None  # only arms with runs are compared
    assert baseline.config is not None
    if differences := config_differences(baseline.config, method.config, parts=("encoder", "text", "train")):
        yield Rank.SETTINGS, words.other_settings(method.name, baseline.name, "; ".join(differences))
    else:
        yield Rank.NOTE, words.same_settings(method.name, baseline.name)
    for arm in (baseline, method):
        if arm.choice is None or arm.config is None:
            continue
        if config_differences(arm.config, arm.choice.config):
            yield Rank.SETTINGS, words.not_its_search(arm.name)
        else:
            yield Rank.NOTE, words.searched(arm.name, arm.choice.searched, arm.choice.seed)
    runs, runs_baseline = method.left_out.search_runs, baseline.left_out.search_runs
    rank = Rank.NOTE if runs == runs_baseline else Rank.TUNING
    yield rank, words.search_runs(method.name, baseline.name, runs, runs_baseline)


def _family(report: Report) -> Iterator[Line]:
    """Several tests at once: what was or was not corrected. One comparison has one test named beforehand."""
    options, tests = report.options, report.family
    if tests < 2:
        return
    if options.correct == "holm":
        yield Rank.NOTE, words.corrected(tests, options.alpha)
    else:
        rank = Rank.MANY_TESTS if len(report.comparisons) > 1 else Rank.NOTE
        yield rank, words.uncorrected(tests, options.alpha)


def _data(block: Block) -> Iterator[Line]:
    """Test sets, and the devices, packages and commits in which runs differ."""
    yield Rank.NOTE, words.test_sets((TASK_LABELS[task] for task in block.tasks), block.setting)
    if len(block.tasks) < len(STS_TASKS):
        yield Rank.OTHER_SETTING, words.fewer_tasks(len(block.tasks), len(STS_TASKS))
    arms_by_value: dict[str, dict[str, set[str]]] = {}
    for arm in block.tested:
        for run in arm.runs:
            for name, value in _circumstances(run.record).items():
                arms_by_value.setdefault(name, {}).setdefault(value, set()).add(arm.name)
    for name, values in arms_by_value.items():
        if len(values) > 1:
            split = len(block.tested) > 1 and all(len(arms) == 1 for arms in values.values())
            described = "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(values.items()))
            rank = Rank.WITH_METHOD if split else Rank.NOTE
            yield rank, words.runs_differ(name, described, with_method=split)
    sizes = {arm.name: len(arm.runs) for arm in block.tested}
    if len(set(sizes.values())) > 1:
        yield Rank.N, words.unequal_n(", ".join(f"{name} {n}" for name, n in sizes.items()))


def _circumstances(record: RunRecord) -> dict[str, str]:
    v = record.versions
    facts = {"device": v.device, "commit": v.commit or "unknown", "numerics": v.numerics, "python": v.python}
    return {**facts, **v.packages, "workers": str(record.workers)}


def _arm(arm: Arm, block: Block) -> Iterator[Line]:
    """What was tested of one row, and what is missing from it."""
    if arm.runs:
        configuration = arm.runs[0].record.configuration
        yield Rank.NOTE, words.tested(arm.name, arm.seeds, configuration, _opened(arm))
    else:
        yield Rank.NO_ARM, words.no_run(arm.name)
    if overlap := sorted(arm.search_seeds & set(arm.seeds)):
        yield Rank.SEARCH_SEED, words.search_seeds(arm.name, overlap)
    if arm.left_out.lines:
        yield Rank.LEFT_OUT, words.not_in_table(arm.name, "; ".join(arm.left_out.lines))
    wanted: set[int] = set().union(*(other.recorded for other in block.arms))
    if absent := sorted(wanted - arm.recorded):
        yield Rank.LEFT_OUT, words.seeds_absent(arm.name, absent)
    planned = set(arm.study.seeds)
    if arm.recorded & planned and (unrun := sorted(planned - wanted)):
        yield Rank.NOTE, words.seeds_not_run(arm.name, arm.study.seeds, unrun)
    seeds_without: dict[tuple[StsTask, str], list[int]] = {}
    for run in arm.runs:
        for task in block.tasks:
            if task not in run.test.scores:
                why = run.test.missing.get(task, "not asked for")
                seeds_without.setdefault((task, why), []).append(run.seed)
    for (task, why), seeds in seeds_without.items():
        yield Rank.NO_SCORE, words.no_score(arm.name, seeds, TASK_LABELS[task], why)
    yield from _published(arm, block)


def _opened(arm: Arm) -> str:
    if not (log := arm.openings):
        return words.no_log(min(run.test.opened for run in arm.runs))
    return words.opened(log[0].time, log[0].command, len(log) - 1, log[-1].time)


def _published(arm: Arm, block: Block) -> Iterator[Line]:
    """Our seeds against what a paper reports, where both averages are over the same seven tasks."""
    published, ours = arm.study.published, list(arm.scores(AVERAGE, block.tasks).values())
    if published is None or len(block.tasks) != len(STS_TASKS) or len(ours) < 2:
        return
    if other := arm.unpublished():
        yield Rank.OTHER_SETTING, words.other_setting(arm.name, published.source, "; ".join(other))
        return
    mine = stats.summarise(ours)
    if not mine.std:
        return
    if s := published.seeds:
        theirs = stats.Summary(s.mean, s.std, s.n)
        p, gap = stats.welch_t(mine, theirs).p, mine.mean - theirs.mean
        told = f"{mean_std(theirs)}, n = {theirs.n}"
        rank = Rank.OTHER_SETTING if p <= 0.05 else Rank.NOTE
        yield rank, words.published_seeds(arm.name, published.source, told, gap, p)
    if (score := published.scores.get("avg")) is not None:
        half = (stats.mean_interval(mine).high - mine.mean) * (mine.n + 1) ** 0.5  # from the mean's to one more seed's
        low, high = mine.mean - half, mine.mean + half
        yield Rank.NOTE, words.published_score(arm.name, published.source, score, low, high)


def _limits(block: Block, options: ReportOptions) -> Iterator[Line]:
    if any(len(arm.runs) == 1 for arm in block.tested):
        yield Rank.N, words.ONE_SEED
    if block.comparisons:
        yield Rank.NOTE, words.SCOPE_OF_SEEDS
        if not options.pair_resamples:
            yield Rank.NOTE, words.SCOPE_OF_PAIRS
