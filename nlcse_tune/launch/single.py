"""One run of a study, outside any search: `nlcse-tune train`."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace

from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.check import check_inputs
from nlcse_tune.errors import RunError
from nlcse_tune.files import fetch, locked
from nlcse_tune.launch.call import Calling
from nlcse_tune.launch.events import Audience, Watcher
from nlcse_tune.launch.precision import settle
from nlcse_tune.launch.spec import Launch, Needs, RunSpec, run_spec
from nlcse_tune.launch.worker import run_here, run_on_workers
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import DevPoint, RunRecord
from nlcse_tune.records.ledger import is_whole, kept_record
from nlcse_tune.study import Study


def train_one(
    study: Study,
    paths: StudyPaths,
    seed: int,
    launch: Launch = Launch(),  # noqa: B008
    *,
    on_point: Callable[[DevPoint], None] = lambda point: None,
    note: Callable[[str], None] = lambda text: None,
    watchers: Sequence[Watcher] = (),
    profile: bool = False,
) -> RunRecord:
    """The record of the study's own configuration at `seed`, trained unless it is there with its best model.

    A run that a search stopped early, or whose model it cleared away, is trained to its end. `on_point` is told each
    dev score of a run in this process; `watchers`, in another thread, how far it is. `profile` traces some steps.
    RunError where a search or a seed study works on this folder, or another process on this run.
    """
    data = fingerprints(study.config)
    with ExitStack() as stack:
        stack.enter_context(locked(paths.lock, str(paths.folder), shared=True))
        study = settle(study, paths, None if launch.workers == 1 else launch, note)
        spec = run_spec(paths, study.config, seed, data).model_copy(update={"profile": profile})
        stack.enter_context(locked(spec.paths.lock, f"run {spec.run_id}"))
        fetch(spec.paths.record, mine=True)
        record = kept_record(spec.paths)
        if record and (record.status == "failed" or is_whole(record, spec.paths)):
            if profile:
                raise RunError(f"--profile: {spec.run_id} is on record already; give another --seed or --out")
            return record
        check_inputs([study.config])
        audience = Audience(watchers, note)
        with Calling([paths], "train", lambda: audience.look([spec]), runs=1) as calling:
            audience.watchers.append(calling)
            audience.expected([1], 1)
            audience.begun(spec)
            audience.placed(spec)
            record = None

            def report(so_far: RunRecord | None) -> None:
                if so_far is not None:
                    on_point(so_far.dev_curve[-1])
                    audience.scored(spec, so_far)

            try:
                record = _train(spec, launch, calling, report)
                return record
            finally:
                audience.ended(spec, record)
                audience.closed()


def _train(spec: RunSpec, launch: Launch, calling: Calling, report: Callable[[RunRecord | None], None]) -> RunRecord:
    if launch.workers == 1:
        calling.say(at_a_time=1)
        return run_here(spec, report)
    from nlcse_tune.launch.pool import open_pool  # Ray, which one worker does without

    with open_pool(replace(launch, concurrent=1), Audience(), Needs((spec.study,), (spec.config,))) as pool:
        calling.say(at_a_time=1, dashboard=pool.dashboard, address=launch.address)
        return run_on_workers(spec, pool.resources)
