"""Every statistic against SciPy, statsmodels or worked values; error rates and coverage by simulation."""

import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower, TTestPower

from benchmarks import statistics as bench
from nlcse_tune import stats
from nlcse_tune.errors import ConfigError, DataError
from nlcse_tune.stats.sequential import WELCH_RATIOS, null_p_values

A = [76.51, 77.42, 76.98, 76.70, 77.33]
B = [75.10, 76.95, 74.80, 76.41, 75.62]
C = [75.10, 76.95, 74.80, 76.41, 75.62, 75.05, 74.31]


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


# Summaries


def test_summary_is_the_sample_mean_and_std() -> None:
    found = stats.summarise(A)
    assert found.n == 5
    assert found.mean == pytest.approx(np.mean(A))
    assert found.std == pytest.approx(np.std(A, ddof=1))
    assert found.sem == pytest.approx(scipy_stats.sem(A))


def test_one_seed_has_no_std_and_no_test(rng: np.random.Generator) -> None:
    one = stats.summarise([76.25])
    assert one.std is None
    assert one.sem is None
    for call in (
        lambda: stats.welch_t([76.25], A),
        lambda: stats.student_t(A, [76.25]),
        lambda: stats.paired_t([76.25], [75.0]),
        lambda: stats.hedges_g([76.25], A),
        lambda: stats.mean_interval([76.25]),
        lambda: stats.bootstrap_interval([76.25], A, rng),
        lambda: stats.probability_of_improvement([76.25], A),
    ):
        with pytest.raises(DataError, match=r"at least 2 seeds|2 seeds on each side"):
            call()


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_values_must_be_finite_numbers(bad: list[float]) -> None:
    with pytest.raises(DataError, match="values: must be"):
        stats.summarise(bad)


def test_equal_values_have_a_std_of_exactly_zero() -> None:
    assert stats.summarise([0.1 + 0.2] * 7).std == 0.0


@pytest.mark.parametrize(("std", "n"), [(None, 5), (0.5, 1), (-0.1, 5), (math.nan, 5), (0.5, 0)])
def test_impossible_summaries_are_refused(std: float | None, n: int) -> None:
    with pytest.raises(DataError):
        stats.Summary(75.0, std, n)


# t-tests


@pytest.mark.parametrize(
    ("method", "baseline", "student", "welch"),
    [((76.96, 0.38), (75.74, 0.90), 0.0235, 0.0354), ((77.74, 0.25), (76.36, 0.18), 8.4e-6, 1.6e-5)],
)
def test_table_3_of_the_paper(
    method: tuple[float, float], baseline: tuple[float, float], student: float, welch: float
) -> None:
    a, b = stats.Summary(*method, 5), stats.Summary(*baseline, 5)
    assert stats.student_t(a, b).p == pytest.approx(student, rel=0.025)
    assert stats.welch_t(a, b).p == pytest.approx(welch, rel=0.025)


@pytest.mark.parametrize("other", [B, C])
def test_t_tests_agree_with_scipy(other: list[float]) -> None:
    for ours, equal in ((stats.student_t(A, other), True), (stats.welch_t(A, other), False)):
        theirs = scipy_stats.ttest_ind(A, other, equal_var=equal)
        interval = theirs.confidence_interval(0.95)
        assert (ours.statistic, ours.p, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df))
        assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
        assert ours.gap == pytest.approx(np.mean(A) - np.mean(other))


def test_scores_and_their_summary_give_the_same() -> None:
    assert stats.welch_t(A, B).p == stats.welch_t(stats.summarise(A), stats.summarise(B)).p


def test_paired_t_agrees_with_scipy() -> None:
    ours, theirs = stats.paired_t(A, B), scipy_stats.ttest_rel(A, B)
    interval = theirs.confidence_interval(0.95)
    assert (ours.statistic, ours.p, ours.df) == pytest.approx((theirs.statistic, theirs.pvalue, theirs.df))
    assert (ours.low, ours.high) == pytest.approx((interval.low, interval.high))
    assert stats.paired_t(stats.summarise(np.subtract(A, B))) == ours


def test_a_paired_test_refuses_what_is_not_paired(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="same seeds on both sides, got 5 and 7"):
        stats.paired_t(A, C)
    with pytest.raises(DataError, match="same seeds"):
        stats.sign_flip_test(A, C, rng)
    with pytest.raises(DataError, match="do not tell how they vary together"):
        stats.paired_t(stats.summarise(A), B)


