"""Which sentences a report needs: the verdict, what a reader must know with it, and notes for who reads on."""

from collections.abc import Iterator
from dataclasses import dataclass

import nlcse_tune.report.numbers as numbers
import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.records import constant_side_loss
from nlcse_tune.report.arms import Arm, config_differences
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Comparison, Gap
from nlcse_tune.report.given import given
from nlcse_tune.report.numbers import AVERAGE, TASK_LABELS
from nlcse_tune.report.rank import Line, Rank
from nlcse_tune.report.tried import by_rule, declared, multiplicity
from nlcse_tune.report.verdict import headline, resolution, verdict

MOST_WARNINGS = 6


@dataclass(frozen=True)
class Remarks:
    """What is said of a block: a verdict of at most three sentences for each comparison, warnings, notes."""

    verdict: tuple[str, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def remarks(report: Report) -> list[Remarks]:
    """The remarks of each block. What one block said the next does not say again; warnings beyond six are notes."""
    made: list[Remarks] = []
    said: set[str] = set()
    for block in report.blocks:
        verdicts = tuple(" ".join(verdict(comparison, report)) for comparison in block.comparisons)
        lines = {text: rank for rank, text in _lines(block, report) if text not in said}
        said |= lines.keys()
        grave = sorted((text for text in lines if lines[text] < Rank.NOTE), key=lines.__getitem__)[:MOST_WARNINGS]
        made.append(Remarks(verdicts, tuple(grave), tuple(text for text in lines if text not in grave)))
    return made


def next_command(report: Report, study: str | None = None) -> list[str]:
    """What to run after a report of one comparison, less `nlcse-tune`; empty where nothing is obvious.

    `study` is how its method was named, where that is not the study's own name.
    """
    if len(report.comparisons) != 1:
        return []
    (comparison,) = report.comparisons
    gap, name, kept = headline(comparison), study or comparison.method.name, comparison.kept
    if gap is None or not isinstance(comparison.method, Arm):
        return []
    last = kept.taken[-1] if kept and kept.taken else None
    if kept and not (last and last.stop):
        return ["seeds", name, "--until-decided"]
    outcome = gap.outcome(comparison.declared.level)
    if (last.significant if last else outcome == "different") and gap.gap > 0:
        return _export(comparison.method)
    return ["plan", name] if outcome == "undecided" and not kept and gap.method.std and gap.baseline.std else []


def _export(method: Arm) -> list[str]:
    """The export of the run with the best dev score, of those whose model is still there."""
    runs = [run.record for run in method.runs if method.paths.run(run.record.run_id).best.exists()]
    best = max(runs, key=lambda record: record.best_dev or 0.0, default=None)
    return ["export", best.run_id, "--to", f"exports/{method.name}"] if best else []


def _lines(block: Block, report: Report) -> Iterator[Line]:
    for comparison in block.comparisons:
        yield from _comparison(comparison, report, several=len(block.comparisons) > 1)
    options = report.options
    compared = sum(1 for arm in block.recorded for _, text in _published(arm, block) if "Welch" in text)
    yield from multiplicity(block, report, published=compared)
    yield from _data(block)
    sizes = {arm.name: len(arm.seeds) for arm in block.tested}
    if len(set(sizes.values())) > 1:
        yield Rank.N, words.UNEQUAL_N.format(sizes=", ".join(f"{name} {n}" for name, n in sizes.items()))
    for arm in block.recorded:
        yield from _arm(arm, block)
    yield from given(block)
    if any(len(arm.seeds) == 1 for arm in block.tested):
        yield Rank.N, words.ONE_SEED
    if block.comparisons and block.recorded:
        yield Rank.NOTE, words.SCOPE_OF_SEEDS
        if not options.pair_resamples:
            yield Rank.NOTE, words.SCOPE_OF_PAIRS


def _comparison(comparison: Comparison, report: Report, *, several: bool) -> Iterator[Line]:
    """What there is to say of one comparison; of `several` each number says whose it is."""
    method, gap = comparison.method, comparison.gaps.get(AVERAGE)
    yield from declared(comparison)
    if gap is not None and gap.result is not None:
        for rank, text in _own_numbers(comparison, gap, report):
            yield rank, f"{method.name}: {text}" if several else text
        yield from _reach(comparison, gap, report)
    columns = [
        (gap.why, TASK_LABELS.get(c, c)) for c, gap in comparison.gaps.items() if not gap.result and c != AVERAGE
    ]
    for why in dict.fromkeys(why for why, _ in columns):
        names = ", ".join(label for reason, label in columns if reason == why)
        yield Rank.NOTE, words.UNTESTED_COLUMNS.format(pair=comparison.pair, columns=names, why=why)
    if comparison.paired and (alone := set(method.seeds) ^ set(comparison.baseline.seeds)):
        yield Rank.N, words.SEEDS_NOT_SHARED.format(pair=comparison.pair, seeds=numbers.seed_list(alone))
    if isinstance(method, Arm) and isinstance(comparison.baseline, Arm):
        yield from _fairness(method, comparison.baseline)


def _own_numbers(comparison: Comparison, gap: Gap, report: Report) -> Iterator[Line]:
    """What a verdict at a fixed n would say where a stopping rule replaces it, and what further tests say."""
    yield from by_rule(comparison, gap)
    said = " ".join(verdict(comparison, report))
    yield from ((Rank.NOTE, text) for text in resolution(comparison, report) if text not in said)
    if rate := {"student": 0.060, "permutation": 0.062}.get(comparison.test):  # measured: benchmarks/statistics.py
        yield Rank.NOTE, words.EQUAL_SPREADS.format(test=comparison.test, rate=rate, gap=gap)
    if gap.bootstrap_t:
        names = {"method": f"{comparison.method.name}'s averages", "baseline": f"{comparison.baseline.name}'s averages"}
        names["differences"] = "the differences of the averages"
        yield Rank.SKEWED, words.skewed(gap.skewed, names, gap.bootstrap_t.p)
    if flip := gap.signflip:
        seeds = numbers.plural(flip.n_method, "shared seed")
        test = "exact sign-flip test" if flip.exact else "sign-flip test (random flips)"
        yield Rank.NOTE, words.SIGN_FLIP.format(test=test, seeds=seeds, p=numbers.p_equals(flip.p))
        if gap.correlation is not None:
            yield Rank.NOTE, words.CORRELATED.format(seeds=seeds, correlation=gap.correlation)
    if gap.bootstrap:
        n = min(gap.method.n, gap.baseline.n)
        known = max(k for k in stats.BOOTSTRAP_COVERAGE if k <= n)
        nearest = "" if known == n else f" (of n = {n} it is not known)"
        coverage = stats.BOOTSTRAP_COVERAGE[known][comparison.paired]
        interval = numbers.signed_range(gap.bootstrap.low, gap.bootstrap.high)
        yield Rank.NOTE, words.BOOTSTRAP.format(interval=interval, n=known, coverage=coverage, nearest=nearest)
    if gap.two_level:
        yield Rank.NOTE, words.pairs_error(gap.two_level)
    elif report.options.pair_resamples:
        yield Rank.LEFT_OUT, words.NO_PAIRS_ERROR


def _reach(comparison: Comparison, gap: Gap, report: Report) -> Iterator[Line]:
    """What this many seeds cannot show, whatever their scores; the same for every comparison of as many."""
    test, level, n, result = comparison.test, comparison.declared.level, min(gap.method.n, gap.baseline.n), gap.result
    if gap.std_difference if comparison.paired else gap.method.std and gap.baseline.std:
        rough = stats.std_interval(stats.Summary(0.0, 1.0, n))
        yield Rank.NOTE, words.ROUGH_STDS.format(n=n, rough=rough)
    if flip := gap.signflip:
        tests, reach = report.family(comparison), stats.sign_flip_seeds(level)
        holm = f", {stats.sign_flip_seeds(level, tests)} with Holm over {tests} tests" if tests > 1 else ""
        never = test == "signflip" and flip.n_method < reach
        text = words.sign_flip_reach(flip.n_method, flip.floor, level, reach, holm)
        yield Rank.CANNOT_REJECT if never else Rank.NOTE, text
    if test in ("permutation", "wilcoxon") and result is not None:
        rank = Rank.CANNOT_REJECT if result.floor > level else Rank.NOTE
        yield rank, words.floor(test, result.floor, level)
    if gap.correlation is not None:
        yield Rank.NOTE, words.PAIR_OR_NOT


def _fairness(method: Arm, baseline: Arm) -> Iterator[Line]:
    """Whether settings and search effort were the same in both arms."""
    differences = config_differences(baseline.config, method.config, parts=("encoder", "text", "train"))
    rank, template = (Rank.SETTINGS, words.OTHER_SETTINGS) if differences else (Rank.NOTE, words.SAME_SETTINGS)
    names = {"method": method.name, "baseline": baseline.name}
    yield rank, template.format(**names, differences="; ".join(differences))
    for arm in (baseline, method):
        if arm.choice:
            other = config_differences(arm.config, arm.choice.config)
            rank, template = (Rank.SETTINGS, words.NOT_ITS_SEARCH) if other else (Rank.NOTE, words.SEARCHED)
            yield rank, template.format(arm=arm, runs=numbers.plural(arm.choice.searched, "run"))
    runs, runs_baseline = method.left_out.search_runs, baseline.left_out.search_runs
    if runs != runs_baseline:
        yield Rank.TUNING, words.UNEQUAL_SEARCHES.format(**names, runs=runs, runs_baseline=runs_baseline)
    else:
        yield Rank.NOTE, (words.EQUAL_SEARCHES if runs else words.NO_SEARCHES).format(**names, runs=runs)


def _data(block: Block) -> Iterator[Line]:
    """Test sets, and the devices, packages and commits in which recorded runs differ."""
    if not block.recorded:
        return
    labels = ", ".join(TASK_LABELS[task] for task in block.tasks)
    yield Rank.NOTE, words.TEST_SETS.format(tasks=labels, setting=block.setting)
    if len(block.tasks) < len(STS_TASKS):
        tasks = numbers.plural(len(block.tasks), "task")
        yield Rank.OTHER_SETTING, words.FEWER_TASKS.format(tasks=tasks, published=len(STS_TASKS))
    arms_by_value: dict[str, dict[str, set[str]]] = {}
    for arm in block.recorded:
        for run in arm.runs:
            v = run.record.versions
            facts = {"device": v.device, "commit": v.commit or "unknown", "numerics": v.numerics, "python": v.python}
            for name, value in {**facts, **v.packages, "workers": str(run.record.workers)}.items():
                arms_by_value.setdefault(name, {}).setdefault(value, set()).add(arm.name)
    for name, values in arms_by_value.items():
        if len(values) > 1:
            split = len(block.tested) > 1 and all(len(arms) == 1 for arms in values.values())
            described = "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(values.items()))
            rank, part = (Rank.WITH_METHOD, words.WITH_THE_METHOD) if split else (Rank.NOTE, "")
            yield rank, words.RUNS_DIFFER.format(what=name, part=part, values=described)


def _arm(arm: Arm, block: Block) -> Iterator[Line]:
    """What was tested of one row, and what is missing from it."""
    if arm.runs:
        opened, log = words.NO_LOG.format(first=min(run.test.opened for run in arm.runs)), arm.openings
        if log:
            again = f"{numbers.plural(len(log) - 1, 'time')} since, last {log[-1].time}"
            opened = words.OPENED.format(first=log[0], since=again if log[1:] else "not since")
        n, configuration = numbers.plural(len(arm.runs), "seed"), arm.runs[0].record.configuration
        told = {"n": n, "seeds": numbers.seed_list(arm.seeds), "configuration": configuration, "opened": opened}
        yield Rank.NOTE, words.TESTED.format(arm=arm, **told)
    else:
        yield Rank.NO_ARM, words.NO_RUN.format(arm=arm)
    if overlap := arm.search_seeds & set(arm.seeds):
        yield Rank.SEARCH_SEED, words.SEARCH_SEEDS.format(arm=arm, seeds=numbers.named_seeds(overlap))
    if vain := [run.record for run in arm.runs if not run.record.gained]:
        where = f" at seed {vain[0].seed}" if vain[1:] else ""
        told = {"seeds": numbers.named_seeds([record.seed for record in vain]), "where": where}
        yield Rank.NO_GAIN, words.NO_GAIN.format(arm=arm, record=vain[0], **told)
    if idle := [run.seed for run in arm.runs if constant_side_loss(run.record.dev_curve)]:
        yield Rank.IDLE_SIDE, words.IDLE_SIDE.format(arm=arm, seeds=numbers.named_seeds(idle))
    if arm.left_out.lines:
        yield Rank.LEFT_OUT, words.NOT_IN_TABLE.format(arm=arm, records="; ".join(arm.left_out.lines))
    wanted: set[int] = set().union(*(other.recorded for other in block.recorded))
    if absent := wanted - arm.recorded:
        yield Rank.LEFT_OUT, words.SEEDS_ABSENT.format(arm=arm, seeds=numbers.named_seeds(absent))
    planned = set(arm.study.seeds)
    if arm.recorded & planned and (unrun := planned - wanted):
        missing = numbers.seed_list(unrun)
        yield Rank.NOTE, words.SEEDS_NOT_RUN.format(arm=arm, planned=numbers.seed_list(planned), missing=missing)
    seeds_without: dict[tuple[str, str], list[int]] = {}
    for run in arm.runs:
        scored, reasons = run.scores, {str(task): why for task, why in run.test.missing.items()}
        for task in (task for task in block.tasks if task not in scored):
            seeds_without.setdefault((task, reasons.get(task, "not asked for")), []).append(run.seed)
    for (task, why), seeds in seeds_without.items():
        told = {"seeds": numbers.named_seeds(seeds), "task": TASK_LABELS[task], "why": why}
        yield Rank.NO_SCORE, words.NO_SCORE.format(arm=arm, **told)
    yield from _published(arm, block)


def _published(arm: Arm, block: Block) -> Iterator[Line]:
    """Our seeds against what a paper reports, where both averages are over the same seven tasks."""
    published, ours = arm.study.published, list(arm.scores(AVERAGE, block.tasks).values())
    if published is None or len(block.tasks) != len(STS_TASKS) or len(ours) < 2:
        return
    what = {"arm": arm, "published": published}
    if other := arm.unpublished():
        yield Rank.OTHER_SETTING, words.OTHER_SETTING.format(**what, differences="; ".join(other))
        return
    mine = stats.summarise(ours)
    if not mine.std:
        return
    if theirs := published.seeds:
        p = stats.welch_t(mine, stats.Summary(theirs.mean, theirs.std, theirs.n)).p
        said = "a difference at the 5% level, exploratory" if p <= 0.05 else "no difference shown"
        told = {"theirs": theirs, "gap": numbers.signed(mine.mean - theirs.mean), "p": numbers.p_equals(p)}
        yield Rank.OTHER_SETTING if p <= 0.05 else Rank.NOTE, words.PUBLISHED_SEEDS.format(**what, **told, verdict=said)
    if (score := published.scores.get("avg")) is not None:
        half = (stats.mean_interval(mine).high - mine.mean) * (mine.n + 1) ** 0.5  # from the mean's to one more seed's
        low, high = mine.mean - half, mine.mean + half
        place = "inside" if low <= score <= high else "outside"
        yield Rank.NOTE, words.PUBLISHED_SCORE.format(**what, score=score, place=place, low=low, high=high)
