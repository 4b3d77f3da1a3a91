"""What a run keeps on disk: two restart points and the best model (paths.py names them), each replaced in one motion.

A restart point holds everything needed to go on: weights, both optimizers and schedules, scaler, step, dev curve. Its
name ends in the digest of its bytes. The last two are kept: where the newer one is damaged a run goes on from the
older one, and where both are, anew. The best model is a link, moved when a better one is complete, to the folder of
its step (best-000250): the encoder of the best dev score so far, as a Hugging Face folder with its pooling.
"""

import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from nlcse_tune.errors import DataError
from nlcse_tune.files import writing
from nlcse_tune.models.encoder import SentenceEncoder, save_encoder, writing_model
from nlcse_tune.paths import BEST, LAST
from nlcse_tune.saved_model import damage, file_digest

LAYOUT = 2  # of a restart point; raised when the names of its parts change


class RestartPoint(NamedTuple):
    """Where a restart point lies, and the step of the best model that a run going on from it needs."""

    path: Path
    best_step: int | None


def best_folder(folder: Path, step: int) -> Path:
    """Where the best model of `step` lies in a run's folder."""
    return folder / f"{BEST}-{step:06d}"


class Checkpoints:
    """The checkpoints in a run's folder, as its leading worker writes them. `run` says which run they must be of."""

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self.run = folder, run
        self.points: list[RestartPoint] = []  # those that can be gone on from, the newest first

    def find(self) -> tuple[Path | None, list[str]]:
        """The newest restart point that is whole, as is its best model; and what was wrong with newer ones.

        Makes the folder agree with it. A kill leaves half-written files behind, and may fall between a better model
        and the next restart point: the link then names a model that the run has not seen yet.
        """
        events = []
        with writing(self.folder):
            for path in sorted(self.folder.glob(f"{LAST}[-.]*pt"), reverse=True):  # last.pt: of an early version
                try:
                    self.points.append(RestartPoint(path, self._checked(path)))
                except DataError as error:
                    events.append(f"restart point {path.name} discarded: {error}")
                    path.unlink(missing_ok=True)
            if events and not self.points:
                events.append("no other restart point: begun anew")
            for leftover in (*self.folder.glob(f".{LAST}*"), *self.folder.glob(f".{BEST}*")):
                _remove(leftover)
            newest = self.points[0] if self.points else RestartPoint(Path(), None)
            if newest.best_step is not None:
                _point(self.folder / BEST, best_folder(self.folder, newest.best_step))
            else:
                _remove(self.folder / BEST)
            self._drop_former()
        return (newest.path if self.points else None), events

    def _checked(self, path: Path) -> int | None:
        """The step of the restart point's best model; DataError where a run cannot go on from it."""
        progress = load_restart(path, "cpu", self.run)["progress"]
        if progress["best"] is None:
            return None
        step = int(progress["best"]["step"])
        if (why := damage(best_folder(self.folder, step), progress["best_model"])) is not None:
            raise DataError(f"its best model is not as it was written: {why}")
        return step

    def save_restart(self, state: dict[str, Any], step: int, best_step: int | None) -> None:
        """Writes a restart point and drops the third last; a kill at any moment leaves the others whole."""
        unfinished = self.folder / f".{LAST}.unfinished"
        with writing_model(unfinished):
            with unfinished.open("wb") as stream:
                torch.save({**state, "run": self.run, "layout": LAYOUT}, stream)
                stream.flush()
                os.fsync(stream.fileno())
            path = self.folder / f"{LAST}-{step:06d}-{file_digest(unfinished)}.pt"
            unfinished.replace(path)
        for former in self.points[1:]:
            former.path.unlink(missing_ok=True)
        self.points = [RestartPoint(path, best_step), *self.points[:1]]
        self._drop_former()

    def save_best(self, encoder: SentenceEncoder, step: int) -> str | None:
        """Writes the best model beside the former one, then moves the link; its digest."""
        folder = best_folder(self.folder, step)
        unfinished = folder.with_name(f".{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        with writing_model(folder):
            saved = save_encoder(encoder, unfinished)
            shutil.rmtree(folder, ignore_errors=True)
            unfinished.replace(folder)
            _point(self.folder / BEST, folder)
        self._drop_former(step)
        return saved.digest

    def _drop_former(self, newest: int | None = None) -> None:
        drop_former_best(self.folder, newest, *(point.best_step for point in self.points))


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)


def _point(link: Path, folder: Path) -> None:
    new_link = link.with_name(f".{link.name}.new")
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(folder.name)
    if not link.is_symlink():  # a copy of the folder whose links were followed
        _remove(link)
    os.replace(new_link, link)


def load_restart(path: Path, device: str, run: str) -> dict[str, Any]:
    """What `save_restart` wrote for `run`; DataError where this is not it, byte for byte.

    Anything else that goes wrong, such as MemoryError where there is none left to load it into, says nothing of the
    file: it is not to be discarded for that.
    """
    if file_digest(path) != path.stem.rpartition("-")[2]:
        raise DataError("its bytes are not those that were written")
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise MemoryError(str(error)) if "allocate" in str(error) else error from None
    if state.get("run") != run:
        raise DataError(f"it is of another run, {state.get('run')}")
    if state.get("layout") != LAYOUT:
        raise DataError("another version of this code wrote it")
    return state


def drop_former_best(folder: Path, *keep: int | None) -> None:
    """Deletes the best models of all steps but those of `keep`: the newest, and those a restart would go back to."""
    names = {best_folder(folder, step).name for step in keep if step is not None}
    for former in folder.glob(f"{BEST}-*"):
        if former.name not in names:
            shutil.rmtree(former, ignore_errors=True)


def finish(folder: Path, best_step: int | None) -> None:
    """Clears away all but the best model, once the run's record is written.

    Not before: a kill between the two would cost the whole run, or its best model.
    """
    drop_former_best(folder, best_step)
    for path in folder.glob(f"{LAST}-*.pt"):
        path.unlink(missing_ok=True)