def test_no_spread_is_refused_rather_than_called_certain() -> None:
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.welch_t([75.0] * 5, [74.0] * 5)
    with pytest.raises(DataError, match="do not vary from seed to seed"):
        stats.hedges_g([75.0] * 5, [74.0] * 5)


# Rearrangement tests


def test_sign_flip_counts_every_pattern(rng: np.random.Generator) -> None:
    d = np.subtract(A, B)
    means = [abs(np.dot(d, signs)) for signs in np.array(np.meshgrid(*[[-1, 1]] * 5)).reshape(5, -1).T]
    expected = np.mean(np.array(means) >= abs(d.sum()) - 1e-9)
    assert stats.sign_flip_test(A, B, rng).p == pytest.approx(expected)
    theirs = scipy_stats.permutation_test((A, B), lambda x, y: np.mean(x) - np.mean(y), permutation_type="samples")
    assert stats.sign_flip_test(A, B, rng).p == pytest.approx(theirs.pvalue)


def test_five_seeds_never_reach_five_percent(rng: np.random.Generator) -> None:
    found = stats.sign_flip_test(np.add(B, 100), B, rng)
    assert found.p == found.floor == stats.sign_flip_floor(5) == 0.0625
    assert stats.wilcoxon_test(np.add(B, [1, 2, 3, 4, 5]), B, rng).p == 0.0625
    assert stats.sign_flip_seeds() == 6
    assert stats.sign_flip_seeds(comparisons=8) == 9


