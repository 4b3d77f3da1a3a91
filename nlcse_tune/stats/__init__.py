"""Statistics over seeds: arrays in, small result objects out. NumPy and SciPy only, nothing of ours but `errors`.

Everywhere `method` comes before `baseline` and a gap is method minus baseline. Tests are two-sided. Every procedure
that draws numbers takes a `numpy.random.Generator` and gives the same answer twice for the same generator state.

What no function here can give: seeds vary initialisation, order and dropout only. A small p-value says that the gap
is unlikely to come from the choice of seeds; nothing here covers another data set, hardware or search.
Almost stochastic order (ASO) is left out on purpose: the kept library for it, deepsig, is under the GPL.
"""

from nlcse_tune.stats.effects import Effect, Probability, hedges_g, probability_of_improvement
from nlcse_tune.stats.exact import permutation_test, sign_flip_floor, sign_flip_seeds, sign_flip_test, wilcoxon_test
from nlcse_tune.stats.intervals import BOOTSTRAP_COVERAGE, Interval, bootstrap_interval, mean_interval, std_interval
from nlcse_tune.stats.multiplicity import holm
from nlcse_tune.stats.pairs import TwoLevel, resampled_spearman, spearman, two_level
from nlcse_tune.stats.power import MAX_SEEDS, detectable_gap, power_paired, power_unpaired, seeds_needed
from nlcse_tune.stats.samples import Sample, Summary, TestResult, correlation, summarise
from nlcse_tune.stats.sequential import Decision, StoppingRule, looks, stopping_rule
from nlcse_tune.stats.ttests import paired_t, student_t, welch_t

__all__ = [
    "BOOTSTRAP_COVERAGE",
    "MAX_SEEDS",
    "Decision",
    "Effect",
    "Interval",
    "Probability",
    "Sample",
    "StoppingRule",
    "Summary",
    "TestResult",
    "TwoLevel",
    "bootstrap_interval",
    "correlation",
    "detectable_gap",
    "hedges_g",
    "holm",
    "looks",
    "mean_interval",
    "paired_t",
    "permutation_test",
    "power_paired",
    "power_unpaired",
    "probability_of_improvement",
    "resampled_spearman",
    "seeds_needed",
    "sign_flip_floor",
    "sign_flip_seeds",
    "sign_flip_test",
    "spearman",
    "std_interval",
    "stopping_rule",
    "student_t",
    "summarise",
    "two_level",
    "welch_t",
    "wilcoxon_test",
]
