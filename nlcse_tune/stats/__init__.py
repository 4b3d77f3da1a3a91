"""Statistics over seeds: arrays in, small result objects out. NumPy and SciPy only, nothing of ours but `errors`.

Everywhere `method` comes before `baseline` and a gap is method minus baseline. Tests are two-sided. Every procedure
that draws numbers takes a `numpy.random.Generator` and gives the same answer twice for the same generator state.
The distribution functions are `scipy.special`'s: `scipy.stats`, which the test suite compares with, takes longer to
import than a report takes to make.

What no function here can give: seeds vary initialisation, order and dropout only. A small p-value says that the gap
is unlikely to come from the choice of seeds; nothing here covers another data set, hardware or search.
Almost stochastic order (ASO) is left out on purpose: the kept library for it, deepsig, is under the GPL.
"""

from nlcse_tune.stats.equivalence import Equivalence, equivalence, power_equivalence
from nlcse_tune.stats.intervals import (
    BOOTSTRAP_COVERAGE,
    Effect,
    Interval,
    Probability,
    bootstrap_interval,
    hedges_g,
    mean_interval,
    probability_of_improvement,
    std_interval,
    t_interval,
)
from nlcse_tune.stats.looks import looking_error, pilot_error
from nlcse_tune.stats.pairs import TwoLevel, resampled_spearman, spearman, two_level
from nlcse_tune.stats.power import MAX_SEEDS, detectable_gap, power_paired, power_unpaired, seeds_needed
from nlcse_tune.stats.samples import Sample, Summary, correlation, summarise
from nlcse_tune.stats.sequential import Decision, StoppingRule, looks, stopping_rule
from nlcse_tune.stats.skew import bootstrap_t, skewness, skewness_of_normal
from nlcse_tune.stats.tests import (
    TestResult,
    holm,
    paired_t,
    permutation_test,
    sign_flip_seeds,
    sign_flip_test,
    student_t,
    welch_t,
    wilcoxon_test,
)
