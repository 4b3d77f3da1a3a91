"""Every sentence of a report, of `compare` and of `plan`, a function each: numbers and names in, English out.

Which of them applies is decided elsewhere (`remarks`, `published`, `plan`).
"""

from collections.abc import Iterable, Sequence

from nlcse_tune.names import Correction, TestName
from nlcse_tune.report.numbers import (
    TEST_LABELS,
    named_seeds,
    p_equals,
    p_value,
    plural,
    seed_list,
    signed,
    signed_range,
)
from nlcse_tune.stats import Decision, StoppingRule


def not_tested(pair: str, gap: float | None, why: str) -> str:
    return f"{pair}: {'' if gap is None else f'{signed(gap)} on the average, '}not tested: {why}."


def result(pair: str, gap: float, interval: str, p: str, test: TestName, seeds: str) -> str:
    return f"{pair}: {signed(gap)} on the average ({interval}); two-sided {p} by {TEST_LABELS[test]}, {seeds}."


def t_interval(kind: str, bounds: tuple[float, float] | None) -> str:
    varies = f"95% {kind} t interval {signed_range(*bounds)}" if bounds else ""
    return varies or "no t interval: the scores do not vary from seed to seed"


def p_after_holm(p_holm: float, p: float, tests: int) -> str:
    return f"{p_equals(p_holm)} after Holm over {plural(tests, 'test')} ({p_equals(p)} alone)"


def shown(method: str, alpha: float, gap: float) -> str:
    place = f"{'above' if gap > 0 else 'below'} its baseline"
    return f"At the {alpha:.0%} level {method} is {place}: the choice of seeds alone rarely gives such a gap."


def not_shown(method: str, alpha: float, *, zero_in_interval: bool) -> str:
    zero = "; every gap in the interval, 0 among them, remains possible" if zero_in_interval else ""
    return f"At the {alpha:.0%} level {method} shows no difference, nor does this show that there is none{zero}."


def resolution(test: str, level: str, seeds: str, detectable: float, gap: float, needed: str) -> str:
    return (
        f"Were these stds the true ones, {test} at level {level} over {seeds} would find a true gap of "
        f"{detectable:.2f} in 80% of studies and often miss smaller ones; a gap as large as that seen ({abs(gap):.2f}) "
        f"takes {needed}."
    )


def score_words(setting: str, tasks: Iterable[str]) -> str:
    """`the "all" average of sts12, ..., sickr`: what a stopping rule's file says it is about."""
    return f'the "{setting}" average of {", ".join(tasks)}'


def look_words(decision: Decision) -> str:
    """`n = 5: p = 0.0010 against a bound of 0.00360`."""
    bound = f"a bound of {decision.bound:.5f}" if decision.bound >= 5e-6 else "a bound that hardly any gap meets"
    return f"n = {decision.n}: {p_equals(decision.p)} against {bound}"


def stopping(rule: StoppingRule, scored: str, taken: Sequence[Decision]) -> str:
    looks = f"looks at {', '.join(map(str, rule.looks))} seeds and {scored}"
    outcome = "no decision yet"
    if taken and taken[-1].stop:
        outcome = "the rule found a difference" if taken[-1].significant else "the rule ended without one"
    return (
        f"Seeds were added in rounds under a rule fixed beforehand ({TEST_LABELS[rule.test]}, "
        f"{rule.spending} spending, {looks}, error rate {rule.alpha:g} over all looks): "
        f"{'; '.join(map(look_words, taken)) or 'none taken yet'}; {outcome}."
    )


STOPPING_IS_VALID = (
    "This is the valid verdict on the average: the p and 95% interval before it take n as fixed and are too optimistic "
    "after such looks."
)


def with_n_fixed(level: str) -> str:
    return f"With n taken as fixed instead: {level[0].lower()}{level[1:]}"


def apart_from_rule(seeds: Sequence[int]) -> str:
    return f"{named_seeds(seeds).capitalize()}, tested apart from the rule, are no part of its looks."


def rough_stds(n: int, low: float, high: float) -> str:
    share = f"{low:.2f} to {high:.2f} times the sample's"
    return f"Stds of {plural(n, 'seed')} are rough themselves: with normal scores the true one is {share} (95%)."


def equal_spreads(test: TestName, stds: str, rate: float) -> str:
    return (
        f"This test ({test}) takes both arms' true spreads to be equal (seen here: {stds}) and rejects a little too "
        f"often where they are not: {rate:.1%} in place of 5% in simulations with n = 5 and stds of 0.38 and 0.90; "
        "Welch's test 4.9%."
    )