@pytest.mark.parametrize("n", [5, 8, 12])
def test_wilcoxon_agrees_with_scipy(n: int, rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((2, n))
    assert stats.wilcoxon_test(a, b, rng).p == pytest.approx(scipy_stats.wilcoxon(a, b, method="exact").pvalue)


def test_wilcoxon_with_ties_and_zeros_is_exact(rng: np.random.Generator) -> None:
    # ranks 1.5, 1.5, 3 of the differences 1, 1, -2 (0 is left out): |sum| = 0 in every second pattern or below all
    found = stats.wilcoxon_test([1.0, 1.0, -2.0, 0.0], [0.0, 0.0, 0.0, 0.0], rng)
    assert found.p == 1.0
    assert found.floor == 0.25


def test_permutation_agrees_with_scipy(rng: np.random.Generator) -> None:
    for other in (B, C):
        theirs = scipy_stats.permutation_test(
            (A, other), lambda x, y: np.mean(x) - np.mean(y), permutation_type="independent"
        )
        ours = stats.permutation_test(A, other, rng)
        centred = np.concatenate([A, other]) - np.mean([*A, *other])
        assert ours.exact
        if len(other) == len(A):
            assert ours.p == pytest.approx(theirs.pvalue)
            assert ours.floor == pytest.approx(2 / math.comb(10, 5))
        assert ours.p >= 1 / math.comb(len(centred), 5)


def test_permutation_of_unequal_sides_by_hand(rng: np.random.Generator) -> None:
    # 3 arrangements of {5} against {0, 1}: first sums 5, 0, 1 less 2 each: |3|, |-2|, |-1|; only the first is as far
    found = stats.permutation_test([5.0], [0.0, 1.0], rng)
    assert found.p == pytest.approx(1 / 3)
    assert found.floor == pytest.approx(1 / 3)


def test_rearrangements_beyond_counting_are_drawn_and_never_zero() -> None:
    a, b = np.arange(30.0) + 50, np.arange(30.0)
    first = stats.permutation_test(a, b, np.random.default_rng(1), resamples=999)
    again = stats.permutation_test(a, b, np.random.default_rng(1), resamples=999)
    assert first == again
    assert not first.exact
    assert first.p == first.floor == pytest.approx(1 / 1000)
    assert stats.sign_flip_test(a, b, np.random.default_rng(1), resamples=999).p == pytest.approx(1 / 1000)


def test_drawn_rearrangements_agree_with_counted_ones(
    monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    counted = stats.permutation_test(A, B, rng).p, stats.sign_flip_test(A, B, rng).p
    monkeypatch.setattr("nlcse_tune.stats.exact.EXACT_LIMIT", 1)
    drawn = stats.permutation_test(A, B, rng).p, stats.sign_flip_test(A, B, rng).p
    assert drawn == pytest.approx(counted, abs=0.005)


# Intervals and effects


def test_mean_and_std_intervals_agree_with_scipy() -> None:
    mean, std = stats.mean_interval(A), stats.std_interval(A)
    expected = scipy_stats.t.interval(0.95, 4, np.mean(A), scipy_stats.sem(A))
    assert (mean.low, mean.high) == pytest.approx(expected)
    chi2 = scipy_stats.chi2.ppf([0.975, 0.025], 4)
    assert (std.low, std.high) == pytest.approx(np.sqrt(4 * np.var(A, ddof=1) / chi2))


def test_bootstrap_is_scipys_percentile_interval_and_repeats() -> None:
    ours = stats.bootstrap_interval(A, B, np.random.default_rng(3), resamples=100_000)
    theirs = scipy_stats.bootstrap(
        (A, B),
        lambda x, y, axis: np.mean(x, axis=axis) - np.mean(y, axis=axis),
        n_resamples=100_000,
        method="percentile",
        rng=np.random.default_rng(4),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    assert ours == stats.bootstrap_interval(A, B, np.random.default_rng(3), resamples=100_000)
    paired = stats.bootstrap_interval(A, np.subtract(A, 1), np.random.default_rng(3), paired=True)
    assert (paired.low, paired.high) == pytest.approx((1, 1))


def test_hedges_g_of_a_worked_example() -> None:
    found = stats.hedges_g(stats.Summary(76.96, 0.38, 5), stats.Summary(75.74, 0.90, 5))
    d = 1.22 / math.sqrt((0.38**2 + 0.90**2) / 2)
    correction = math.gamma(4) / (math.sqrt(4) * math.gamma(3.5))  # J(8), Hedges 1981
    assert found.g == pytest.approx(d * correction)
    t = d * math.sqrt(2.5)
    for bound, tail in ((found.low, 0.975), (found.high, 0.025)):
        noncentrality = bound / correction * math.sqrt(2.5)
        assert scipy_stats.nct.cdf(t, 8, noncentrality) == pytest.approx(tail, abs=1e-6)


def test_hedges_g_turns_with_its_sides() -> None:
    there, back = stats.hedges_g(A, B), stats.hedges_g(B, A)
    assert (there.g, there.low, there.high) == pytest.approx((-back.g, -back.high, -back.low))


def test_probability_of_improvement_is_mann_whitney() -> None:
    found = stats.probability_of_improvement(A, C)
    u = scipy_stats.mannwhitneyu(A, C).statistic
    assert found.value == pytest.approx(u / 35)
    assert found.low < found.value < found.high
    assert stats.probability_of_improvement([1.0, 2.0], [1.0, 2.0]).value == 0.5


def test_five_seeds_above_five_others_do_not_prove_certainty() -> None:
    above = stats.probability_of_improvement([6, 7, 8, 9, 10], [1, 2, 3, 4, 5])
    assert above.value == above.high == 1.0
    assert above.low == pytest.approx(0.643, abs=0.001)
    below = stats.probability_of_improvement([1, 2, 3, 4, 5], [6, 7, 8, 9, 10])
    assert (below.low, below.high) == pytest.approx((0.0, 1 - above.low))


def test_score_interval_lies_z_standard_errors_away() -> None:
    found = stats.probability_of_improvement(A, C)
    for x in (found.low, found.high):
        variance = x * (1 - x) * (1 + 5 * (1 - x) / (2 - x) + 5 * x / (1 + x)) / 35  # Newcombe 2006: N* = 6
        assert abs(x - found.value) / math.sqrt(variance) == pytest.approx(scipy_stats.norm.ppf(0.975))


def test_correlation_over_shared_seeds() -> None:
    assert stats.correlation(A, B) == pytest.approx(scipy_stats.pearsonr(A, B).statistic)
    assert stats.correlation([1.0, 2.0], [2.0, 1.0]) is None
    assert stats.correlation([1.0, 1.0, 1.0], [2.0, 1.0, 3.0]) is None


def test_holm_agrees_with_statsmodels(rng: np.random.Generator) -> None:
    p = rng.random(8) ** 3
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])


# Power


@pytest.mark.parametrize(("n", "d"), [(3, 2.0), (5, 1.0), (17, 1.0), (64, 0.5)])
def test_paired_power_agrees_with_statsmodels(n: int, d: float) -> None:
    assert stats.power_paired(-d, 1, n) == pytest.approx(TTestPower().power(d, n, 0.05), abs=1e-6)


def test_unpaired_power_nears_students_for_many_seeds() -> None:
    students = TTestIndPower().power(0.5, 64, 0.05)
    assert stats.power_unpaired(0.5, 1, 1, 64) == pytest.approx(students, abs=1e-3)
    assert stats.power_unpaired(0.5, 1, 1, 64) < students


@pytest.mark.parametrize(("n", "gap", "ratio"), [(2, 6.3, 1.0), (3, 3.1, 0.42), (5, 2.0, 1.0), (5, 1.5, 5.0)])
def test_unpaired_power_is_welchs_own(n: int, gap: float, ratio: float) -> None:
    [p] = null_p_values((n,), "welch", np.random.default_rng(4), 100_000, (ratio,), gap=gap)
    assert stats.power_unpaired(gap, ratio, 1, n) == pytest.approx((p <= 0.05).mean(), abs=0.006)


def test_unpaired_power_with_unequal_n() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((20_000, 4)) + 1.5, 0.5 * rng.standard_normal((20_000, 9))
    simulated = (scipy_stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue <= 0.05).mean()
    assert stats.power_unpaired(1.5, 1, 0.5, 4, n_baseline=9) == pytest.approx(simulated, abs=0.012)


def test_detectable_gaps_and_seeds_needed() -> None:
    unpaired = [stats.detectable_unpaired(n, 1, 1) for n in (3, 5, 8, 10, 20)]
    paired = [stats.detectable_paired(n, 1) for n in (3, 5, 8, 10, 20)]
    assert unpaired == pytest.approx([3.51, 2.08, 1.52, 1.33, 0.91], abs=0.005)  # Student's: 3.07, 2.02, 1.51, ...
    assert paired == pytest.approx([3.26, 1.68, 1.16, 1.00, 0.66], abs=0.005)
    assert stats.seeds_unpaired(1, 1, 1) == 17
    assert stats.power_unpaired(1, 1, 1, 17) >= 0.8 > stats.power_unpaired(1, 1, 1, 16)
    assert stats.seeds_paired(1, 1) == math.ceil(TTestPower().solve_power(1, power=0.8, alpha=0.05))


def test_power_is_one_for_enormous_gaps_and_small_samples() -> None:
    for gap in (10, 100, 1000, 1e6):
        assert stats.power_unpaired(gap, 1, 1, 5) == pytest.approx(1, abs=1e-6)
        assert stats.seeds_unpaired(gap, 1, 1) >= 2


def test_plans_that_make_no_sense_are_refused() -> None:
    for call, rule in (
        (lambda: stats.seeds_unpaired(0, 1, 1), "must differ from 0"),
        (lambda: stats.seeds_unpaired(1e-6, 1, 1), "needs more than"),
        (lambda: stats.seeds_paired(1, 0), "must be above 0"),
        (lambda: stats.detectable_paired(1, 1), "one seed detects no gap"),
        (lambda: stats.seeds_paired(1, 1, power=1.0), "between 0 and 1"),
    ):
        with pytest.raises(DataError, match=rule):
            call()


# Seeds and pairs


def test_spearman_and_its_resampling_agree_with_scipy(rng: np.random.Generator) -> None:
    gold = rng.random(200).round(1)
    sims = (gold + rng.standard_normal((3, 200))).round(1)  # ties on both sides
    assert stats.spearman(sims, gold) == pytest.approx([100 * scipy_stats.spearmanr(s, gold).statistic for s in sims])
    found = stats.resampled_spearman(sims, gold, 20, np.random.default_rng(5))
    drawn = np.random.default_rng(5)
    for row in found:
        chosen = drawn.integers(0, 200, size=200)
        assert row == pytest.approx([100 * scipy_stats.spearmanr(s[chosen], gold[chosen]).statistic for s in sims])


def test_two_level_adds_both_errors(rng: np.random.Generator) -> None:
    seeds_only = stats.welch_t(A, B)
    still = np.tile(A, (500, 1)), np.tile(B, (500, 1))  # pairs that bring no error
    found = stats.two_level(A, B, *still, rng)
    assert found.se_pairs == pytest.approx(0, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((seeds_only.low, seeds_only.high))
    moved = still[0] + rng.standard_normal((500, 1)), still[1]
    wider = stats.two_level(A, B, *moved, rng)
    assert wider.se_pairs == pytest.approx(1, abs=0.1)
    assert wider.high - wider.low > found.high - found.low
    shared = stats.two_level(A, B, still[0] + 5, still[1] + 5, rng, paired=True)  # common to both sides: no error
    assert shared.se_pairs == pytest.approx(0, abs=1e-9)


def test_constant_or_mismatched_similarities_are_refused(rng: np.random.Generator) -> None:
    with pytest.raises(DataError, match="Spearman does not exist"):
        stats.resampled_spearman(np.ones((1, 5)), np.arange(5.0), 10, rng)
    with pytest.raises(DataError, match="4 pairs against 5 gold"):
        stats.resampled_spearman(np.ones((1, 4)), np.arange(5.0), 10, rng)


# Adding seeds in rounds


def test_looks_end_at_the_maximum() -> None:
    assert stats.looks(5, 20) == (5, 8, 11, 14, 17, 20)
    assert stats.looks(5, 20, step=5) == (5, 10, 15, 20)
    assert stats.looks(3, 4) == (3, 4)
    with pytest.raises(ConfigError, match="first look < maximum"):
        stats.looks(5, 5)


def test_the_rule_decides_only_where_it_looks(rng: np.random.Generator) -> None:
    rule = stats.stopping_rule((5, 10), rng, test="paired", simulations=50_000)
    assert rule.bounds[0] < rule.bounds[1] < 0.05
    first = rule.decide(5, rule.bounds[0])
    assert first.significant
    assert first.stop
    assert first.next_n is None
    assert first.confidence == pytest.approx(1 - rule.bounds[0])
    on = rule.decide(5, 0.04)
    assert (on.stop, on.next_n) == (False, 10)
    assert rule.decide(10, 0.9).stop
    with pytest.raises(ConfigError, match="looks at 5, 10 seeds and at no other number"):
        rule.decide(7, 0.001)


def test_the_first_bound_of_an_exact_test_is_its_share_of_alpha(rng: np.random.Generator) -> None:
    rule = stats.stopping_rule((5, 10), rng, test="student", spending="pocock", simulations=1_000_000)
    assert rule.bounds[0] == pytest.approx(0.05 * math.log(1 + (math.e - 1) / 2), rel=0.02)


def test_a_rule_is_the_same_twice() -> None:
    make = [stats.stopping_rule((3, 6), np.random.default_rng(1), simulations=20_000) for _ in range(2)]
    assert make[0] == make[1]


@pytest.mark.parametrize("spending", ["obrien-fleming", "pocock"])
def test_welch_bounds_hold_alpha_at_every_ratio_of_stds(spending: stats.Spending) -> None:
    at = (5, 8, 11, 14, 17, 20)
    rule = stats.stopping_rule(at, np.random.default_rng(1), spending=spending, simulations=100_000)
    ratios = (*WELCH_RATIOS, 1.5, 2.37, 5.0)
    for p in null_p_values(at, "welch", np.random.default_rng(2), 100_000, ratios):
        assert (p <= rule.bounds).any(axis=1).mean() <= 0.052  # 3 standard errors of the simulation above 0.05


def test_null_p_values_are_those_of_the_test_itself() -> None:
    rate, peeking = bench.sequential_error(2000, (4, 6, 8), "paired", "pocock", seed=11)
    assert rate <= 0.065
    assert peeking > 0.075  # what the rule is there to prevent


# Error rates, coverage, power


def test_every_offered_test_keeps_its_level_at_five_seeds() -> None:
    for ratio in (1.0, bench.PAPER_RATIO):
        rates = bench.rejection_rates(4000, 5, seed=1, ratio=ratio)
        assert max(rates.values()) <= 0.065 + (0.01 if ratio != 1.0 else 0)
        assert min(rates[name] for name in ("welch", "student", "paired")) >= 0.035


def test_intervals_cover_what_they_claim_and_the_bootstrap_what_is_stated() -> None:
    found = bench.coverages(4000, 5, seed=2)
    for name in ("welch t", "student t", "paired t", "mean t", "std chi2", "Hedges' g", "P(improvement)"):
        assert 0.93 <= found[name] <= 0.97, name
    stated = stats.BOOTSTRAP_COVERAGE[5]
    assert (found["bootstrap"], found["bootstrap, paired"]) == pytest.approx(stated, abs=0.02)


def test_power_agrees_with_simulation() -> None:
    for n, gap in ((5, 2.02), (10, 1.0)):
        for formula, simulated in bench.power_agreement(3000, n, seed=3, gap=gap).values():
            assert formula == pytest.approx(simulated, abs=0.03)
