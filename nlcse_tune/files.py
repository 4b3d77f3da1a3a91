"""Reading YAML and writing files so that a kill at any moment leaves either the old file or the new one."""

import fcntl
import io
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import YAMLError

from nlcse_tune.errors import ConfigError, RunError, StorageError

YAML_DEPTH = 32  # mappings and lists in one another; a study has 4


def parse_yaml(text: str, *, where: str) -> Any:
    """The value that `text` holds; ConfigError with line and column where it is not YAML, or a key stands twice.

    YAML 1.2: to PyYAML, which follows 1.1, `3e-5` is a string; people who write learning rates mean a number.
    """
    reader = YAML(typ="safe", pure=True)
    reader.max_depth = YAML_DEPTH  # else it ends in a RecursionError
    try:
        return reader.load(text)
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        why = getattr(error, "problem", error)
        if isinstance(error, MaxDepthExceededError):
            why = f"nested more than {YAML_DEPTH} deep; write it flatter"
        raise ConfigError(f"{where}:{place} not readable as YAML: {why}") from None


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        raw = parse_yaml(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, got {type(raw).__name__}")
    return raw


def yaml_text(value: Mapping[str, Any]) -> str:
    """`value` as YAML that `parse_yaml` reads back, its keys in the order that they have."""
    yaml, stream = YAML(typ="safe", pure=True), io.StringIO()
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(dict(value), stream)
    return stream.getvalue()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes `path` or into it: an OSError becomes a StorageError."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        raise StorageError(f"{path}: cannot be written: {why}; free space or choose another --out") from error


def unreadable(path: Path, error: OSError) -> StorageError:
    """What to say of a file that is there and cannot be read at the moment."""
    return StorageError(f"{path}: cannot be read: {error.strerror or error}; see to the disk, then try again")


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path` and puts what was written there in its place at the end.

    Where it need not be `durable`, a power cut may leave the old file or an empty one; a kill never does.

    Its permissions are what the user's umask leaves of 0666. The kernel applies it as the file is made; to ask for the
    umask would be to set it, for every thread of the process.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        temporary.touch(mode=0o666, exist_ok=False)
        try:
            yield temporary
            if durable:
                with temporary.open("rb+") as stream:
                    os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Atomically writes UTF-8 text."""
    with replacing(path, durable=durable) as temporary:
        temporary.write_text(text, encoding="utf-8")


def keep_umask(folder: Path, like: Path) -> None:
    """Gives the weights in `folder` the permissions of `like`, which was made under the user's umask.

    safetensors makes its files 0600, whatever the umask.
    """
    for weights in folder.rglob("*.safetensors"):
        shutil.copymode(like, weights)


@contextmanager
def locked(path: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock file `path`; RunError, naming who holds it, where another process does.

    A `shared` lock lets other shared ones in. The kernel lets go of it when its process ends, however it ends. The
    file stays on disk, empty of meaning.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read().strip() or "another process"
            raise RunError(f"{what} is in use by {holder}; wait for it, or choose another --out") from None
        with suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(stream.fileno(), 0)  # of several that share it the last one is named
            os.write(stream.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
            os.fsync(stream.fileno())  # it is read on other machines, too
        yield


@contextmanager
def in_turn(path: Path) -> Iterator[None]:
    """Waits until no other process of this machine is in here with the same `path`; the file stays, empty."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a", encoding="utf-8")
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield
