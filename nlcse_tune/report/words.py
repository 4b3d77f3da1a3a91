"""The text under a table: what was tested, on how many seeds, and what that many seeds can and cannot show."""

from collections.abc import Iterator
from itertools import chain

from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.records import read_openings
from nlcse_tune.report.arms import AVERAGE, Arm, other_setting
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import ReportOptions
from nlcse_tune.report.numbers import TASK_LABELS, TEST_LABELS, p_equals, plural, seed_list, signed
from nlcse_tune.report.verdict import comparison_words


def caption(block: Block, options: ReportOptions) -> str:
    """What the scores of a table are."""
    what = f'Spearman x 100, "{block.setting}" setting, mean ± sample std over n seeds'
    if not block.comparisons or block.baseline is None:
        return what
    corrected = ", Holm-corrected" if options.correct == "holm" else ""
    return (
        f"{what}; p{corrected} ({TEST_LABELS[options.test]}) and Hedges' g of the average against {block.baseline.name}"
    )


def block_words(block: Block, report: Report) -> list[str]:
    """Every sentence that belongs under a block's tables, the results first."""
    results = chain.from_iterable(comparison_words(c, report.options, report.family) for c in block.comparisons)
    return [*results, *_family(report, block), *_data(block), *_arms(block), *_limits(block, report.options)]


def _family(report: Report, block: Block) -> Iterator[str]:
    """Several tests at once: what was or was not corrected."""
    alpha, tests = report.options.alpha, report.family
    if tests < 2 or not block.comparisons:
        return
    if report.options.correct == "holm":
        yield (
            f"p is Holm-corrected over all {tests} tests of this report: the chance of even one false finding among "
            "them "
            f"stays at {alpha:.0%} or below, as far as the test's own assumptions hold."
        )
    else:
        yield (
            f"Verdicts use p uncorrected. This report holds {tests} tests; the chance of at least one false finding "
            "among "
            f"them may be as high as {min(1.0, tests * alpha):.0%}. A single test that was named beforehand (one "
            "method's "
            "average) needs no correction; for anything else read p (Holm), or use --correct holm."
        )


def _data(block: Block) -> Iterator[str]:
    tasks = ", ".join(TASK_LABELS[task] for task in block.tasks)
    yield f'Test sets: {tasks}; "{block.setting}" setting; each run is tested at its best STS-B dev step.'
    if len(block.tasks) < len(STS_TASKS):
        yield (
            f"The average is over {plural(len(block.tasks), 'task')}; the published tables' is over "
            f"{len(STS_TASKS)}, so "
            "the two are not comparable."
        )
    yield from _versions(block)


def _versions(block: Block) -> Iterator[str]:
    """Devices, packages and commits in which the runs differ."""
    found: dict[str, dict[str, set[str]]] = {}
    for arm in block.tested:
        for run in arm.runs:
            v = run.record.versions
            facts = {"device": v.device, "commit": v.commit or "unknown", "numerics": v.numerics, "python": v.python}
            for name, value in {**facts, **v.packages, "workers": str(run.record.workers)}.items():
                found.setdefault(name, {}).setdefault(value, set()).add(arm.name)
    for name, values in found.items():
        if len(values) > 1:
            described = "; ".join(f"{value} ({', '.join(sorted(arms))})" for value, arms in sorted(values.items()))
            split = all(len(arms) == 1 for arms in values.values()) and len(block.tested) > 1
            yield f"Runs differ in {name}: {described}." + (
                " It goes with the method and may be part of a gap." if split else ""
            )


def _arms(block: Block) -> Iterator[str]:
    wanted: set[int] = set().union(*(arm.recorded for arm in block.arms))
    for arm in block.arms:
        if arm.runs:
            configuration = arm.runs[0].record.configuration
            yield (
                f"{arm.name}: {plural(len(arm.runs), 'seed')} ({seed_list(arm.seeds)}), configuration {configuration}. "
                f"{_openings(arm)}"
            )
        else:
            yield f"{arm.name}: no tested run on record; `nlcse-tune seeds {arm.name}` makes some."
        yield from _missing(arm, block, wanted)
        yield from _published(arm, block)
    sizes = {arm.name: len(arm.runs) for arm in block.tested}
    if len(set(sizes.values())) > 1:
        yield f"Unequal n: {', '.join(f'{name} {n}' for name, n in sizes.items())}."


