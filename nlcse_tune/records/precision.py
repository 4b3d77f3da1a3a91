"""What `train.precision: auto` came to in a study's folder, where it holds from then on.

A run's id has the precision in it. Found anew by each command, a search begun on a GPU and gone on with on a laptop
would train everything again in fp32, and a report there would mix the two.
"""

from pathlib import Path
from typing import Literal

from nlcse_tune.errors import RunError
from nlcse_tune.files import fetch, in_turn
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Stored, now
from nlcse_tune.records.ledger import ledger


class HeldPrecision(Stored):
    """What was found first, and on what."""

    advice = "delete it to have it found anew"

    precision: Literal["fp32", "bf16", "fp16"]
    device: str  # in a few words
    time: str

    @classmethod
    def found(cls, precision: Literal["fp32", "bf16", "fp16"], device: str) -> "HeldPrecision":
        return cls(precision=precision, device=device, time=now())


def held_precision(paths: StudyPaths) -> HeldPrecision | None:
    """What holds in a study's folder: as it was written there or, where runs are older than that, fp16 of theirs.

    Before there was `auto` all shipped studies said fp16, unless one asked for another; these keep their runs.
    """
    fetch(paths.precision)
    if (kept := HeldPrecision.read(paths.precision)) is not None:
        return kept
    earlier = (record for record in ledger(paths).runs if record.versions.numerics == "1")
    if any(record.config.train.precision == "fp16" for record in earlier):
        return HeldPrecision.found("fp16", f"the runs in {paths.folder}")
    return None


def hold(paths: StudyPaths, found: HeldPrecision) -> None:
    """Writes what was found, for good; whoever calls holds the study's lock. RunError where another holds already."""
    turn: Path = paths.folder / ".precision"  # trainings share the study's lock
    with in_turn(turn):
        kept = held_precision(paths)
        if kept is not None and kept.precision != found.precision:
            raise RunError(
                f"{paths.folder}: was begun in {kept.precision} ({kept.device}) meanwhile, and this command found "
                f"{found.precision} ({found.device}); the same command goes on in {kept.precision}"
            )
        if not paths.precision.exists():
            found.write(paths.precision)
