"""What a run's inputs are, by content: the fingerprints that name a run and guard every comparison."""

import hashlib
from contextlib import suppress
from pathlib import Path

from nlcse_tune.config import SCRATCH, SYNTHETIC, RunConfig, StsTask
from nlcse_tune.data import synthetic
from nlcse_tune.data.sts import Split, task_files
from nlcse_tune.errors import StorageError
from nlcse_tune.files import write_text
from nlcse_tune.paths import cache_folder

REMEMBERED_FROM = 1_000_000  # bytes; less is read in a moment


def fingerprint(value: str) -> str:
    """16 hex digits for a file or folder; a name that is neither (a hub name, `scratch`) stands for itself.

    Files count by content; folders by the sorted names and sizes of their files, since side data can be many
    gigabytes; a model folder by content, since checkpoints of one shape share names and sizes.
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
    return hashlib.blake2b(names.encode(), digest_size=8).hexdigest()


def _content(files: list[Path]) -> str:
    """The digest of the files' names and bytes: of big ones once, until one of them is changed or replaced."""
    states = [path.stat() for path in files]
    if sum(state.st_size for state in states) < REMEMBERED_FROM:
        return _digest(files)
    # The name too: it is part of the digest, and that of a link is not that of its file.
    versions = [
        (path.name, str(path.resolve()), state.st_size, state.st_mtime_ns, state.st_ino)
        for path, state in zip(files, states, strict=True)
    ]
    remembered = cache_folder() / "fingerprints" / hashlib.blake2b(repr(versions).encode(), digest_size=16).hexdigest()
    with suppress(OSError):
        return remembered.read_text()
    digest = _digest(files)
    with suppress(StorageError):
        write_text(remembered, digest)
    return digest


def _digest(files: list[Path]) -> str:
    digest = hashlib.blake2b(digest_size=8)
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def fingerprints(config: RunConfig) -> dict[str, str]:
    """Fingerprint of every input of a run: encoder, text, dev set, and the side's where there is one."""
    prints = {"encoder": fingerprint(config.encoder.checkpoint), "text": fingerprint(config.text.data)}
    prints["dev"] = task_fingerprint(config.eval.data, "stsb", "dev")
    if config.side:
        prints["side"] = fingerprint(config.side.data)
        if config.side.checkpoint:
            prints["side_checkpoint"] = fingerprint(config.side.checkpoint)
    return prints


def task_fingerprint(data: str, task: StsTask, split: Split = "test") -> str:
    """Fingerprint of the files that an evaluation set is read from."""
    return synthetic.VERSION if data == SYNTHETIC else _content(task_files(data, task, split))
