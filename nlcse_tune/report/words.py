"""Every sentence of a report but the verdict's: a template, or a function where a sentence has a condition within.

Which of them applies is decided in `remarks` and `tried`; the verdict's are in `verdict_words`. `arm`, `gap`, `method`
and the like are the objects themselves; numbers that need a sign, or the care of a p-value, come as words of `numbers`.
"""

from collections.abc import Mapping

from nlcse_tune.names import TestName
from nlcse_tune.report.numbers import p_equals, p_value, plural, signed_range
from nlcse_tune.stats import TwoLevel

# Further tests, intervals, and what so many seeds can show
ROUGH_STDS = (
    "Stds of {n} seeds are rough themselves: with normal scores the true one is {rough.low:.2f} to {rough.high:.2f} "
    "times the sample's (95%)."
)
EQUAL_SPREADS = (
    "This test ({test}) takes both arms' true spreads to be equal (seen here: {gap.method.std:.2f} and "
    "{gap.baseline.std:.2f}) and rejects a little too often where they are not: {rate:.1%} in place of 5% in "
    "simulations with n = 5 and stds of 0.38 and 0.90; Welch's test 4.9%."
)
SIGN_FLIP = "Without assuming normal scores: the {test} over {seeds} gives {p}."
CORRELATED = "Over {seeds} both arms' averages correlate at {correlation:+.2f}, a rough estimate."
PAIR_OR_NOT = (
    "A paired test is sharper than an unpaired one only where the true correlation is clearly positive; choose between "
    "them before looking at p."
)
SKEWED = (
    "{whose}, more than normal scores have in 95% of samples, and t-tests then reject too often (Welch's 18% in place "
    "of 5% where one arm is lognormal and the other narrow, n = 5; the bootstrap-t 11%): the bootstrap-t gives {p}."
)
BOOTSTRAP = (
    "Percentile bootstrap over seeds, nominally 95%: {interval}; at n = {n} such an interval held the true gap in "
    "{coverage:.0%} of simulated normal studies{nearest}: prefer the t interval."
)
NO_PAIRS_ERROR = "The test sets' own error is not computed: not every run has its per-pair similarities on disk."
UNTESTED_COLUMNS = "{pair}: no test on {columns}: {why}."
SEEDS_NOT_SHARED = "{pair}: the paired test uses shared seeds only and leaves out {seeds}."
CORRECTED = (
    "p is Holm-corrected over the {tests} declared tests: the chance of even one false difference among them stays "
    "at {level} or below, and likewise, apart from it, that of one false equivalence, as far as the test's own "
    "assumptions hold."
)
UNCORRECTED = (
    "Each verdict stands for itself: of the {tests} declared tests in this report the chance of at least one false "
    "finding may be as high as {chance}; --correct holm takes them as one family."
)
RULES_UNCORRECTED = (
    "Holm's correction leaves out {names}: a stopping rule's verdict keeps its own level and is not part of it, so "
    "that over all verdicts here the chance of at least one false difference may be as high as {chance}."
)
BESIDES = "Looked at beside {tests}, outside every correction: {what}; a small p among them is no finding."
ONE_SEED = "A row with n = 1 has no std: one seed cannot tell a better method from a luckier seed."
SCOPE_OF_SEEDS = (
    "Seeds vary initialisation, dropout and the order of text and side data. They say nothing about other training "
    "data, hardware or hyper-parameters. t-tests and t intervals assume normal scores, which few seeds cannot check."
)
SCOPE_OF_PAIRS = (
    "Every p and interval here takes the test sets as given: it is about these sentence pairs, not about others of "
    "their kind. --pairs 1000 adds the pairs' own error, which can be the larger one."
)

# Whether the arms were treated alike
OTHER_SETTINGS = (
    "{baseline} and {method} do not share their text settings ({baseline} against {method}), so the gap holds the "
    "effect of these too: {differences}."
)
SAME_SETTINGS = "{baseline} and {method} share every encoder, text and training setting; only the side differs."
SEARCHED = "{arm.name} uses the configuration that its own search chose on STS-B dev ({runs}, seed {arm.choice.seed})."
NOT_ITS_SEARCH = "{arm.name} does not use the configuration that its last search chose."
UNEQUAL_SEARCHES = (
    "Search runs on record: {baseline} {runs_baseline}, {method} {runs}; the tuning was not equal, so part of "
    "{method}'s gap may come from it; more seeds cannot tell."
)
NO_SEARCHES = (
    "No search runs of {baseline} and {method} are on record here: their settings come from the studies or from "
    "elsewhere."
)
EQUAL_SEARCHES = "Search runs on record: {runs} for each of {baseline} and {method}."

