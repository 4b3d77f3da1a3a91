"""What a run keeps on disk: the restart point and the best model (paths.py names both), each replaced in one motion.

The restart point holds everything needed to go on: weights, both optimizers and schedules, scaler, step, dev curve.
The best model is a link, moved when a better one is complete, to the folder of its step (best-000250): the encoder of
the best dev score so far, as a Hugging Face folder with its pooling.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError

from nlcse_tune.errors import RunError
from nlcse_tune.files import replacing, writing
from nlcse_tune.models.encoder import SentenceEncoder, save_encoder
from nlcse_tune.paths import BEST, LAST


def save_last(path: Path, state: dict[str, Any]) -> None:
    """Writes the restart point; a kill at any moment leaves the previous one whole."""
    with _writing(path), replacing(path) as temporary:
        torch.save(state, temporary)


def load_last(path: Path, device: str) -> dict[str, Any]:
    """The restart point that `save_last` wrote."""
    try:
        return torch.load(path, map_location=device, weights_only=True)  # type: ignore[no-any-return]
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise RunError(f"{path}: not a readable restart point ({error}); delete it to start this run anew") from None


def best_folder(link: Path, step: int) -> Path:
    """Where the best model of `step` lies; `link` is RunPaths.best."""
    return link.with_name(f"{link.name}-{step:06d}")


def save_best(link: Path, encoder: SentenceEncoder, step: int) -> None:
    """Writes the best model beside the former one, then moves the link."""
    folder = best_folder(link, step)
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    with _writing(folder):
        save_encoder(encoder, unfinished)
        shutil.rmtree(folder, ignore_errors=True)
        unfinished.replace(folder)
        _point(link, folder)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """As `files.writing`: a full disk is a SafetensorError to safetensors and a RuntimeError to torch.save."""
    with writing(path):
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except (SafetensorError, RuntimeError) as error:
            raise OSError(str(error).strip().splitlines()[-1]) from error


def _point(link: Path, folder: Path) -> None:
    new_link = link.with_name(f".{link.name}.new")
    new_link.unlink(missing_ok=True)
    new_link.symlink_to(folder.name)
    os.replace(new_link, link)


def clean_up(link: Path, best_step: int | None) -> None:
    """Makes the folder of a killed run agree with its restart point, whose best step this is.

    A kill leaves half-written files behind, and may fall between a better model and the next restart point: the
    link then names a model that the run, going on from that restart point, has not seen yet.
    """
    for leftover in (*link.parent.glob(f".{LAST}.*"), *link.parent.glob(f".{link.name}[-.]*")):
        shutil.rmtree(leftover) if leftover.is_dir() and not leftover.is_symlink() else leftover.unlink()
    if best_step is not None:
        _point(link, best_folder(link, best_step))
    else:
        link.unlink(missing_ok=True)
    drop_former_best(link, best_step)


def drop_former_best(link: Path, *keep: int | None) -> None:
    """Deletes the best models of all steps but those of `keep`: the newest, and the one a restart would go back to."""
    names = {best_folder(link, step).name for step in keep if step is not None}
    for folder in link.parent.glob(f"{link.name}-*"):
        if folder.name not in names:
            shutil.rmtree(folder, ignore_errors=True)


def finish(folder: Path, best_step: int | None) -> None:
    """Clears away all but the best model, once the run's record is written.

    Not before: a kill between the two would cost the whole run, or its best model.
    """
    drop_former_best(folder / BEST, best_step)
    (folder / LAST).unlink(missing_ok=True)
