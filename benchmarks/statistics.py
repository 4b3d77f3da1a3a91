"""How often the statistics are wrong, measured on simulated studies: `python -m benchmarks.statistics`.

Null rejection rates of every test that is offered, coverage of every interval, power against simulation, and the
error rate of `seeds --until-decided`. Scores are normal; the last digits carry a standard error, printed below.
"""

import argparse
import math
from typing import Any

import numpy as np

from nlcse_tune import stats
from nlcse_tune.stats.sequential import null_p_values
from tests.stats.paths import PATHS, by_rule, path_rates
from tests.stats.simulated import PAPER_RATIO, coverages, power_agreement, rejection_rates, sequential_error


def late_rule_error(count: int, at: tuple[int, ...], seed: int) -> tuple[float, float]:
    """(error rate of Welch's rule, of a fixed test at its first look and then the rule) over simulated null studies."""
    rule = stats.stopping_rule(at, np.random.default_rng(seed))
    p = null_p_values(at, np.random.default_rng(seed + 1), count, (1.0,))[0]
    found = (p[:, len(rule.skipped) :] <= np.asarray(rule.bounds)).any(axis=1)
    return float(found.mean()), float((found | (p[:, 0] <= 0.05)).mean())


def two_level_coverage(
    count: int, n: int, pairs: int, seed: int, *, spread: float = 0.01, common: float = 0.8
) -> dict[str, float]:
    """Share of simulated studies whose interval over seeds *and* pairs holds the gap on infinitely many pairs.

    Gold and similarities are normal, with a seed effect of std `spread` on how well a run follows gold; the method
    follows it better. `common` of a run's noise on the pairs is its arm's, of which half the variance is shared by
    both arms; the rest is the run's own.
    """
    rng = np.random.default_rng(seed)

    def run(quality: np.ndarray, gold: np.ndarray, shared: np.ndarray) -> np.ndarray:
        arm = (shared + rng.standard_normal(gold.size)) / math.sqrt(2)
        noise = common * arm + math.sqrt(1 - common**2) * rng.standard_normal((n, gold.size))
        return np.asarray(quality[:, None] * gold + np.sqrt(1 - quality[:, None] ** 2) * noise)

    def truth(mean: float) -> float:  # Spearman of a bivariate normal, averaged over the seed effect
        quality = np.clip(mean + spread * np.random.default_rng(0).standard_normal(200_000), -1, 1)
        return float(np.mean(600 / math.pi * np.arcsin(quality / 2)))

    true_gap = truth(0.72) - truth(0.70)
    hits = {"t, seeds and pairs": 0, "bootstrap, seeds and pairs": 0, "t, seeds alone": 0}
    for _ in range(count):
        gold, shared = rng.standard_normal((2, pairs))
        sims = [run(mean + spread * rng.standard_normal(n), gold, shared) for mean in (0.72, 0.70)]
        scores = 100 * np.array([spearman(row, gold) for arm in sims for row in arm])
        again = stats.resampled_spearman(np.concatenate(sims), gold, 200, rng)
        found = stats.two_level(scores[:n], scores[n:], (again[:, :n], again[:, n:]), rng)
        alone = stats.welch_t(scores[:n], scores[n:])
        hits["t, seeds and pairs"] += found.low <= true_gap <= found.high
        hits["bootstrap, seeds and pairs"] += found.bootstrap_low <= true_gap <= found.bootstrap_high
        hits["t, seeds alone"] += bool(alone.low is not None and alone.high and alone.low <= true_gap <= alone.high)
    return {name: value / count for name, value in hits.items()}


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rho of two vectors without ties."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


def print_paths(count: int, seed: int) -> None:
    """Error and power of every path that a study can declare, as a table of docs/statistics.md."""
    correlations = (0.0, 0.6, 0.95)
    print("| path | test | n |" + "".join(f" r = {rho:g} |" for rho in correlations))
    print("| --- | --- | ---: |" + " ---: |" * len(correlations))
    for path in PATHS:
        for paired in (False, True):
            for n in (3, 5, 10, 20):
                rates = [path_rates(count, path, n, rho, paired=paired, seed=seed) for rho in correlations]
                cells = "".join(f" {100 * error:.1f} / {100 * power:.0f} |" for error, power in rates)
                print(f"| {path} | {'paired' if paired else 'Welch'} | {n} |{cells}", flush=True)


def skewed_rates(count: int, n: int, seed: int) -> dict[str, float]:
    """Share of studies with p <= 5% where both means are equal, one arm lognormal and the other narrow and normal."""
    rng = np.random.default_rng(seed)
    hits: dict[str, int] = {}
    for _ in range(count):
        a, b = rng.lognormal(0, 1, n) - math.exp(0.5), 0.1 * rng.standard_normal(n)
        found = {"welch": stats.welch_t(a, b), "bootstrap-t": stats.bootstrap_t(a, b, rng)}
        found |= {"paired": stats.paired_t(a, b), "bootstrap-t, paired": stats.bootstrap_t(a, b, rng, paired=True)}
        found["sign-flip"] = stats.sign_flip_test(a, b, rng)
        if n <= 10:  # beyond, rearrangements are drawn, which takes long
            found["permutation"] = stats.permutation_test(a, b, rng)
        for name, result in found.items():
            hits[name] = hits.get(name, 0) + (result.p <= 0.05)
    return {name: value / count for name, value in hits.items()}


