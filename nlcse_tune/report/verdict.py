"""Sentences about one method against its baseline: the result, its resolution, its floor, its fairness."""

from collections.abc import Callable, Iterator

from nlcse_tune import stats
from nlcse_tune.errors import DataError
from nlcse_tune.records import Choice
from nlcse_tune.report.arms import AVERAGE, Arm, config_differences
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.numbers import TEST_LABELS, column_label, p_equals, p_value, plural, seed_list, signed
from nlcse_tune.report.stopping import stopping_words

POWER = 0.8  # the usual convention; the sentences say 80%


def comparison_words(comparison: Comparison, options: ReportOptions, family: int) -> Iterator[str]:
    """All sentences about a comparison, the result first."""
    pair = f"{comparison.method.name} against {comparison.baseline.name}"
    gap = comparison.gaps.get(AVERAGE)
    if gap is None:
        yield f"{pair}: no seed has the average on both sides, so there is nothing to compare."
    elif gap.result is None:
        yield f"{pair}: {signed(gap.gap)} on the average, not tested: {gap.why}."
    else:
        yield _result(pair, comparison, gap, options, family)
        yield from stopping_words(comparison.method, comparison.baseline)
        yield from _assumption(gap, options)
        yield from _resolution(gap, options, family)
        yield from _floor(gap, options, family)
        yield from _pairing(gap)
        yield from _other_intervals(gap, options)
    for column, other in comparison.gaps.items():
        if other.result is None and column != AVERAGE:
            yield f"{pair}: no test on {column_label(column, 7)}: {other.why}."
    if options.paired and (alone := sorted(set(comparison.method.seeds) ^ set(comparison.baseline.seeds))):
        yield f"{pair}: the paired test uses shared seeds only and leaves out {seed_list(alone)}."
    yield from _fairness(comparison.method, comparison.baseline)


def _result(pair: str, comparison: Comparison, gap: Gap, options: ReportOptions, family: int) -> str:
    result, interval, p = gap.result, gap.interval, gap.p(options.correct)
    assert result is not None  # the caller has checked
    assert p is not None
    kind = "paired t" if options.paired else "pooled t" if options.test == "student" else "Welch t"
    alone = (
        f" after Holm over {plural(family, 'test')} ({p_equals(result.p)} alone)" if options.correct == "holm" else ""
    )
    around = (
        f"95% {kind} interval {signed(interval.low)} to {signed(interval.high)}"
        if interval
        else "no t interval: the scores do not vary from seed to seed"
    )
    head = (
        f"{pair}: {signed(gap.gap)} on the average ({around}); two-sided {p_equals(p)}{alone} by "
        f"{TEST_LABELS[options.test]}, {_n(gap, options)}."
    )
    if p <= options.alpha:
        direction = "above" if gap.gap > 0 else "below"
        return (
            f"{head} At the {options.alpha:.0%} level {comparison.method.name} is {direction} its baseline: the choice "
            "of seeds alone rarely gives such a gap."
        )
    holds_zero = interval is not None and interval.low <= 0 <= interval.high
    zero = "; every gap in the interval, 0 among them, remains possible" if holds_zero else ""
    return (
        f"{head} At the {options.alpha:.0%} level this shows no difference, nor does it show that there is none{zero}."
    )


def _assumption(gap: Gap, options: ReportOptions) -> Iterator[str]:
    """Where the chosen test leans on equal spreads, how much that costs. Measured: benchmarks/statistics.py."""
    if options.test in ("student", "permutation") and gap.method.std is not None and gap.baseline.std is not None:
        rate = {"student": "6.0%", "permutation": "6.2%"}[options.test]
        yield (
            f"This test takes both sides' true spreads to be equal (seen here: {gap.method.std:.2f} and "
            f"{gap.baseline.std:.2f}). Where they are not it rejects a little too often: {rate} in place of 5% in "
            "simulations with n = 5 and stds of 0.38 and 0.90; Welch's test 4.9%."
        )


def _n(gap: Gap, options: ReportOptions) -> str:
    a, b = gap.method.n, gap.baseline.n
    if options.paired:
        return plural(a, "shared seed")
    return f"{plural(a, 'seed')} a side" if a == b else f"{a} and {b} seeds"


def _resolution(gap: Gap, options: ReportOptions, family: int) -> Iterator[str]:
    """Which gap so many seeds can find, and how many the observed one would take."""
    holm = options.correct == "holm"
    alpha = options.alpha / family if holm else options.alpha
    level = f"{options.alpha:g} / {family} (Holm's strictest step)" if holm else f"{options.alpha:g}"
    a, b, d = gap.method, gap.baseline, gap.std_difference
    if options.paired and d:
        test, each = "a paired t-test", "shared seeds"
        found = stats.detectable_paired(a.n, d, power=POWER, alpha=alpha)
        needed = _count(lambda: stats.seeds_paired(gap.gap, d, power=POWER, alpha=alpha))
    elif a.std is not None and b.std is not None and a.std + b.std > 0:
        sa, sb = a.std, b.std
        test, each = "Welch's t-test", "seeds a side"
        found = stats.detectable_unpaired(a.n, sa, sb, power=POWER, alpha=alpha, n_baseline=b.n)
        needed = _count(lambda: stats.seeds_unpaired(gap.gap, sa, sb, power=POWER, alpha=alpha))
    else:
        return
    yield (
        f"What {_n(gap, options)} can find: were the stds seen here the true ones, {test} at level {level} would "
        "find a "
        f"true gap of {found:.2f} points in 80% of such studies and would often miss smaller ones; a true gap as large "
        f"as the one seen ({abs(gap.gap):.2f}) would take {needed} {each}. {_rough_stds(min(a.n, b.n))}"
    )


