"""What a run's inputs are, by content: the fingerprints that name a run and guard every comparison."""

import hashlib
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nlcse_tune.config import SCRATCH, SYNTHETIC, EvalConfig, RunConfig, StsTask
from nlcse_tune.config.fields import sides_read
from nlcse_tune.data import synthetic
from nlcse_tune.data.decode import DECODING, NOISE
from nlcse_tune.data.lines import FETCH, MissingDataError
from nlcse_tune.data.sts import Split, multilingual_file, multilingual_folder, task_files
from nlcse_tune.errors import StorageError
from nlcse_tune.files import write_text
from nlcse_tune.paths import cache_folder
from nlcse_tune.plugins import with_packages

REMEMBERED_FROM = 1_000_000  # bytes; less is read in a moment
# Seconds since a file's last change from which on another one would show in its times: these advance by up to 10 ms on
# Linux's file systems, by 1 to 2 s on some others.
SETTLED = 3.0


def fingerprint(value: str) -> str:
    """16 hex digits for a file or folder; a name that is neither (a hub name, `scratch`) stands for itself.

    Files and model folders count by content (checkpoints of one shape share names and sizes); other folders, which can
    be many gigabytes, by the sorted names and sizes of their files.
    """
    if value == SYNTHETIC:
        return synthetic.VERSION
    path = Path(value)
    if value == SCRATCH or not path.exists():
        return value
    if path.is_file():
        return _content([path])
    if (path / "config.json").is_file():
        return _content(sorted(p for p in path.iterdir() if p.suffix in (".json", ".safetensors", ".bin", ".txt")))
    files = sorted(p for p in path.rglob("*") if p.is_file())
    names = "".join(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n" for file in files)
    return hashlib.blake2b(names.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def _content(files: list[Path]) -> str:
    """The digest of the files' names and bytes: of big ones once, until one of them is changed or replaced."""
    return remembered("fingerprints", files, lambda: _digest(files))


def remembered(kind: str, files: list[Path], work: Callable[[], str], *, under: str = "") -> str:
    """What `work` says of big files, kept until one of them is changed or replaced; of small ones always anew.

    `under` names what else the answer hangs on. Of a file that was changed a moment ago nothing is kept: it may change
    again, while `work` reads it or after, without a change of its times.
    """
    states, asked = [path.stat() for path in files], time.time()
    if sum(state.st_size for state in states) < REMEMBERED_FROM:
        return work()
    # The name too: it is part of the digest, and that of a link is not that of its file. And the time of change that no
    # program can set, as rsync and tar set the other.
    versions = [
        (path.name, str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        for path, state in zip(files, states, strict=True)
    ]
    key = hashlib.blake2b((repr(versions) + under).encode(), digest_size=16).hexdigest()
    memory = cache_folder() / kind / key
    with suppress(OSError):
        return memory.read_text()
    answer = work()
    if all(asked - state.st_ctime > SETTLED for state in states):
        with suppress(StorageError):
            write_text(memory, answer)
    return answer


def _digest(files: list[Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()


def fingerprints(config: RunConfig) -> dict[str, str]:
    """Fingerprint of every input of a run: encoder, text, dev set, and the side's where there is one.

    MissingDataError without the dev set, which has no name of its own to stand for it.
    """
    prints = {"encoder": fingerprint(config.encoder.checkpoint), "text": fingerprint(config.text.data)}
    try:
        prints["dev"] = dev_fingerprint(config.eval)
    except FileNotFoundError as error:
        raise MissingDataError(f"{error.filename}: not found: {FETCH}, or set eval.data") from None
    for place, side in sides_read(config).items():
        prints[place] = fingerprint(side.data)
        if side.modality == "image" and side.data != SYNTHETIC:
            prints["decoding"] = DECODING
        if side.control == "noise":
            prints["noise"] = str(NOISE)
        if side.checkpoint:
            prints[place.replace("side", "side_checkpoint")] = fingerprint(side.checkpoint)
    return with_packages(prints, config.sides)


def dev_fingerprint(config: EvalConfig) -> str:
    """Fingerprint of the file that dev scores come from."""
    if config.language:
        return _content([multilingual_file(multilingual_folder(config.data), config.language)])
    return task_fingerprint(config.data, "stsb", "dev")


def task_fingerprint(data: str, task: StsTask, split: Split = "test") -> str:
    """Fingerprint of the files that an evaluation set is read from."""
    return synthetic.VERSION if data == SYNTHETIC else _content(task_files(data, task, split))