def skewed_rule_error(count: int, seed: int) -> float:
    """The same for Welch's rule with looks at 5 to 20 seeds."""
    rng = np.random.default_rng(seed)
    a, b = rng.lognormal(0, 1, (count, 20)) - math.exp(0.5), 0.1 * rng.standard_normal((count, 20))
    return by_rule(a, b, 20, paired=False)


def main() -> None:
    """Prints every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    count, seed = args.studies, args.seed
    print(
        f"{count} simulated studies a cell; a rate of 5% has a standard error of "
        f"{100 * math.sqrt(0.0475 / count):.2f}%\n"
    )
    print("Every path that can be declared: error / power in %, std 0.4, gap and margin 0.5 points")
    print_paths(count, seed)
    print("\nGrowing an arm after a look, and n from a pilot that is reused, as reports and `plan` say it")
    for path in ((5, 10), (5, 10, 20), (3, 5, 10)):
        rates = {test: stats.looking_error(path, paired=test == "paired") for test in ("welch", "paired")}
        _line(f"looks at {', '.join(map(str, path))}", rates)
    for pilot in (3, 4, 5):
        rates = {
            f"{test}, gap {gap:g}": stats.pilot_error(pilot, gap, stds)
            for gap in (0.25, 0.5, 1.0)
            for test, stds in (("welch", (0.4, 0.4)), ("paired", (0.4,)))
        }
        _line(f"a pilot of {pilot}, std 0.4", rates)
    print("\nSkewed scores: one arm lognormal (sigma 1), the other normal with std 0.1, equal means; 1,000 studies")
    for n in (5, 10, 20):
        _line(f"n={n}", skewed_rates(1000, n, seed))
    print(f"  Welch's rule, looks at 5 to 20: {100 * skewed_rule_error(count, seed):.1f}%")
    print("\nNull hypothesis: share with p <= 0.05")
    cells: tuple[tuple[str, int, dict[str, Any]], ...] = (
        ("n=5, equal stds", 5, {}),
        ("n=5, stds 0.38:0.90", 5, {"ratio": PAPER_RATIO}),
        ("n=5, correlated seeds 0.6", 5, {"rho": 0.6}),
        ("n=3, equal stds", 3, {}),
        ("n=8, equal stds", 8, {}),
    )
    for label, n, options in cells:
        _line(label, rejection_rates(count, n, seed, **options))
    print("\nCoverage of 95% intervals, true gap of 1 std")
    for n in (2, 3, 4, 5, 6, 8, 10, 20):
        _line(f"n={n}, equal stds", coverages(count, n, seed))
    _line("n=5, stds 0.38:0.90", coverages(count, 5, seed, ratio=PAPER_RATIO))
    print("\nPower: formula / simulated")
    for n, gap, ratio in ((5, 1.0, 1.0), (5, 2.02, 1.0), (5, 1.5, PAPER_RATIO), (10, 1.0, 1.0), (17, 1.0, 1.0)):
        found = power_agreement(count, n, seed, gap=gap, ratio=ratio)
        print(
            f"  n={n}, gap {gap}, ratio {ratio:.2f}: "
            + ", ".join(f"{k} {a:.3f}/{b:.3f}" for k, (a, b) in found.items())
        )
    print("\nAdding seeds until decided, null hypothesis: error of the rule / of stopping at the first p <= 0.05")
    for at in ((5, 8, 11, 14, 17, 20), (3, 4, 5, 6, 7, 8, 9, 10)):
        for paired, ratio in ((False, 1.0), (False, 1 / PAPER_RATIO), (True, 1.0)):
            rule, peek = sequential_error(count, at, seed, paired=paired, ratio=ratio)
            test = "paired" if paired else "welch"
            print(f"  {test}, looks {at}, ratio {ratio:.2f}: {100 * rule:.2f}% / {100 * peek:.1f}%", flush=True)
    alone, late = late_rule_error(200_000, (5, 8, 11, 14, 17, 20), seed=0)
    print(f"  a rule begun on seeds already tested (200,000 studies): {100 * late:.1f}% in place of {100 * alone:.1f}%")
    print("\nSeeds and pairs: coverage of 95% intervals for the gap on infinitely many pairs, 500 studies")
    for n, pairs, spread, common in (
        (5, 500, 0.01, 0.8),
        (5, 500, 0.03, 0.95),
        (5, 500, 0.003, 0.95),
        (10, 500, 0.01, 0.95),
    ):
        rates = two_level_coverage(500, n, pairs, seed, spread=spread, common=common)
        _line(f"n={n}, {pairs} pairs, spread {spread}, common noise {common}", rates)


def _line(label: str, rates: dict[str, float]) -> None:
    print(f"  {label}: " + ", ".join(f"{name} {100 * rate:.1f}%" for name, rate in rates.items()), flush=True)


if __name__ == "__main__":
    main()