def _rough_stds(n: int) -> str:
    found = stats.std_interval(stats.Summary(0.0, 1.0, n))
    return (
        f"Stds of {plural(n, 'seed')} are rough themselves: with normal scores the true one lies between "
        f"{found.low:.2f} "
        f"and {found.high:.2f} times the sample's (95%)."
    )


def _count(seeds: Callable[[], int]) -> str:
    try:
        return f"{seeds():,}"
    except DataError:
        return f"more than {stats.MAX_SEEDS:,}"


def _floor(gap: Gap, options: ReportOptions, family: int) -> Iterator[str]:
    """The sign-flip test's p beside the chosen one, and what rearrangement tests cannot reach with these seeds."""
    flip, result = gap.signflip, gap.result
    if flip is not None:
        n, alpha = flip.n_method, options.alpha
        reach = stats.sign_flip_seeds(alpha)
        corrected = f", {stats.sign_flip_seeds(alpha, family)} with Holm over {family} tests" if family > 1 else ""
        how = "exact sign-flip test" if flip.exact else "sign-flip test (random flips)"
        yield (
            f"Without assuming normal scores: the {how} over {plural(n, 'shared seed')} gives {p_equals(flip.p)}. "
            + (
                f"With {plural(n, 'seed')} it cannot give less than {p_value(flip.floor)}, and so never p < {alpha:g}, "
                f"whatever the gap: that takes {reach} shared seeds{corrected}."
                if n < reach
                else f"At this n it can go down to {p_value(flip.floor).replace('< ', 'below ')}; p < {alpha:g} takes "
                f"{reach} shared seeds{corrected}."
            )
        )
    if options.test in ("permutation", "wilcoxon") and result is not None:
        never = (
            "" if result.floor <= options.alpha else f", so with these seeds it can never give p < {options.alpha:g}"
        )
        label = TEST_LABELS[options.test]
        floor = p_value(result.floor).replace("< ", "below ")
        yield f"{label[0].upper()}{label[1:]} can at this n go down to {floor}{never}."


def _pairing(gap: Gap) -> Iterator[str]:
    if gap.correlation is not None and gap.signflip is not None:
        yield (
            f"Over {plural(gap.signflip.n_method, 'shared seed')} the two sides' averages correlate at "
            f"{gap.correlation:+.2f}, a rough estimate. A paired test is sharper than an unpaired one only where the "
            "true "
            "correlation is clearly positive; choose between them before looking at p."
        )


def _other_intervals(gap: Gap, options: ReportOptions) -> Iterator[str]:
    if gap.bootstrap:
        n = min(gap.method.n, gap.baseline.n)
        known = max((k for k in stats.BOOTSTRAP_COVERAGE if k <= n), default=min(stats.BOOTSTRAP_COVERAGE))
        yield (
            f"Percentile bootstrap over seeds, nominally 95%: {signed(gap.bootstrap.low)} to "
            f"{signed(gap.bootstrap.high)}; at "
            f"n = {known} such an interval held the true gap in "
            f"{stats.BOOTSTRAP_COVERAGE[known][options.paired]:.0%} of "
            "simulated normal studies: prefer the t interval."
        )
    if gap.two_level:
        two = gap.two_level
        pairs = f"one of {two.se_pairs:.2f}" if two.se_pairs >= 0.005 else "none that can be told from the runs' own"
        yield (
            "The test sets' own error (sentence pairs resampled, the same for both sides): beside a standard error of "
            f"{two.se_seeds:.2f} from seeds the gap has {pairs} from pairs; 95% interval with both "
            f"{signed(two.low)} to {signed(two.high)} (plain percentile bootstrap over both: "
            f"{signed(two.bootstrap_low)} to {signed(two.bootstrap_high)}). The p above takes the test sets as given."
        )
    elif options.pair_resamples:
        yield "The test sets' own error is not computed: not every run has its per-pair similarities on disk."


def _fairness(method: Arm, baseline: Arm) -> Iterator[str]:
    """Whether settings and search effort were the same on both sides."""
    assert method.config is not None  # only arms with runs are compared
    assert baseline.config is not None
    names = f"{baseline.name} and {method.name}"
    if found := config_differences(baseline.config, method.config, parts=("encoder", "text", "train")):
        yield (
            f"{names} do not share their text settings ({baseline.name} against {method.name}): {'; '.join(found)}. "
            "The "
            "gap holds the effect of these too."
        )
    else:
        yield f"{names} share every encoder, text and training setting; only the side differs."
    yield from (words for arm in (baseline, method) if (words := _search_choice(arm)))
    a, b = baseline.search_runs, method.search_runs
    if a != b:
        yield (
            f"Search runs on record: {baseline.name} {a}, {method.name} {b}. The tuning was not equal, so part of "
            "the gap "
            "may come from it; more seeds cannot tell."
        )
    elif a:
        yield f"Search runs on record: {a} on each side."
    else:
        yield f"No search runs of {names} are on record here: their settings come from the studies or from elsewhere."


def _search_choice(arm: Arm) -> str:
    """Whether the arm's configuration is what its own search chose; empty where no search left a choice."""
    choice = Choice.read(arm.paths.search)
    if choice is None or arm.config is None:
        return ""
    if config_differences(arm.config, choice.config):
        return f"{arm.name} does not use the configuration that its last search chose."
    return (
        f"{arm.name} uses the configuration that its own search chose on STS-B dev ({choice.searched} runs, "
        f"seed {choice.seed})."
    )
