"""What to try next. The one module that talks to Optuna; its "study" object stays in here.

Ray's OptunaSearch is not used: it repeats points of a finite space (3 of 6 in one trial here), tells the sampler
of stopped runs as if they had finished, turns a NaN into a log line and cannot be rebuilt from records
(docs/ray.md, points 8 to 12). What is left of it once those are mended is ask and tell.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import TrialState

from nlcse_tune.names import SamplerName
from nlcse_tune.space import Point, Range, SearchSpace, ValueList

TRIES = 50  # fresh suggestions asked for before an untried point is drawn at random
PRIOR_TRIES = 3  # of another search's points, proposed before the sampler's own

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Sampler:
    """Proposes points of a space, each at most once, and learns from their scores.

    The points of `first` come first, where the space has them. Suggestions depend on `seed` and on the order of
    `tell` alone. A finite space is exhausted when every point was proposed. `base` as in `SearchSpace.active`.
    """

    def __init__(
        self, space: SearchSpace, method: SamplerName, seed: int, first: Sequence[Point], base: Point | None = None
    ) -> None:
        self.space, self.method, self.base = space, method, base
        startup = max(5, 2 * len(space.fields))
        tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        sampler = tpe if method == "tpe" else optuna.samplers.RandomSampler(seed=seed)  # a grid needs none
        self.optuna = optuna.create_study(direction="maximize", sampler=sampler)
        self.random = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed + 1))
        self.orders = {field: order for field, p in space.parameters.items() if (order := _order(p)) is not None}
        places = {field: IntDistribution(0, len(order) - 1) for field, order in self.orders.items()}
        self.distributions = {**distributions(space), **places}
        self.known: set[str] = set()
        self.queue = [point for point in first if point and space.contains(point)]
        self.waiting: list[tuple[Point, float]] = []  # another search's scores
        self.scores: dict[str, float] = {}  # our own, of runs that ran to their end
        points = list(space.points(base)) if space.size(base) is not None else None
        self.listed = points and [points[i] for i in np.random.default_rng(seed).permutation(len(points))]

    def prior(self, scored: Sequence[tuple[Point, float]]) -> None:
        """Another search's scores: its best points are proposed early, and all of them guide the sampler.

        Another encoder or other data put scores on another level, so they enter once there is a score of our own to
        hold them against: shifted by the median difference to it at the same points, or of the medians.
        """
        self.waiting = sorted(scored, key=lambda item: -item[1])
        self.queue += [point for point, _ in self.waiting[:PRIOR_TRIES]]

    def ask(self) -> Point | None:
        """The next point, never one proposed or told before; None when the space is exhausted.

        What TPE and Optuna's other samplers repeat is passed over; where they do nothing else, a point is drawn at
        random. A space of infinitely many points counts as exhausted when TRIES such draws are all known.
        """
        self._take_prior()
        if (point := self._next()) is not None:
            self.known.add(_key(point))
        return point

    def _next(self) -> Point | None:
        queued, listed = (self._new(points) for points in (self.queue, self.listed or ()))
        if queued is not None:
            return queued
        if self.listed is not None and (listed is None or self.method == "grid"):
            return listed
        point = self._suggested(self.optuna)
        if point is None:
            point = self._suggested(self.random) if listed is None else listed
        return point

    def _new(self, points: Sequence[Point]) -> Point | None:
        return next((point for point in points if _key(point) not in self.known), None)

    def _suggested(self, study: optuna.Study) -> Point | None:
        """A new point among TRIES suggestions; None where all are known."""
        for _ in range(TRIES):
            trial = study.ask(self.distributions)
            study.tell(trial, state=TrialState.FAIL)  # `tell` enters it with its score, as after a restart
            params = {name: self.orders[name][v] if name in self.orders else v for name, v in trial.params.items()}
            point = self.space.active(params, self.base)
            if _key(point) not in self.known:
                return point
        return None

    def tell(self, point: Point, score: float | None, *, stopped_at: float | None = None) -> None:
        """The score of a point, proposed here or earlier; None where its run failed.

        A run that was stopped, at the share `stopped_at`, counts as pruned. A parameter that was not active at the
        point is not in what Optuna is told.
        """
        self.known.add(_key(point))
        if score is None or not np.isfinite(score):
            return
        known: dict[str, Any] = {**self._params(point), "value": score}
        if stopped_at is None:
            self.scores[_key(point)] = score
        else:
            known |= {"state": TrialState.PRUNED, "intermediate_values": {round(100 * stopped_at): score}}
        self.optuna.add_trial(optuna.trial.create_trial(**known))

    def _params(self, point: Point) -> dict[str, Any]:
        """The point in Optuna's words."""
        params = {field: self.orders[field].index(v) if field in self.orders else v for field, v in point.items()}
        return {"params": params, "distributions": {field: self.distributions[field] for field in point}}

    def _take_prior(self) -> None:
        if not (self.waiting and self.scores):
            return
        scored = {_key(point): score for point, score in self.waiting}
        shared = [self.scores[key] - scored[key] for key in scored.keys() & self.scores.keys()]
        shift = float(np.median(shared or [np.median([*self.scores.values()]) - np.median([*scored.values()])]))
        for point, score in self.waiting:
            self.optuna.add_trial(optuna.trial.create_trial(value=score + shift, **self._params(point)))
        self.waiting = []


def _order(parameter: ValueList | Range) -> list[Any] | None:
    """A choice's values in rising order, where they are three numbers or more; None for any other parameter.

    TPE is told their places: neighbouring learning rates score alike, and it cannot know that of mere names
    (`benchmarks.search`: about 0.015 points less regret).
    """
    if not isinstance(parameter, ValueList) or len(parameter.values) < 3:
        return None
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in parameter.values)
    return sorted(parameter.values) if numbers else None


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """The space as optuna-dashboard shows it."""
    return {field: _distribution(parameter) for field, parameter in space.parameters.items()}


def _key(point: Mapping[str, Any]) -> str:
    return repr(sorted(point.items()))


def _distribution(parameter: ValueList | Range) -> BaseDistribution:
    if isinstance(parameter, ValueList):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
