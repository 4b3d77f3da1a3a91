"""Reading YAML and writing files so that a kill at any moment leaves either the old file or the new one."""

import fcntl
import io
import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from ruamel.yaml import YAML
from ruamel.yaml.composer import MaxDepthExceededError
from ruamel.yaml.error import YAMLError

from nlcse_tune.errors import ConfigError, RunError, StorageError

YAML_DEPTH = 32  # mappings and lists in one another; a study has 4
UNWATCHED = 15.0  # seconds between two times that what need not be durable is put into a store


class Keeper(Protocol):
    """What keeps in a store all that lies below a folder of this machine: `storage.Mirror`, where there is one."""

    folder: Path
    address: str
    plain: str

    def put(self, path: Path, *, every: float | None = None) -> None: ...
    def push(self, folder: Path) -> None: ...
    def tidy(self, folder: Path) -> None: ...
    def release(self, folder: Path) -> None: ...
    def delete(self, path: Path, *, whole_folder: bool = False) -> None: ...
    def move(self, source: Path, target: Path) -> None: ...
    def fetch(self, path: Path, *, mine: bool = False) -> None: ...
    def refresh(self, below: Path | None = None, *, large: bool = False, mine: bool = False) -> None: ...
    def claim(self, path: Path, what: str, *, shared: bool) -> AbstractContextManager[None]: ...
    def check(self) -> None: ...
    def probe(self) -> None: ...


_keepers: list[Keeper] = []


def keep_with(keeper: Keeper) -> None:
    """From now on what this process writes below the keeper's folder is put into its store."""
    _keepers.append(keeper)


def keepers() -> list[Keeper]:
    """Those of this process."""
    return list(_keepers)


def keeper_of(path: Path) -> Keeper | None:
    """The keeper of what lies at `path`; None on a plain folder."""
    return next((keeper for keeper in _keepers if path.is_relative_to(keeper.folder)), None)


def stored(path: Path, *, every: float | None = None) -> None:
    """Puts into its store, if it has one, a file that was written otherwise than by `replacing`.

    With `every` at most once in so many seconds, and without a word where that fails.
    """
    if (keeper := keeper_of(path)) is not None and path.is_file():
        keeper.put(path, every=every)


def gone(path: Path, *, whole_folder: bool = False) -> None:
    """Deletes in its store, if it has one, what was deleted here."""
    if (keeper := keeper_of(path)) is not None:
        keeper.delete(path, whole_folder=whole_folder)


def released(folder: Path) -> None:
    """Deletes here what is large, where a store has it: nobody of this machine works on the run any more."""
    if (keeper := keeper_of(folder)) is not None:
        keeper.release(folder)


def moved(source: Path, target: Path) -> None:
    """Moves in its store, if it has one, what was moved here."""
    if (keeper := keeper_of(source)) is not None:
        keeper.move(source, target)


def fetch(*paths: Path, mine: bool = False) -> None:
    """Makes files here what they are in their store, if they have one: another machine may have written them.

    Of what is `mine` alone that is so even of a file that was written here and never came there.
    """
    for path in paths:
        if (keeper := keeper_of(path)) is not None:
            keeper.fetch(path, mine=mine)


def fetch_folder(folder: Path, *, mine: bool = False) -> None:
    """The same for a folder with all that is in it; `mine` where no other process works on it."""
    if (keeper := keeper_of(folder)) is not None:
        keeper.refresh(folder.resolve(), large=True, mine=mine)


def named(text: str) -> str:
    """`text` for people: with addresses in place of the folders of this machine that stand for them."""
    for keeper in _keepers:
        text = text.replace(f"{keeper.folder}/", f"{keeper.plain}/").replace(str(keeper.folder), keeper.address)
    return text


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
def writing(path: Path, option: str = "--out") -> Iterator[None]:
    """Around what writes `path` or into it: an OSError becomes a StorageError; `option` says what to choose anew."""
    try:
        yield
    except OSError as error:
        keeper, why = keeper_of(path), error.strerror or error
        place, other = (keeper.folder.parent, "NLCSE_CACHE") if keeper else (path, option)
        raise StorageError(f"{place}: cannot be written: {why}; free space or choose another {other}") from error


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
    stored(path, every=None if durable else UNWATCHED)


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


def holder() -> str:
    """How a lock of this process names it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@contextmanager
def locked(path: Path, what: str, *, shared: bool = False) -> Iterator[None]:
    """Holds the lock file `path`; RunError, naming who holds it, where another process does.

    A `shared` lock lets other shared ones in. The kernel lets go of it when its process ends, however it ends. The
    file stays on disk, empty of meaning. In a store there is a claim beside it (storage/claim.py).
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        stream = path.open("a+", encoding="utf-8")
    with stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            other = stream.read().strip() or "another process"
            raise RunError(f"{what} is in use by {other}; wait for it, or choose another --out") from None
        with suppress(OSError):  # a full disk: the lock holds without its holder's name
            os.ftruncate(stream.fileno(), 0)  # of several that share it the last one is named
            os.write(stream.fileno(), f"{holder()}\n".encode())
            os.fsync(stream.fileno())  # it is read on other machines, too
        keeper = keeper_of(path)  # a store has no locks, and other machines
        with keeper.claim(path, what, shared=shared) if keeper else nullcontext():
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