def sign_flip(n: int, p: float, *, exact: bool) -> str:
    how = "exact sign-flip test" if exact else "sign-flip test (random flips)"
    return f"Without assuming normal scores: the {how} over {plural(n, 'shared seed')} gives {p_equals(p)}."


def sign_flip_reach(n: int, floor: float, alpha: float, reach: int, with_holm: str) -> str:
    head, seeds = f"With {plural(n, 'shared seed')} a sign-flip test", f"takes {reach} shared seeds{with_holm}"
    if n < reach:
        return f"{head} cannot give less than {p_value(floor)}, so never p < {alpha:g}, whatever the gap: that {seeds}."
    return f"{head} can go down to {p_value(floor).replace('< ', 'below ')}; p < {alpha:g} {seeds}."


def floor(test: TestName, least: float, alpha: float) -> str:
    never = "" if least <= alpha else f", so with these seeds it can never give p < {alpha:g}"
    return f"The {test} test can at this n go down to {p_value(least).replace('< ', 'below ')}{never}."


def correlated(n: int, correlation: float) -> str:
    return f"Over {plural(n, 'shared seed')} both arms' averages correlate at {correlation:+.2f}, a rough estimate."


PAIR_OR_NOT = (
    "A paired test is sharper than an unpaired one only where the true correlation is clearly positive; choose between "
    "them before looking at p."
)


def bootstrap(low: float, high: float, n: int, coverage: float) -> str:
    held = f"at n = {n} such an interval held the true gap in {coverage:.0%} of simulated normal studies"
    return f"Percentile bootstrap over seeds, nominally 95%: {signed_range(low, high)}; {held}: prefer the t interval."


def pairs_error(se_seeds: float, se_pairs: float, interval: str, bootstrap: str) -> str:
    pairs = f"one of {se_pairs:.2f}" if se_pairs >= 0.005 else "none that can be told from the runs' own"
    return (
        "The test sets' own error (sentence pairs resampled, the same for both arms): beside a standard error of "
        f"{se_seeds:.2f} from seeds the gap has {pairs} from pairs; 95% interval with both {interval} (percentile "
        f"bootstrap: {bootstrap}), where p takes the test sets as given."
    )


NO_PAIRS_ERROR = "The test sets' own error is not computed: not every run has its per-pair similarities on disk."


def untested_columns(pair: str, columns: Sequence[str], why: str) -> str:
    return f"{pair}: no test on {', '.join(columns)}: {why}."


def seeds_not_shared(pair: str, seeds: Sequence[int]) -> str:
    return f"{pair}: the paired test uses shared seeds only and leaves out {seed_list(seeds)}."


def corrected(tests: int, alpha: float) -> str:
    rate = f"the chance of even one false finding among them stays at {alpha:.0%} or below"
    return f"p is Holm-corrected over all {tests} tests here: {rate}, as far as the test's own assumptions hold."


def uncorrected(tests: int, alpha: float) -> str:
    return (
        f"Verdicts use p uncorrected, of {tests} tests in this report; the chance of at least one false finding among "
        f"them may be as high as {min(1.0, tests * alpha):.0%}. A single test that was named beforehand (one method's "
        "average) needs no correction; for anything else read p (Holm), or use --correct holm."
    )


ONE_SEED = "A row with n = 1 has no std: one seed cannot tell a better method from a luckier seed."
SCOPE_OF_SEEDS = (
    "Seeds vary initialisation, dropout and the order of text and side data. They say nothing about other training "
    "data, hardware or hyper-parameters. t-tests and t intervals assume normal scores, which few seeds cannot check."
)
SCOPE_OF_PAIRS = (
    "Every p and interval here takes the test sets as given: it is about these sentence pairs, not about others of "
    "their kind. --pairs 1000 adds the pairs' own error, which can be the larger one."
)


def other_settings(method: str, baseline: str, differences: str) -> str:
    apart = f"{baseline} and {method} do not share their text settings ({baseline} against {method})"
    return f"{apart}, so the gap holds the effect of these too: {differences}."


def same_settings(method: str, baseline: str) -> str:
    return f"{baseline} and {method} share every encoder, text and training setting; only the side differs."


