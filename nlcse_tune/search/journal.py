"""The search as Optuna sees it, for people: a journal file for optuna-dashboard, and parameter importances.

Both are made from the records and never read back. `optuna-dashboard runs/NAME/optuna.journal` shows it live.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nlcse_tune.files import writing
from nlcse_tune.records import RunRecord
from nlcse_tune.search.early_stopping import curve_of, score_at
from nlcse_tune.search.sampler import distributions
from nlcse_tune.search.state import Candidate, SearchState
from nlcse_tune.space import Point

_STATES = {"completed": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


class Journal:
    """One Optuna trial a run, with its dev curve."""

    def __init__(self, state: SearchState) -> None:
        path = state.paths.journal
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            for stale in (path, path.with_name(f"{path.name}.lock")):  # a lock is left behind by a kill
                stale.unlink(missing_ok=True)
            self.study = optuna.create_study(
                study_name=state.study.name, direction="maximize", sampler=optuna.samplers.RandomSampler(),
                storage=JournalStorage(JournalFileBackend(str(path))),
            )  # fmt: skip
        self.path, self.known = path, distributions(state.space)
        self.trials: dict[str, optuna.trial.Trial] = {}
        for candidate in reversed(state.candidates()):
            self.begin(candidate.record.run_id, candidate.point)
            self.end(candidate.record.run_id, candidate.record)

    def begin(self, run_id: str, point: Point) -> None:
        """A run starts."""
        with writing(self.path):
            self.study.enqueue_trial(point, user_attrs={"run": run_id})
            self.trials[run_id] = self.study.ask({name: self.known[name] for name in point})

    def update(self, record: RunRecord) -> None:
        """A run has a new dev score (or several, where it went on from a restart point)."""
        with writing(self.path):
            trial = self.trials[record.run_id]
            told = self.study._storage.get_trial(trial._trial_id).intermediate_values
            for point in record.dev_curve:
                if point.step not in told:
                    trial.report(point.score, point.step)

    def end(self, run_id: str, record: RunRecord | None) -> None:
        """A run ended, with its record; without one it stays as failed, since Optuna has no word for it."""
        if record is not None:
            self.update(record)
        trial = self.trials.pop(run_id)
        end = _STATES[record.status] if record else TrialState.FAIL
        with writing(self.path):
            for event in record.events if record else ():
                trial.set_user_attr("events", event)
            self.study.tell(trial, record.best_dev if record and end is TrialState.COMPLETE else None, state=end)


@dataclass(frozen=True)
class Importances:
    """Each searched field's share of the variance of dev scores over `runs` runs, compared at `share` of a run."""

    by_field: Mapping[str, float]
    runs: int
    share: float


def importances(state: SearchState, candidates: Sequence[Candidate]) -> Importances:
    """fANOVA (Hutter et al. 2014) over all runs that have every field; no field below 4 such runs, or at equal scores.

    Where some were stopped, all are compared at the share that each of them reached: those that finished alone are
    the survivors of the very fields in question.
    """
    known = distributions(state.space)
    scored = [c for c in candidates if c.record.dev_curve and set(c.point) == set(known)]
    share = min((curve_of(c.record)[-1][0] for c in scored), default=1.0)
    values = [score_at(curve_of(c.record), share) for c in scored]
    if len(scored) < 4 or len(set(values)) == 1:  # too few, or nothing varies that could be shared out
        return Importances({}, len(scored), share)
    study = optuna.create_study(direction="maximize")
    for candidate, value in zip(scored, values, strict=True):
        study.add_trial(optuna.trial.create_trial(params=candidate.point, distributions=known, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return Importances(optuna.importance.get_param_importances(study, evaluator=evaluator), len(scored), share)
