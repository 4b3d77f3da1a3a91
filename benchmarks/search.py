"""What a search finds and what it costs, simulated: `python -m benchmarks.search [--repetitions 200] [--parallel 2]`.

The package's own sampler, stopping rule and selection search random response surfaces over `image-grid` (54 points):
true means with a std of 0.9 points (a span of about 3.4), seeds with one of 0.4. A whole run costs 1; one that ASHA
stopped costs its share. Every method meets the same surfaces and the same noise at the same (point, seed).

Early scores mislead: best-so-far at a quarter of a run has a Spearman correlation of about 0.65 with the final score
(printed below the table). Half of what misleads is a smooth surface of its own: neighbours are late bloomers
together, with every seed. Real curves here (SimCSE, six learning rates from 5e-5 to 1.6e-3, 273 steps) have 0.97 and
more, but lie points apart.

Regret: the best true mean minus the chosen point's. Close: within 0.2 points of the best. Until close: the cost from
which on the incumbent (what the method would choose if stopped then, by dev scores alone) was close to the end of the
search; the median of the searches that chose a close point. TPE over all 54 points chooses what the grid does.
"""

import argparse
import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.stats import spearmanr

from nlcse_tune import names
from nlcse_tune.search import early_stopping, sampler, selection
from nlcse_tune.space import Point, SearchSpace, load_space
from nlcse_tune.study import resolve

OWN: Point = {"text.batch_size": 64, "text.learning_rate": 3e-5, "side.learning_rate": 1e-6}  # visualcse-bert's
MEANS, SEEDS = 0.9, 0.4  # stds of the true means over the grid, and between seeds
EVALUATIONS = 20  # of a whole run, at equal distances
RISE = 9.0  # how far below its end a curve starts; falls with the cube of what is left, as real ones about do
EARLY = 1.5  # std of what misleads, at the start; falls linearly to 0
JITTER = 0.3  # std of a single evaluation before the end
CLOSE = 0.2
SHARES = (0.25, 0.5, 0.75)  # of a run, where the correlation with its end is measured


@dataclass(frozen=True)
class Method:
    """A way to search: its sampler, how many points it tries, its stopping rule and its seeds for the leaders."""

    name: str
    sampler: names.SamplerName
    points: int
    rule: early_stopping.Rule | None = None
    seeds: int = 1


def methods() -> list[Method]:
    """The rows of the table, the grid first."""
    asha = early_stopping.asha
    return [
        Method("grid", "grid", 54),
        Method("random", "random", 27),
        Method("TPE", "tpe", 27),
        *(Method("TPE + ASHA", "tpe", n, asha) for n in (27, 36, 54)),
        *(Method("TPE + ASHA + 3 seeds", "tpe", n, asha, 3) for n in (18, 27, 36, 54)),
        Method("random + ASHA + 3 seeds", "random", 36, asha, 3),
        Method("grid + ASHA + 3 seeds", "grid", 54, asha, 3),
    ]


@dataclass(frozen=True)
class World:
    """A drawn truth: per point its mean, and per point and seed a curve of best-so-far scores."""

    space: SearchSpace
    points: list[Point]
    means: np.ndarray
    curves: np.ndarray  # (points, seeds, evaluations)


@dataclass(frozen=True)
class Outcome:
    """What one search chose and spent; `reached` is "until close", None where the choice is not close."""

    regret: float
    cost: float
    reached: float | None


def surface(points: Sequence[Point], rng: np.random.Generator) -> np.ndarray:
    """A random smooth function of log hyper-parameters, mean 0 and std 1 over the points.

    One hill a parameter, of random place and weight, and an interaction of every pair.
    """
    logs = np.log([[float(value) for value in point.values()] for point in points])
    x = 2 * (logs - logs.min(0)) / np.ptp(logs, axis=0) - 1
    values = -((x - rng.uniform(-1, 1, x.shape[1])) ** 2) @ rng.exponential(1.0, x.shape[1])
    for i in range(x.shape[1]):
        for j in range(i):
            values += rng.normal(0, 0.4) * x[:, i] * x[:, j]
    return np.asarray((values - values.mean()) / values.std())


