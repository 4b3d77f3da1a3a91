"""What reaches a cluster's other machines beside this package, and what they must have. Imports no Ray.

The driver's side of it is in `launch/nodes.py`; the rest is called where a run is.
"""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

from nlcse_tune import __version__, storage
from nlcse_tune.config import SYNTHETIC, RunConfig
from nlcse_tune.config.fields import inputs, override
from nlcse_tune.data.catalog import dev_fingerprint, fingerprint, fingerprints, task_fingerprint
from nlcse_tune.data.manifest import manifest_path
from nlcse_tune.errors import DataError, StorageError
from nlcse_tune.files import holder
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import run_id
from nlcse_tune.versions import packages

MOST_BYTES = 100 * 10**6  # of inputs that travel, in all
INPUTS = "nlcse_inputs"  # the folder in which they do; Ray puts the one above it on the module path
TERMS = "NLCSE_TERMS"  # of a worker's environment: what the driver asks of its node
SHARE = "give --out a folder that all nodes share, or an address such as s3://bucket/runs"
_OF_RUNS = ("torch", "torchvision", "torchaudio", "transformers", "tokenizers", "numpy", "ray")
_SENTEVAL = ("STS", "SICK", "stsb_multi_mt")  # what runs read of an evaluation folder


def terms() -> dict[str, str]:
    """What this process asks of the nodes that its runs get to, as environment."""
    return {TERMS: json.dumps({"versions": _versions(), "holder": holder()})}


def check_node(spec: RunSpec) -> None:
    """DataError, naming this node, where a run cannot be here; nothing where no cluster was joined.

    The nodes that were up at the start were probed then; this is for one that came later.
    """
    if TERMS in os.environ:
        problems = wrong_here([spec.study], spec.store, spec)
        if not problems and run_id(spec.config, spec.seed, fingerprints(at_hand(spec.config))) != spec.run_id:
            raise DataError(
                f"node {socket.gethostname()}: inputs of the run are not those of the machine where the search was "
                "started; copy them there, or take the node out of the cluster"
            )
        if problems:
            raise DataError(f"node {socket.gethostname()}: {'; '.join(problems)}")


def wrong_versions() -> list[str]:
    """What is installed here in another version than where the search was started."""
    asked: dict[str, str] = json.loads(os.environ[TERMS])["versions"]
    here = _versions()
    return [
        f"{name} is {here.get(name) or 'not installed'} there and {version} where the search was started: install the "
        "same everywhere, since other versions give other numbers"
        for name, version in asked.items()
        if here.get(name) != version
    ]


@cache
def _versions() -> dict[str, str]:
    """Of what can change a run's numbers; of torch without the name of its build, which may differ by device."""
    installed = {name: version.split("+")[0] for name, version in packages().items() if name in _OF_RUNS}
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "nlcse-tune": __version__, **installed}


def wrong_here(studies: Sequence[StudyPaths], store: str | None, spec: RunSpec | None = None) -> list[str]:
    """What this node lacks for runs of the studies: the same versions, and their folders, or the `store` above them.

    A folder that only has the same name is found out, too: the driver holds a lock beside it, or on the run, and its
    own name stands in the lock's file.
    """
    driver = json.loads(os.environ[TERMS])["holder"]
    problems = wrong_versions()
    if store is not None and spec is None:  # a run meets it itself
        try:
            storage.probe(store)
        except StorageError as error:
            problems.append(str(error))
    for study in studies if store is None else ():
        locks = [study.lock, *([spec.paths.lock] if spec else [])]
        if not any(driver in _text(lock) for lock in locks):
            seen = "is another folder there than" if study.folder.is_dir() else "is not there, and is"
            problems.append(f"{study.folder} {seen} where the search was started: {SHARE}")
    return problems


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def paths(config: RunConfig) -> dict[str, Path]:
    """The files and folders that a run reads, by their fields."""
    return {field: Path(value) for field, value in inputs(config).items() if Path(value).is_absolute()}


def prints(config: RunConfig, *, tests: bool) -> dict[str, str]:
    """What each input of a run is here, by its field: a fingerprint; of what is absent something else."""
    found = {field: fingerprint(str(path)) for field, path in paths(config).items() if field != "eval.data"}
    if config.eval.data != SYNTHETIC:
        tasks = config.eval.tasks if tests else ()
        reads = [
            partial(dev_fingerprint, config.eval),
            *(partial(task_fingerprint, config.eval.data, t) for t in tasks),
        ]
        found["eval.data"] = " ".join(map(_or_absent, reads))
    return found


def _or_absent(read: Callable[[], str]) -> str:
    try:
        return read()
    except (OSError, DataError):
        return "absent"


def files_of(field: str, path: Path) -> list[Path]:
    """What would have to travel of an input."""
    if path.is_file():
        return [path]
    tops = [path / name for name in _SENTEVAL] if field == "eval.data" else [path]
    return [file for top in tops for file in top.rglob("*") if file.is_file()]


def pack(lacking: Iterable[tuple[str, Path]], folder: Path) -> Path:
    """Copies inputs below `folder`, as they travel; returns what travels."""
    for field, path in lacking:
        for file in files_of(field, path):
            there = folder / INPUTS / _key(path) / path.name / file.relative_to(path)
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, there)
        if (manifest := manifest_path(path)).is_file():  # what the run's record calls it
            shutil.copyfile(manifest, folder / INPUTS / _key(path) / manifest.name)
    return folder / INPUTS


def _key(path: Path) -> str:
    return hashlib.blake2b(str(path).encode(errors="surrogateescape"), digest_size=8).hexdigest()


def at_hand(config: RunConfig) -> RunConfig:
    """The configuration with what travelled in the place of what lies on the machine where the search was started."""
    there = {field: str(copy) for field, path in paths(config).items() for copy in _travelled(path)}
    return override(config, there) if there else config


def _travelled(path: Path) -> Iterator[Path]:
    came = importlib.util.find_spec(INPUTS)
    for root in (came.submodule_search_locations or []) if came else []:
        if (copy := Path(root) / _key(path) / path.name).exists():
            yield copy
