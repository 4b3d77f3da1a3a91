"""What to try next. The one module that talks to Optuna; its "study" object stays in here.

Ray's OptunaSearch is not used: it repeats points of a finite space (3 of 6 in one trial here), tells the sampler
of stopped runs as if they had finished, turns a NaN into a log line and cannot be rebuilt from records
(PITFALLS, points 8 to 12). What is left of it once those are mended is ask and tell.
"""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from nlcse_tune.space import Choice, Point, Range, SearchSpace

Method = Literal["tpe", "random", "grid"]
TRIES = 50  # fresh suggestions asked for before an untried point is drawn at random

optuna.logging.set_verbosity(optuna.logging.WARNING)


class Sampler:
    """Proposes points of a space, each at most once, and learns from their scores.

    `own_point` (the study's own values) comes first. Suggestions depend on `seed` and on the order of
    `tell` alone. A finite space is exhausted when every point was proposed.
    """

    def __init__(
        self, space: SearchSpace, method: Method, seed: int, own_point: Point, base: Mapping[str, Any] | None = None
    ) -> None:
        self.space, self.method, self.base = space, method, base
        self.rng = np.random.default_rng(seed)
        startup = max(5, 2 * len(space.fields))
        tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup)
        sampler = tpe if method == "tpe" else optuna.samplers.RandomSampler(seed=seed)  # a grid needs none
        self.optuna = optuna.create_study(direction="maximize", sampler=sampler)
        self.distributions = {field: _distribution(p) for field, p in space.parameters.items()}
        self.known: set[str] = set()
        self.asked: dict[str, optuna.trial.Trial] = {}
        self.own_point = own_point if own_point and space.contains(own_point) else None
        self.untried = _shuffled(list(space.points()), self.rng) if space.grid_size is not None else None

    def learn(self, point: Point, score: float | None) -> None:
        """A point scored in an earlier search; None where it failed."""
        self._seen(point)
        if score is not None and set(point) == set(self.distributions):
            self.optuna.add_trial(
                optuna.trial.create_trial(params=point, distributions=self.distributions, value=score)
            )

    def ask(self) -> Point | None:
        """The next point, never one proposed or learnt before; None when the space is exhausted."""
        if self.own_point is not None:
            point, self.own_point = self.own_point, None
            if _key(point) not in self.known:
                return self._propose(point)
        if self.untried is not None and not self.untried:
            return None
        if self.method == "grid":
            return self._propose(self.untried[0]) if self.untried else None
        for _ in range(TRIES):
            trial = self.optuna.ask(self.distributions)
            point = self.space.active(trial.params, self.base)
            if _key(point) not in self.known:
                self._seen(point)
                self.asked[_key(point)] = trial
                return point
            self.optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        return self._propose(self.untried[0]) if self.untried else None

    def tell(self, point: Point, score: float | None, *, stopped: bool = False) -> None:
        """The score of a proposed point; None where its run failed. A stopped run's last score counts as pruned."""
        trial = self.asked.pop(_key(point), None)
        if trial is None:
            return
        if score is None or not np.isfinite(score):
            self.optuna.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif stopped:
            trial.report(score, step=1)
            self.optuna.tell(trial, state=optuna.trial.TrialState.PRUNED)
        else:
            self.optuna.tell(trial, score)

    def _propose(self, point: Point) -> Point:
        self._seen(point)
        if set(point) == set(self.distributions):
            self.optuna.enqueue_trial(point)
            self.asked[_key(point)] = self.optuna.ask(self.distributions)
        return point

    def _seen(self, point: Point) -> None:
        self.known.add(_key(point))
        if self.untried is not None:
            self.untried = [other for other in self.untried if _key(other) != _key(point)]


def _key(point: Mapping[str, Any]) -> str:
    return repr(sorted(point.items()))


def _shuffled(points: list[Point], rng: np.random.Generator) -> list[Point]:
    return [points[i] for i in rng.permutation(len(points))]


def _distribution(parameter: Choice | Range) -> BaseDistribution:
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