def _missing(arm: Arm, block: Block, wanted: set[int]) -> Iterator[str]:
    if arm.left_out:
        yield f"{arm.name}, on record but not in the table: {'; '.join(arm.left_out)}."
    if absent := sorted(wanted - arm.recorded):
        yield (
            f"{arm.name} has no record of {'seed' if len(absent) == 1 else 'seeds'} {seed_list(absent)}, which "
            "another row has."
        )
    planned = set(arm.study.seeds)
    if arm.recorded & planned and (unrun := sorted(planned - arm.recorded - wanted)):
        yield f"{arm.name} plans seeds {seed_list(arm.study.seeds)}; not run: {seed_list(unrun)}."
    for run in arm.runs:
        for task in block.tasks:
            if task not in run.test.scores:
                why = run.test.missing.get(task, "not asked for")
                yield (
                    f"{arm.name}, seed {run.seed}: no score on {TASK_LABELS[task]} ({why}); the seed is in no mean "
                    "of that "
                    "task, nor of the average."
                )
    if overlap := sorted(arm.search_seeds & set(arm.seeds)):
        yield (
            f"WARNING: {arm.name} has {'seed' if len(overlap) == 1 else 'seeds'} {seed_list(overlap)} in its table, "
            "which a search chooses with. Where "
            "this configuration was chosen by one, that score is biased upward: report fresh seeds only."
        )


def _openings(arm: Arm) -> str:
    log = read_openings(arm.paths)
    if not log:
        first = min(run.test.opened for run in arm.runs)
        return f"Its test scores date from {first} on; no log of openings was kept."
    first, again = f"Test sets first opened {log[0].time} by `{log[0].command}`", len(log) - 1
    return f"{first}, not since." if not again else f"{first}, {plural(again, 'time')} since, last {log[-1].time}."


def _published(arm: Arm, block: Block) -> Iterator[str]:
    """Our seeds against what a paper reports, where both averages are over the same seven tasks."""
    published = arm.study.published
    ours = list(arm.scores(AVERAGE, block.tasks).values())
    if published is None or len(block.tasks) != len(STS_TASKS) or len(ours) < 2:
        return
    if other := other_setting(arm):
        yield (
            f"{arm.name}: the published numbers ({published.source}) are of another setting, so nothing here compares "
            f"with them. Here {'; '.join(other)}."
        )
        return
    mine = stats.summarise(ours)
    if published.seeds and mine.std:
        theirs = stats.Summary(published.seeds.mean, published.seeds.std, published.seeds.n)
        p = stats.welch_t(mine, theirs).p
        verdict = "they differ at the 5% level" if p <= 0.05 else "no difference shown"
        yield (
            f"{arm.name} as published ({published.source}): {theirs.mean:.2f} ± {theirs.std:.2f}, n = {theirs.n}; "
            "ours minus "
            f"published {signed(mine.mean - theirs.mean)}, Welch {p_equals(p)}: {verdict}."
        )
    if (score := published.scores.get("avg")) is not None and mine.std:
        half = (stats.mean_interval(mine).high - mine.mean) * (mine.n + 1) ** 0.5  # from the mean's to one more seed's
        place = "inside" if abs(score - mine.mean) <= half else "outside"
        yield (
            f"{arm.name} as published, single score ({published.source}): {score:.2f}, {place} the 95% range for one "
            "more "
            f"seed of ours, {mine.mean - half:.2f} to {mine.mean + half:.2f}."
        )


def _limits(block: Block, options: ReportOptions) -> Iterator[str]:
    if any(len(arm.runs) == 1 for arm in block.tested):
        yield "A row with n = 1 has no std: one seed cannot tell a better method from a luckier seed."
    if block.comparisons:
        yield (
            "Seeds vary initialisation, dropout and the order of text and side data. They say nothing about other "
            "training "
            "data, hardware or hyper-parameters. t-tests and t intervals assume normal scores, which few seeds cannot "
            "check."
        )
    if block.comparisons and not options.pair_resamples:
        yield (
            "Every p and interval here takes the test sets as given: it is about these sentence pairs, not about "
            "others of "
            "their kind. --pairs 1000 adds the pairs' own error, which can be the larger one."
        )
