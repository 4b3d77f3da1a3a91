"""What a run's inputs are, by content: the fingerprints that name a run and guard every comparison."""

import hashlib
from pathlib import Path

from nlcse_tune.config import SCRATCH, SYNTHETIC, RunConfig, StsTask
from nlcse_tune.data import synthetic
from nlcse_tune.data.sts import dev_files, task_files


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
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        digest.update(f"{file.relative_to(path).as_posix()} {file.stat().st_size}\n".encode())
    return digest.hexdigest()


def _content(files: list[Path]) -> str:
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
    prints["dev"] = synthetic.VERSION if config.eval.data == SYNTHETIC else _content(dev_files(config.eval.data))
    if config.side:
        prints["side"] = fingerprint(config.side.data)
        if config.side.checkpoint:
            prints["side_checkpoint"] = fingerprint(config.side.checkpoint)
    return prints


def task_fingerprint(data: str, task: StsTask) -> str:
    """Fingerprint of one test set."""
    return synthetic.VERSION if data == SYNTHETIC else _content(task_files(data, task))