def draw(space: SearchSpace, seeds: int, rng: np.random.Generator) -> World:
    """A world in which the study's own point is in the better half."""
    points = list(space.points())
    own = points.index(OWN)
    means = surface(points, rng)
    while means[own] < np.median(means):
        means = surface(points, rng)
    means = MEANS * means
    shape = (len(points), seeds)
    finals = means[:, None] + SEEDS * rng.standard_normal(shape)
    misleading = EARLY * math.sqrt(0.5) * (surface(points, rng)[:, None] + rng.standard_normal(shape))
    left = 1 - np.arange(1, EVALUATIONS + 1) / EVALUATIONS  # the share of the run still to come
    jitter = JITTER * rng.standard_normal((*shape, EVALUATIONS)) * (left > 0)
    raw = finals[..., None] - RISE * left**3 + misleading[..., None] * left + jitter
    best = np.maximum.accumulate(np.minimum(raw, finals[..., None]), axis=-1)
    return World(space, points, means, best)


@dataclass
class Search:
    """A search under way: the event simulation of runs side by side."""

    world: World
    rule: early_stopping.Rule | None
    source: sampler.Sampler
    curves: dict[int, early_stopping.Curve] = field(default_factory=dict)  # of every point begun
    finals: dict[int, float] = field(default_factory=dict)  # of every run that was not stopped
    running: list[tuple[int, int, int]] = field(default_factory=list)  # (time of its next evaluation, order, point)
    now: int = 0
    evaluations: int = 0
    path: list[tuple[float, int]] = field(default_factory=list)  # (cost, incumbent)

    def begin(self) -> None:
        """Starts a run of the sampler's next point."""
        point = self.source.ask()
        assert point is not None
        index = self.world.points.index(point)
        heapq.heappush(self.running, (self.now + 1, len(self.curves), index))
        self.curves[index] = ()

    def step(self, learn: bool = True) -> None:
        """The next evaluation of a run: it goes on, is stopped or ends; `learn` tells the sampler."""
        self.now, order, index = heapq.heappop(self.running)
        self.evaluations += 1
        done = len(self.curves[index]) + 1
        share, score = done / EVALUATIONS, float(self.world.curves[index, 0, done - 1])
        own = self.curves[index] = (*self.curves[index], (share, score))
        if done == EVALUATIONS:
            self.finals[index] = score
            self.path.append((self.evaluations / EVALUATIONS, max(self.finals, key=lambda i: self.finals[i])))
        elif not (
            self.rule and self.rule(own, [c for i, c in self.curves.items() if i != index], early_stopping.GRACE)
        ):
            heapq.heappush(self.running, (self.now + 1, order, index))
            return
        if learn:
            self.source.tell(self.world.points[index], score, stopped_at=share if done < EVALUATIONS else None)

    def ended(self) -> "Search":
        """This search as it would end if nothing more were begun."""
        rest = replace(
            self, curves=dict(self.curves), finals=dict(self.finals), running=[*self.running], path=[*self.path]
        )
        while rest.running:
            rest.step(learn=False)
        return rest


def searches(
    world: World,
    method: names.SamplerName,
    rule: early_stopping.Rule | None,
    budgets: Sequence[int],
    parallel: int,
    seed: int,
) -> dict[int, Search]:
    """For every budget the ended search of that many points; they share their beginnings, so one run serves all."""
    search = Search(world, rule, sampler.Sampler(world.space, method, seed, [OWN]))
    found = {}
    for count in range(1, max(budgets) + 1):
        while len(search.running) == parallel:
            search.step()
        search.begin()
        if count in budgets:
            found[count] = search.ended()
    return found


