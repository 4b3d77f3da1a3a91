"""What a search leaves on disk: the checkpoints of its best few runs, and whether there is room for them."""

import shutil
from collections.abc import Iterable
from pathlib import Path

from nlcse_tune.config import SCRATCH, RunConfig
from nlcse_tune.errors import StorageError, plural
from nlcse_tune.files import gone, keeper_of
from nlcse_tune.paths import RunPaths
from nlcse_tune.records.ledger import kept_record
from nlcse_tune.search.selection import FIRST
from nlcse_tune.search.state import SearchState

_WEIGHTS = (("*.safetensors", "model.safetensors"), ("pytorch_model*.bin", "pytorch_model.bin"))


def clear_checkpoints(state: SearchState, keep: int, winner: str | None = None) -> None:
    """Clears the checkpoints of all runs but the best `keep`; the winner is one of them, however it scored."""
    ids = [candidate.record.run_id for candidate in state.candidates()]
    clear(state.paths.run(name) for name in sorted(ids, key=lambda name: name != winner)[keep:])


def clear(runs: Iterable[RunPaths]) -> None:
    """Deletes the checkpoints of finished runs that a search began (not `nlcse-tune train`); records stay, always."""
    for run in runs:
        if run.begun.is_file() and kept_record(run) is not None:
            shutil.rmtree(run.folder, ignore_errors=True)
            gone(run.folder, whole_folder=True)


def check_space(state: SearchState, at_a_time: int, keep: int, seeds: int) -> None:
    """StorageError where the disk has less room than the search will take, as far as that can be told beforehand."""
    weights = weights_bytes(state.study.config)
    if weights is None or len(state.done) >= state.trials:
        return
    restart = weights * (3 + 2 * len(state.study.config.sides))  # weights, and two moments an optimizer
    # A run has two restart points and their best models, and the next of each is written beside them. Repetitions keep
    # their models until their round ends.
    kept = keep if seeds == 1 else max(keep, FIRST) + FIRST
    needed = 3 * at_a_time * (restart + weights) + kept * weights
    folder, keeper = state.paths.folder.resolve(), keeper_of(state.paths.folder)
    place, other = (keeper.folder.parent, "NLCSE_CACHE") if keeper else (state.paths.folder, "--out")
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    if free < needed:
        raise StorageError(
            f"{place}: {_gib(free)} free, and this search takes about {_gib(needed)} "
            f"({plural(at_a_time, 'run')} at a time, each with two restart points of {_gib(restart)} and their models, "
            f"and a third of both while it is written; {kept} kept models of {_gib(weights)}): free space, lower "
            f"--keep or --concurrent, or choose another {other}"
        )


def weights_bytes(config: RunConfig) -> int | None:
    """Bytes of the encoder's weights, from its files or its shape; None where they are not on this machine yet."""
    name = config.encoder.checkpoint
    if name == SCRATCH:
        shape = config.encoder.scratch
        return 4 * (12 * shape.layers * shape.hidden_size**2 + shape.vocab_size * shape.hidden_size)
    from huggingface_hub import try_to_load_from_cache

    folder = Path(name)
    for pattern, hub_file in _WEIGHTS:
        cached = None if folder.is_dir() else try_to_load_from_cache(name, hub_file)
        if files := [Path(cached)] if isinstance(cached, str) else list(folder.glob(pattern)):
            return sum(path.stat().st_size for path in files)
    return None


def _gib(count: int) -> str:
    return f"{count / 2**30:.2g} GiB"
