"""A study's records together: those that can be believed, and the log of its test sets' openings.

Records are the truth that searches, seed studies and reports go by. A file that is cut short, misplaced, of a newer
version or changed is no record: it is named and left out, and blocks nothing.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from nlcse_tune.errors import DataError
from nlcse_tune.files import fetch, fetch_folder, moved, write_text, writing
from nlcse_tune.paths import LAST, POOLING_FILE, RunPaths, StudyPaths, run_of
from nlcse_tune.records import Opening, RunRecord, TestRecord, now
from nlcse_tune.saved_model import damage


class Ledger(NamedTuple):
    """The run records of a study, oldest first, and why each other file in their folder is not one of them."""

    runs: list[RunRecord]
    left_out: list[str]


def ledger(paths: StudyPaths) -> Ledger:
    """Every run record of a study that can be believed; a file that is unreadable or misplaced blocks no other."""
    runs, left_out = [], []
    for path in sorted(paths.records.glob("*.json")):
        try:
            if (record := _believed(path)) is not None:
                runs.append(record)
        except DataError as error:
            left_out.append(str(error))
    return Ledger(sorted(runs, key=lambda record: (record.finished, record.run_id)), left_out)


def _believed(path: Path) -> RunRecord | None:
    record = RunRecord.read(path)
    if record is not None and (why := record.misfit(path.stem)) is not None:
        raise DataError(f"{path}: {why}; {RunRecord.advice}")
    return record


def kept_record(paths: RunPaths) -> RunRecord | None:
    """The record of one run; None where there is none that can be believed."""
    with suppress(DataError):
        return _believed(paths.record)
    return None


def keep_record(record: RunRecord, paths: RunPaths) -> RunRecord:
    """Writes the record of one run. What lies in its place and is no record of it is moved aside, and that is said."""
    if paths.record.is_file() and kept_record(paths) is None:
        aside = paths.record.with_name(f"{paths.record.name}.left-out-{datetime.now(UTC):%Y%m%d-%H%M%S}")
        with writing(paths.record):
            paths.record.rename(aside)
        moved(paths.record, aside)
        record = record.model_copy(update={"events": (*record.events, f"no record of this run, moved to {aside.name}")})
    record.write(paths.record)
    return record


def believed_test(path: Path, record: RunRecord) -> TestRecord | None:
    """The test scores of `record` in a file; None where there is none, DataError where they cannot be believed."""
    test = TestRecord.read(path)
    if test is not None and (why := test.misfit(record)) is not None:
        raise DataError(f"{path}: {why}; {TestRecord.advice}")
    return test


def kept_test(paths: RunPaths, record: RunRecord) -> TestRecord | None:
    """The test scores of `record`, which lies at `paths`; None where there are none that can be believed."""
    with suppress(DataError):
        return believed_test(paths.test, record)
    return None


def log_opening(paths: StudyPaths, opening: Opening, run_id: str) -> None:
    """Notes that test sets are about to be read to score a run: a file of its own, never rewritten.

    Not a line of one file for all: workers on several machines write at once, and no object store can add to a file.
    """
    path = paths.openings / f"{opening.call}-{run_id}.json"
    fetch(path)
    if not path.exists():  # a call that was interrupted over this run scores it anew
        opening = opening.model_copy(update={"time": now(), "runs": (run_id,)})
        write_text(path, opening.model_dump_json() + "\n")


def read_openings(paths: StudyPaths) -> tuple[list[Opening], int]:
    """Each command that opened the study's test sets, oldest first, with all the runs that it scored.

    And the number of them that cannot be read.
    """
    openings: dict[str, Opening] = {}
    unreadable = 0
    for number, text in enumerate(_opening_texts(paths)):
        try:
            one = Opening.model_validate_json(text)
        except ValidationError:
            unreadable += 1
            continue
        key = one.call or str(number)  # early versions wrote one line a command
        earlier = openings.setdefault(key, one)
        first, runs = min(earlier.time, one.time), tuple(dict.fromkeys((*earlier.runs, *one.runs)))
        openings[key] = earlier.model_copy(update={"time": first, "runs": runs})
    return sorted(openings.values(), key=lambda opening: opening.time), unreadable


def _opening_texts(paths: StudyPaths) -> Iterator[bytes]:
    with suppress(FileNotFoundError):
        yield from filter(None, paths.opening_lines.read_bytes().splitlines())
    for path in sorted(paths.openings.glob("*.json")):
        yield path.read_bytes()


def is_whole(record: RunRecord, paths: RunPaths) -> bool:
    """Whether a run was trained to its end and its best model is still there, as it was written."""
    if record.status != "completed" or not paths.best.exists():
        return False
    fetch_folder(paths.folder)
    return paths.best.exists() and damage(paths.best, record.best_model) is None


def check_model(folder: Path) -> None:
    """Raises DataError where a model is not as it was written, or not the one that a study's record names."""
    fetch_folder(folder.absolute().parent)
    record = kept_record(paths) if (paths := run_of(folder)) and not is_under_way(paths) else None
    digest = record.best_model if record and record.status == "completed" else None
    if (why := damage(folder, digest)) is not None:
        own = f"if you changed it on purpose, delete `files` in its {POOLING_FILE}"
        again = "`nlcse-tune train` with its study (or its search's best.yaml) and seed trains its run again"
        raise DataError(f"{folder}: the model is not as it was written: {why}; {own if digest is None else again}")


def is_under_way(paths: RunPaths) -> bool:
    """Whether a run has restart points: its best model may be a better one than an earlier record names."""
    return any(paths.folder.glob(f"{LAST}-*.pt"))
