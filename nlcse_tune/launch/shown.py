"""What Ray's dashboard, its log lines and `ps` show of our jobs and runs.

Ray writes down an actor's class, name and repr when the actor is made and never again, and an actor takes one run after
the other. What names a run is therefore its task: the dashboard's list of tasks has its name, and the actor's process
is called after it while it works.
"""

from collections.abc import Callable
from typing import Any

from nlcse_tune.launch import cluster  # noqa: F401 # sets Ray's environment before ray's import
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.plugins import RECORDED

from ray import tune  # isort: skip
from ray.tune.experiment import Trial  # isort: skip
from ray.tune.trainable.function_trainable import wrap_function  # isort: skip


def as_actor(function: Callable[[dict[str, Any]], None], study: str, *, reused: bool) -> type:
    """Tune's actor around the function of a trial: its class is Run, its repr the run, or where reused the study."""
    base: Any = wrap_function(function)

    def shown(self: Any) -> str:
        return f"runs of {study}" if reused else spec_of(self.config).title

    return type("Run", (base,), {"__repr__": shown, "__module__": __name__})


def spec_of(config: dict[str, Any]) -> RunSpec:
    """The run that a trial is about."""
    return RunSpec.model_validate(config["spec"], context=RECORDED)


class Naming(tune.Callback):
    """Calls each task of an actor after the run that the actor works for at the time."""

    def __init__(self) -> None:
        self.methods: dict[str, Any] = {}  # of each actor: its `train`, as Ray named it

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        actor: Any = trial.temporary_state.ray_actor
        train = self.methods.setdefault(actor._actor_id.hex(), actor.train)
        actor.train = train.options(name=spec_of(trial.config).title)