def searched(arm: str, points: int, seed: int) -> str:
    return f"{arm} uses the configuration that its own search chose on STS-B dev ({points} runs, seed {seed})."


def not_its_search(arm: str) -> str:
    return f"{arm} does not use the configuration that its last search chose."


def search_runs(method: str, baseline: str, runs: int, runs_baseline: int) -> str:
    if runs != runs_baseline:
        unequal = f"the tuning was not equal, so part of {method}'s gap may come from it; more seeds cannot tell"
        return f"Search runs on record: {baseline} {runs_baseline}, {method} {runs}; {unequal}."
    origin = "their settings come from the studies or from elsewhere"
    if not runs:
        return f"No search runs of {baseline} and {method} are on record here: {origin}."
    return f"Search runs on record: {runs} for each of {baseline} and {method}."


def caption(setting: str, test: TestName, correct: Correction, baseline: str | None) -> str:
    """What the scores of a table are."""
    p = f"p{', Holm-corrected' if correct == 'holm' else ''} ({TEST_LABELS[test]})"
    against = f"; {p} and Hedges' g of the average against {baseline}" if baseline else ""
    return f'Spearman x 100, "{setting}" setting, mean ± sample std over n seeds{against}'


def test_sets(tasks: Iterable[str], setting: str) -> str:
    return f'Test sets: {", ".join(tasks)}; "{setting}" setting; each run is tested at its best STS-B dev step.'


def fewer_tasks(tasks: int, published: int) -> str:
    average = f"The average is over {plural(tasks, 'task')}, the published tables' over {published}"
    return f"{average}, so the two are not comparable."


def runs_differ(what: str, values: str, *, with_method: bool) -> str:
    part = ", which goes with the method and may be part of a gap" if with_method else ""
    return f"Runs differ in {what}{part}: {values}."


def tested(arm: str, seeds: Sequence[int], configuration: str, opened: str) -> str:
    return f"{arm}: {plural(len(seeds), 'seed')} ({seed_list(seeds)}), configuration {configuration}; {opened}."


def opened(first: str, command: str, again: int, last: str) -> str:
    since = f"{plural(again, 'time')} since, last {last}" if again else "not since"
    return f"test sets first opened {first} by `{command}`, {since}"


def no_log(first: str) -> str:
    return f"test scores date from {first} on, and no log of openings was kept"


def no_run(arm: str) -> str:
    return f"{arm}: no tested run on record; `nlcse-tune seeds {arm}` makes some."


def not_in_table(arm: str, records: str) -> str:
    return f"{arm}, on record but not in the table: {records}."


def seeds_absent(arm: str, seeds: Sequence[int]) -> str:
    return f"{arm} has no record of {named_seeds(seeds)}, which another row has."


def seeds_not_run(arm: str, planned: Sequence[int], missing: Sequence[int]) -> str:
    return f"{arm} plans seeds {seed_list(planned)}; not run: {seed_list(missing)}."


def no_score(arm: str, seeds: Sequence[int], task: str, why: str) -> str:
    return f"{arm}, {named_seeds(seeds)}: no score on {task} ({why}), and so in no mean of that task or of the average."


def search_seeds(arm: str, seeds: Sequence[int]) -> str:
    bias = "where this configuration was chosen by one, that score is biased upward, so report fresh seeds only"
    return f"{arm} has {named_seeds(seeds)} in its table, which a search chooses with: {bias}."


def unequal_n(sizes: str) -> str:
    return f"Unequal n: {sizes}."


def other_setting(arm: str, source: str, differences: str) -> str:
    apart = f"{arm}: the published numbers ({source}) are of another setting"
    return f"{apart}, so nothing here compares with them: {differences}."


def published_seeds(arm: str, source: str, theirs: str, gap: float, p: float) -> str:
    verdict = "they differ at the 5% level" if p <= 0.05 else "no difference shown"
    ours = f"ours minus published {signed(gap)}, Welch {p_equals(p)}: {verdict}"
    return f"{arm} as published ({source}): {theirs}; {ours}."


def published_score(arm: str, source: str, score: float, low: float, high: float) -> str:
    place = f"{'inside' if low <= score <= high else 'outside'} the 95% range for one more seed of ours"
    return f"{arm} as published, single score ({source}): {score:.2f}, {place}, {low:.2f} to {high:.2f}."


def notes_hidden(notes: int) -> str:
    return f"{plural(notes, 'note')} on tests, data and limits: `nlcse-tune report --notes`, or report.md."
