"""A saved model's own file, and whether the model is still what was written.

Every folder that this tool writes a model into holds `nlcse_pooling.json`: how the model pools, and a digest of each
file beside it. A run's record names the digest of its best model. So a flipped byte, a cut file or another run's
model is found before it is scored.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nlcse_tune.errors import DataError
from nlcse_tune.files import keep_umask, unreadable, write_text
from nlcse_tune.paths import POOLING_FILE

_FREE = {POOLING_FILE, "README.md"}  # a model card is for people to write in


@dataclass(frozen=True)
class SavedModel:
    """`nlcse_pooling.json`."""

    pooler: str
    head_at_test: bool = False  # whether the MLP of pooler `cls` is kept at test
    files: dict[str, str] = field(default_factory=dict)  # digest of each file; none in models of early versions

    @property
    def digest(self) -> str | None:
        """32 hex digits for the whole model; None where its files' digests are not known."""
        if not self.files:
            return None
        return hashlib.blake2b(json.dumps(asdict(self), sort_keys=True).encode(), digest_size=16).hexdigest()


def read_saved(folder: Path) -> SavedModel | None:
    """The model's own file; None where the folder has none.

    DataError where it is damaged; StorageError where it cannot be read now, which says nothing of the model.
    """
    path = folder / POOLING_FILE
    try:
        saved = json.loads(path.read_bytes())
        return SavedModel(str(saved["pooler"]), bool(saved.get("head_at_test")), dict(saved.get("files", {})))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: not readable as this tool writes it ({type(error).__name__}: {error})") from None


def file_digest(path: Path) -> str:
    """32 hex digits for a file's bytes; FileNotFoundError, or StorageError where it cannot be read now."""
    try:
        return _digest(path)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unreadable(path, error) from error


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def seal(folder: Path, pooler: str, *, head_at_test: bool) -> SavedModel:
    """Writes the model's own file beside all the others in `folder`, which must be complete."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in _FREE)
    digests = {path.relative_to(folder).as_posix(): file_digest(path) for path in files}
    saved = SavedModel(pooler, head_at_test, digests)
    write_text(folder / POOLING_FILE, json.dumps(asdict(saved), indent=1) + "\n")
    keep_umask(folder, like=folder / POOLING_FILE)
    return saved


def damage(folder: Path, digest: str | None = None) -> str | None:
    """Why the model in `folder` is not what was written, or not the one with this digest; None where it is.

    Models of early versions have no digests: what is wrong with them shows when they are loaded, if at all. Reads
    every file once (about 1 GB a second). StorageError where one cannot be read now: that is no damage.
    """
    try:
        if (saved := read_saved(folder)) is None:
            return f"has no {POOLING_FILE}"
        for name, written in saved.files.items():
            if file_digest(folder / name) != written:
                return f"{name} is not the file that was written"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except DataError as error:
        return str(error)
    return "it is another model" if digest not in (None, saved.digest) else None