def select(search: Search, seeds: int) -> Outcome:
    """The search and its `select-seeds`: the package's selection among the runs that were not stopped."""
    curves, cost = search.world.curves, search.evaluations / EVALUATIONS
    path, repeated = list(search.path), 0
    for count in range(2, seeds + 1):  # round by round: each begins with the ones before
        again = selection.repeat(search.finals, count, lambda keys, i: {key: float(curves[key, i, -1]) for key in keys})
        repeated = sum(len(standing.scores) - 1 for standing in again.values())
        path.append((cost + repeated, next(iter(again))))
    means = search.world.means
    regrets = [float(means.max() - means[index]) for _, index in path]
    kept = next((i for i, regret in enumerate(reversed(regrets)) if regret > CLOSE), len(path))
    return Outcome(regrets[-1], cost + repeated, path[-kept][0] if kept else None)


def run(count: int, parallel: int, seed: int) -> tuple[dict[Method, list[Outcome]], np.ndarray]:
    """Every method's outcomes over `count` worlds; mean correlations of best-so-far at SHARES with final scores."""
    space = load_space(resolve("search_spaces", "image-grid"))
    found: dict[Method, list[Outcome]] = {method: [] for method in methods()}
    correlations = []
    for repetition in range(count):
        world = draw(space, 3, np.random.default_rng([seed, repetition]))
        scores = world.curves[:, 0]
        correlations.append([_spearman(scores[:, round(share * EVALUATIONS) - 1], scores[:, -1]) for share in SHARES])
        for kind in dict.fromkeys((method.sampler, method.rule) for method in found):
            same = [method for method in found if (method.sampler, method.rule) == kind]
            ended = searches(world, *kind, [method.points for method in same], parallel, seed + repetition)
            for method in same:
                found[method].append(select(ended[method.points], method.seeds))
    return found, np.mean(correlations, axis=0)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--parallel", type=int, default=2, help="runs side by side")
    parser.add_argument("--seed", type=int, default=2026)
    args = parser.parse_args()
    found, correlations = run(args.repetitions, args.parallel, args.seed)
    grid = np.array([outcome.regret for outcome in next(iter(found.values()))])
    heads = (
        f"{'method':<23}",
        "points",
        "       regret",
        "  less the grid's",
        "close",
        "cost",
        "of grid",
        "until close",
    )
    print(f"{args.repetitions} searches a row, {args.parallel} runs side by side; ± is one standard error\n")
    print(f"| {' | '.join(heads)} |\n|{'|'.join('-' * (len(head) + 2) for head in heads)}|")
    for method, outcomes in found.items():
        print(f"| {' | '.join(_cells(method, outcomes, grid))} |")
    told = ", ".join(f"{value:.2f} at {share:.0%}" for share, value in zip(SHARES, correlations, strict=True))
    print(f"\nSpearman correlation of best-so-far with the final score, over the points of a grid: {told}")


def _cells(method: Method, outcomes: Sequence[Outcome], grid: np.ndarray) -> tuple[str, ...]:
    regrets = np.array([outcome.regret for outcome in outcomes])
    cost = float(np.mean([outcome.cost for outcome in outcomes]))
    reached = [outcome.reached for outcome in outcomes if outcome.reached is not None]
    return (
        f"{method.name:<23}",
        f"{method.points:6d}",
        f"{regrets.mean():.3f} ± {_error(regrets):.3f}",
        f"{(regrets - grid).mean():+9.3f} ± {_error(regrets - grid):.3f}",
        f"{len(reached) / len(outcomes):5.0%}",
        f"{cost:4.1f}",
        f"{cost / 54:7.0%}",
        f"{float(np.median(reached)) if reached else math.nan:11.1f}",
    )


def _spearman(a: np.ndarray, b: np.ndarray) -> float:
    return float(spearmanr(a, b).statistic)


def _error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(values.size)) if values.size > 1 else math.nan


if __name__ == "__main__":
    main()
