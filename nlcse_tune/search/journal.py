"""The search as Optuna sees it, for people: a journal file for optuna-dashboard, and parameter importances.

Both are made from the records; nothing is decided by them. `optuna-dashboard runs/NAME/optuna.journal` shows it live.
"""

import random
from collections.abc import Mapping, Sequence

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from nlcse_tune.files import stored, writing
from nlcse_tune.records import RunRecord
from nlcse_tune.search.early_stopping import curve_of, score_at
from nlcse_tune.search.sampler import distributions
from nlcse_tune.search.state import Candidate, SearchState
from nlcse_tune.space import Point

SENT = 60.0  # seconds between two times that it is put into a store
MOST_RUNS = 256  # that importances are computed over
_STATES = {"completed": TrialState.COMPLETE, "stopped": TrialState.PRUNED, "failed": TrialState.FAIL}


class Journal:
    """One Optuna trial a run, with its dev curve. A file of an earlier call is added to; a damaged one is made anew."""

    def __init__(self, state: SearchState) -> None:
        self.path, self.known = state.paths.journal, distributions(state.space)
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.with_name(f"{self.path.name}.lock").unlink(missing_ok=True)  # left behind by a kill
            try:
                self._open(state)
            except OSError:
                raise
            except Exception:  # cut short, of another space, by another Optuna: records are the truth, not this file
                self.path.unlink(missing_ok=True)
                self._open(state)

    def _open(self, state: SearchState) -> None:
        self.study = optuna.create_study(
            study_name=state.study.name, direction="maximize", sampler=optuna.samplers.RandomSampler(),
            storage=JournalStorage(JournalFileBackend(str(self.path))), load_if_exists=True,
        )  # fmt: skip
        self.trials: dict[str, optuna.trial.Trial] = {}  # of runs that were under way when an earlier call ended
        told: dict[str, TrialState] = {}
        for trial in self.study.get_trials(deepcopy=False):
            run_id = trial.user_attrs["run"]
            if trial.state is TrialState.WAITING or any(self.known[n] != d for n, d in trial.distributions.items()):
                raise ValueError("killed before it had its values, or of a space that has changed since")
            if trial.state.is_finished():
                told[run_id] = trial.state
            else:
                self.trials[run_id] = optuna.trial.Trial(self.study, trial._trial_id)
        for run_id in self.trials.keys() & state.done.keys():
            self.end(run_id, state.done[run_id])
            told[run_id] = _STATES[state.done[run_id].status]
        new = [record for run_id, record in state.done.items() if told.get(run_id) != _STATES[record.status]]
        self.study.add_trials(self._trial(state.point_of(record.config), record) for record in new)

    def _trial(self, point: Point, record: RunRecord) -> optuna.trial.FrozenTrial:
        end, curve = _STATES[record.status], {dev.step: dev.score for dev in record.dev_curve}
        last = list(curve.values())[-1:]
        value = record.best_dev if end is TrialState.COMPLETE else last[0] if end is TrialState.PRUNED else None
        return optuna.trial.create_trial(
            state=end, value=value, params=point, distributions={name: self.known[name] for name in point},
            intermediate_values=curve, user_attrs={"run": record.run_id, "events": " | ".join(record.events)},
        )  # fmt: skip

    def begin(self, run_id: str, point: Point) -> None:
        """A run starts, or goes on."""
        if run_id in self.trials:
            return
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
            trial.set_user_attr("events", " | ".join(record.events) if record else "")
            self.study.tell(trial, record.best_dev if record and end is TrialState.COMPLETE else None, state=end)
        stored(self.path, every=SENT)


def importances(state: SearchState, candidates: Sequence[Candidate]) -> tuple[Mapping[str, float], int, float]:
    """Each field's share of the variance of dev scores, over how many runs, compared at which share of a run.

    fANOVA (Hutter et al. 2014) over the runs that have every field; no field below 4 such runs, or at equal scores. Of
    more than MOST_RUNS as many are drawn, by a fixed seed: its time grows with their square.
    Where some were stopped, all are compared at the share that each of them reached: those that finished alone are
    the survivors of the very fields in question.
    """
    known = distributions(state.space)
    scored = [c for c in candidates if c.record.dev_curve and set(c.point) == set(known)]
    if len(scored) > MOST_RUNS:
        scored = random.Random(0).sample(scored, MOST_RUNS)
    share = min((curve_of(c.record)[-1][0] for c in scored), default=1.0)
    values = [score_at(curve_of(c.record), share) for c in scored]
    if len(scored) < 4 or len(set(values)) == 1:  # too few, or nothing varies that could be shared out
        return {}, len(scored), share
    study = optuna.create_study(direction="maximize")
    for candidate, value in zip(scored, values, strict=True):
        study.add_trial(optuna.trial.create_trial(params=candidate.point, distributions=known, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
    return optuna.importance.get_param_importances(study, evaluator=evaluator), len(scored), share
