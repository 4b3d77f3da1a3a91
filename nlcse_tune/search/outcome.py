"""What a search leaves beside its records: its choice, the choice as a study that runs as it is, and a table."""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from nlcse_tune.errors import DataError
from nlcse_tune.files import write_text, yaml_text
from nlcse_tune.records import Choice, RunRecord
from nlcse_tune.search.state import Candidate, SearchState, repetitions

COLUMNS = ("dev", "dev_before", "best_step", "steps", "total_steps", "seconds", "seed", "error")


def write_choice(state: SearchState, best: Candidate, scores: Sequence[float]) -> None:
    """Writes what was chosen, by these dev scores of the search's seed and those after it."""
    record, former = best.record, frozenset[int]()
    with suppress(DataError):  # a choice that cannot be read does not keep a search from its end
        former = known.search_seeds if (known := Choice.read(state.paths.search)) else former
    choice = Choice(
        study=state.study.name,
        run_id=record.run_id,
        point=best.point,
        dev=record.best_dev,
        dev_by_seed={state.seed + i: score for i, score in enumerate(scores)},
        config=record.config,
        data=record.data,
        seed=state.seed,
        searched=len(state.done),
        checkpoint=str(state.paths.run(record.run_id).best.relative_to(state.paths.folder)),
    )
    former_seeds = tuple(sorted(former - choice.search_seeds))
    choice.model_copy(update={"former_seeds": former_seeds}).write(state.paths.search)


def write_best(state: SearchState, best: Candidate, scores: Sequence[float]) -> None:
    """Writes the study with the values chosen, whole and with absolute paths.

    It keeps its name, so that what it trains lies beside what the search trained. Published numbers are left out: they
    are of the study as its own file has it.
    """
    study = state.study.copied(config=state.study.configure(best.point))
    whole = study.model_dump(mode="json", exclude={"published"}, exclude_none=True)
    mean = f"{sum(scores) / len(scores):.2f} (n={len(scores)})"
    head = (
        f"# The best of the last search of {study.name}, which wrote this file: run {best.record.run_id}, dev {mean}.\n"
        "# It runs as it is: `nlcse-tune train` and `nlcse-tune seeds` take it in place of the study's name.\n"
    )
    write_text(state.paths.best, head + yaml_text(whole))


def write_trials(state: SearchState, seeds: int) -> None:
    """Writes one row per run: the search's own, best first, then the best few at its further seeds."""
    fields, stream = state.space.fields, io.StringIO()
    further = range(state.seed + 1, state.seed + seeds)
    records = [candidate.record for candidate in state.candidates()] + repetitions(state, further)
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(("run_id", "status", *fields, *COLUMNS))
    table.writerows(_row(state, record) for record in records)
    write_text(state.paths.trials, stream.getvalue())


def _row(state: SearchState, record: RunRecord) -> Iterator[Any]:
    """What `write_trials` says of one run; a field that this run's condition leaves out stays empty."""
    point = state.point_of(record.config)
    yield from (record.run_id, record.status, *(point.get(field) for field in state.space.fields))
    yield from (record.best_dev, record.dev_before, record.best_step, record.steps, record.total_steps)
    yield from (record.timings.total if record.timings else None, record.seed, record.error)
