"""What a search leaves on disk: the checkpoints of its best few runs, and whether there is room for them."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from nlcse_tune.config import SCRATCH, RunConfig
from nlcse_tune.errors import StorageError
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.search.selection import FIRST
from nlcse_tune.search.state import SearchState

_WEIGHTS = (("*.safetensors", "model.safetensors"), ("pytorch_model*.bin", "pytorch_model.bin"))


def clear_checkpoints(
    state: SearchState, keep: int, winner: str | None = None, repeats: Sequence[RunSpec] = ()
) -> None:
    """Deletes the checkpoints of all finished runs that this search began but the best `keep` and the winner.

    Those of `repeats` go too. Records stay, always. A run trained otherwise (`nlcse-tune train`) is left alone.
    """
    ids = [candidate.record.run_id for candidate in state.candidates()]
    kept = ids[:keep] if winner is None else [winner, *(name for name in ids if name != winner)][:keep]
    paths = [state.paths.run(name) for name in ids if name not in kept]
    for run in (*paths, *(spec.paths for spec in repeats)):
        if run.begun.is_file() and run.record.is_file():
            shutil.rmtree(run.folder, ignore_errors=True)


def check_space(state: SearchState, at_a_time: int, keep: int, seeds: int = 1) -> None:
    """StorageError where the disk has less room than the search will take, as far as that can be told beforehand."""
    weights = weights_bytes(state.study.config)
    if weights is None or len(state.done) >= state.trials:
        return
    restart = weights * (5 if state.study.config.side else 3)  # weights, and two moments an optimizer
    # A file is replaced by a new one beside it, so for a moment each restart point and each best model is there twice.
    # Repetitions keep theirs until their round ends.
    kept = keep if seeds == 1 else max(keep, FIRST) + FIRST
    needed = 2 * at_a_time * (restart + weights) + kept * weights
    free = shutil.disk_usage(_existing(state.paths.folder)).free
    if free < needed:
        raise StorageError(
            f"{state.paths.folder}: {_gib(free)} free, and this search takes about {_gib(needed)} ({at_a_time} runs "
            f"at a time, each with a restart point of {_gib(restart)} and a model, both twice while they are "
            f"replaced; {kept} kept models of {_gib(weights)}): free space, lower --keep or --concurrent, or "
            "choose another --out"
        )


def weights_bytes(config: RunConfig) -> int | None:
    """Bytes of the encoder's weights, from its files or its shape; None where they are not on this machine yet."""
    name = config.encoder.checkpoint
    if name == SCRATCH:
        shape = config.encoder.scratch
        return 4 * (12 * shape.layers * shape.hidden_size**2 + shape.vocab_size * shape.hidden_size)
    folder = Path(name)
    for pattern, hub_file in _WEIGHTS:
        local = [path.stat().st_size for path in folder.glob(pattern)]
        sizes = local if folder.is_dir() else _cached(name, hub_file)
        if sizes:
            return sum(sizes)
    return None


def _cached(name: str, file: str) -> list[int]:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, file)
    return [Path(found).stat().st_size] if isinstance(found, str) else []


def _existing(path: Path) -> Path:
    return next(folder for folder in (path.resolve(), *path.resolve().parents) if folder.exists())


def _gib(count: int) -> str:
    return f"{count / 2**30:.2g} GiB"