# Test sets and runs
TEST_SETS = 'Test sets: {tasks}; "{setting}" setting; each run is tested at its best STS-B dev step.'
FEWER_TASKS = "The average is over {tasks}, the published tables' over {published}, so the two are not comparable."
RUNS_DIFFER = "Runs differ in {what}{part}: {values}."
WITH_THE_METHOD = ", which goes with the method and may be part of a gap"
TESTED = "{arm.name}: {n} ({seeds}), configuration {configuration}; {opened}."
OPENED = "test sets first opened {first.time} by `{first.command}`, {since}"
NO_LOG = "test scores date from {first} on, and no log of openings was kept"
NO_RUN = "{arm.name}: no tested run on record; `nlcse-tune seeds {arm.name}` makes some."
IDLE_SIDE = "{arm.name}, {seeds}: the side loss was the same at every evaluation, so its side taught nothing."
NOT_IN_TABLE = "{arm.name}, on record but not in the table: {records}."
SEEDS_ABSENT = "{arm.name} has no record of {seeds}, which another row has."
SEEDS_NOT_RUN = "{arm.name} plans seeds {planned}; not run: {missing}."
NO_SCORE = "{arm.name}, {seeds}: no score on {task} ({why}), and so in no mean of that task or of the average."
NO_GAIN = (
    "{arm.name}, {seeds}: training made the model no better: best STS-B dev {record.best_dev:.2f} against "
    "{record.dev_before:.2f} before the first step{where}. What is tested there is hardly more than the encoder that "
    "training began with; look at the learning rates and the data first."
)
SEARCH_SEEDS = (
    "{arm.name} has {seeds} in its table, which a search chooses with: where this configuration was chosen by one, "
    "that score is biased upward, so report fresh seeds only."
)
UNEQUAL_N = "Unequal n: {sizes}."

# Scores that were given
GIVEN = "{name}: scores of {n} ({seeds}) as they were given."
GIVEN_SCOPE = (
    "These runs were trained elsewhere. What a seed varies in them, how they were tuned and what was left out, only "
    "who ran them knows; no p here is about other data, hardware or hyper-parameters. t-tests and t intervals assume "
    "normal scores, which few seeds cannot check."
)
GIVEN_WIDE = "The table has no room for {tasks}: the list of gaps has a row for each, and summary.csv every mean."
GIVEN_SHARES = (
    "{name}: every score lies from {least:g} to {most:g}; where these are shares of 1, give them x 100: the margin, "
    "{margin:g}, is in the unit of the scores."
)
GIVEN_ABSENT = "{name} has no scores of {seeds}, which another row has."
GIVEN_MISSING = "{name}, {seeds}: no score on {tasks}, and so in no mean of these or of the average."

# Published numbers
OTHER_SETTING = (
    "{arm.name}: the published numbers ({published.source}) are of another setting, so nothing here compares with "
    "them: {differences}."
)
PUBLISHED_SEEDS = (
    "{arm.name} as published ({published.source}): {theirs.mean:.2f} ± {theirs.std:.2f}, n = {theirs.n}; ours minus "
    "published {gap}, Welch {p}: {verdict}."
)
PUBLISHED_SCORE = (
    "{arm.name} as published, single score ({published.source}): {score:.2f}, {place} the 95% range for one more seed "
    "of ours, {low:.2f} to {high:.2f}."
)

# The table
CAPTION = "{what}, mean ± sample std over n seeds{against}"
OF_RECORDS, AS_GIVEN = 'Spearman x 100, "{setting}" setting', "Scores as given"
AGAINST_BASELINE = "; p{corrected} ({test}{fixed}) and Hedges' g of the average against {baseline}"
GAPS = "{method.name} minus {baseline.name} (declared: {declared}; all else is exploratory{fixed})"
N_FIXED = "; n taken as fixed"
NOTES_HIDDEN = "{notes} on tests, data and limits: `nlcse-tune report --notes`, or report.md."


def skewed(skewness: Mapping[str, float], names: Mapping[str, str], p: float) -> str:
    """Whose scores are skewed, and the test beside."""
    parts = [f"{names[name]} have a skewness of {value:+.2f}" for name, value in skewness.items()]
    return SKEWED.format(whose=" and ".join(parts).capitalize(), p=p_equals(p))


def besides(tests: int, counted: Mapping[str, int], configurations: Mapping[str, int]) -> str:
    """How much was looked at that no correction counts; empty where nothing was."""
    what = [plural(count, noun) for noun, count in counted.items() if count]
    what += [f"{plural(n, 'other tested configuration')} of {name}" for name, n in configurations.items() if n]
    return BESIDES.format(tests=plural(tests, "declared test"), what=", ".join(what)) if what else ""


def sign_flip_reach(n: int, floor: float, alpha: float, reach: int, with_holm: str) -> str:
    """The least p of a sign-flip test over n seeds, and the seeds that `alpha` takes."""
    head, seeds = f"With {plural(n, 'shared seed')} a sign-flip test", f"takes {reach} shared seeds{with_holm}"
    if n < reach:
        return f"{head} cannot give less than {p_value(floor)}, so never p < {alpha:g}, whatever the gap: that {seeds}."
    return f"{head} can go down to {p_value(floor).replace('< ', 'below ')}; p < {alpha:g} {seeds}."


def floor(test: TestName, least: float, alpha: float) -> str:
    """The least p that a test by rearrangement can give."""
    never = "" if least <= alpha else f", so with these seeds it can never give p < {alpha:g}"
    return f"The {test} test can at this n go down to {p_value(least).replace('< ', 'below ')}{never}."


def pairs_error(two: TwoLevel) -> str:
    """The error that seeds leave, that of the sentence pairs, and both together."""
    pairs = f"one of {two.se_pairs:.2f}" if two.se_pairs >= 0.005 else "none that can be told from the runs' own"
    return (
        "The test sets' own error (sentence pairs resampled, the same for both arms): beside a standard error of "
        f"{two.se_seeds:.2f} from seeds the gap has {pairs} from pairs; 95% interval with both "
        f"{signed_range(two.low, two.high)} (percentile bootstrap: "
        f"{signed_range(two.bootstrap_low, two.bootstrap_high)}), where p takes the test sets as given."
    )
