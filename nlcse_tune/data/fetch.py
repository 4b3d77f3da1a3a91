"""SimCSE's public data, downloaded, checked and put where studies look for them.

`sts` is SentEval's archive (STS, SICK and the transfer tasks), `wiki1m` and `nli` are the training texts. A download
goes to a temporary file beside its target and is renamed when it is whole, so that a kill leaves nothing half there.
"""

import csv
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from nlcse_tune.config import STS_TASKS, StsTask
from nlcse_tune.data.sts import MissingDataError, count_warning, load_dev, read_task
from nlcse_tune.data.transfer import TRANSFER_TASKS, TransferTask, load_transfer, transfer_count_warning
from nlcse_tune.errors import ConfigError, DataError, RunError, nearest
from nlcse_tune.files import replacing

BASE_URL = "https://huggingface.co/datasets/princeton-nlp/datasets-for-simcse/resolve/main"
TIMEOUT = 60.0  # seconds without a byte
_BLOCK = 1 << 20
Progress = Callable[[int, int | None], None]  # bytes so far, bytes in all where the server says


@dataclass(frozen=True)
class Source:
    """One thing to fetch: its file on the server, where it goes by default, and how many items it holds."""

    file: str
    to: str
    items: int | None = None


SOURCES: dict[str, Source] = {
    "sts": Source("senteval.tar", "data/senteval"),
    "wiki1m": Source("wiki1m_for_simcse.txt", "data/text/wiki1m_for_simcse.txt", 1_000_000),
    "nli": Source("nli_for_simcse.csv", "data/text/nli_for_simcse.csv", 275_601),
}
_FOLDERS = ("STS", "SICK", "MR", "CR", "SUBJ", "MPQA", "SST", "TREC", "MRPC")


@dataclass(frozen=True)
class Fetched:
    """Where a download went, and what its check found: one line each, and the warnings among them."""

    path: Path
    found: tuple[str, ...]
    warnings: tuple[str, ...]


def fetch(
    name: str,
    to: Path | None = None,
    *,
    base_url: str = BASE_URL,
    progress: Progress | None = None,
) -> Fetched:
    """Downloads `name` to `to` (default: where studies look for it), checks it and says what is there.

    What is already there and passes its check is not downloaded again. ConfigError for an unknown name; RunError
    if the server cannot be reached, breaks off, or lacks the file; DataError if what it sent is not what it must be.
    """
    if name not in SOURCES:
        raise ConfigError(f"data fetch {name}: no such data{nearest(name, SOURCES)}; known: {', '.join(SOURCES)}")
    source = SOURCES[name]
    target, url = to or Path(source.to), f"{base_url.rstrip('/')}/{source.file}"
    if not _present(name, target):
        if name == "sts":
            _fetch_archive(url, target, progress)
        else:
            with replacing(target) as temporary:
                download(url, temporary, progress)
                _check_text(name, temporary, shown=target)
    found, warnings = (check_sts if name == "sts" else _describe_text)(target)
    return Fetched(target, tuple(found), tuple(warnings))


def download(url: str, to: Path, progress: Progress | None = None) -> None:
    """Writes what `url` answers to `to`; RunError if it breaks off early or is not answered."""
    request = urllib.request.Request(url, headers={"User-Agent": "nlcse-tune"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer, to.open("wb") as stream:
            total = int(answer.headers["Content-Length"]) if answer.headers["Content-Length"] else None
            written = 0
            while block := answer.read(_BLOCK):
                stream.write(block)
                written += len(block)
                if progress:
                    progress(written, total)
    except urllib.error.HTTPError as error:
        raise RunError(
            f"{url}: the server answers {error.code} {error.reason}; see whether the address has moved"
        ) from None
    except (HTTPException, OSError, ValueError) as error:  # URLError is an OSError
        reason = getattr(error, "reason", error)
        raise RunError(
            f"{url}: cannot be downloaded ({reason}); on a machine without this connection, fetch the file elsewhere, "
            "copy it here and give its place in the study"
        ) from None
    if total is not None and written != total:
        raise RunError(f"{url}: broke off after {written} of {total} bytes; run the command again")


def check_sts(folder: Path) -> tuple[list[str], list[str]]:
    """(what is there, what is missing or odd) of a folder in SentEval's layout. DataError for a broken file."""
    found, warnings = [], []
    for name, look in _lookers(str(folder)).items():
        try:
            count, warning = look()
        except MissingDataError as error:
            warnings.append(f"{name}: {error}")
            continue
        found.append(f"{name}: {count}")
        if warning:
            warnings.append(warning)
    return found, warnings


def _lookers(data: str) -> dict[str, Callable[[], tuple[str, str | None]]]:
    """For each task a function that reads it and gives (what it holds, a warning)."""

    def sts(task: StsTask) -> tuple[str, str | None]:
        subsets = read_task(data, task)
        return f"{sum(map(len, subsets))} scored pairs", count_warning(task, subsets)

    def dev() -> tuple[str, str | None]:
        return f"{len(load_dev(data))} scored pairs", None

    def transfer(task: TransferTask) -> tuple[str, str | None]:
        loaded = load_transfer(data, task)
        return " + ".join(str(len(part)) for part in loaded.parts) + " items", transfer_count_warning(loaded)

    return (
        {task: partial(sts, task) for task in STS_TASKS}
        | {"sts-dev": dev}
        | {task: partial(transfer, task) for task in TRANSFER_TASKS}
    )


def _present(name: str, target: Path) -> bool:
    """Whether `target` holds, complete, what would be fetched. DataError if something else is there."""
    if name != "sts":
        if not target.is_file():
            return False
        _check_text(name, target, shown=target)
        return True
    return target.is_dir() and not check_sts(target)[1]


def _fetch_archive(url: str, target: Path, progress: Progress | None) -> None:
    """Downloads and unpacks beside `target`, then moves each task's folder into it."""
    with _scratch(target) as scratch:
        archive = scratch / "senteval.tar"
        download(url, archive, progress)
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch / "unpacked", filter="data")
        except (tarfile.TarError, OSError) as error:
            raise DataError(f"{url}: not a tar archive that can be unpacked safely: {error}") from None
        root = _root_of(scratch / "unpacked", url)
        target.mkdir(parents=True, exist_ok=True)
        for folder in (root / name for name in _FOLDERS if (root / name).is_dir()):
            if (target / folder.name).exists():
                shutil.rmtree(target / folder.name)
            folder.replace(target / folder.name)


@contextmanager
def _scratch(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, so that moving out of it is a rename."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    except OSError as error:
        raise RunError(f"{target}: cannot be written: {error.strerror}; choose another place with --to") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _root_of(unpacked: Path, url: str) -> Path:
    """The folder that holds STS/, whatever the archive calls it."""
    found = sorted((path.parent for path in unpacked.rglob("STS") if path.is_dir()), key=lambda path: len(path.parts))
    if not found:
        raise DataError(f"{url}: the archive holds no folder STS, so it is not SentEval's")
    return found[0]


def _check_text(name: str, path: Path, *, shown: Path) -> None:
    """DataError unless a training text holds the number of items it must."""
    count, expected = _count(path), SOURCES[name].items
    if count != expected:
        raise DataError(
            f"{shown}: {count} items, but {SOURCES[name].file} has {expected}: it is another file or a damaged one; "
            f"move it away and run `nlcse-tune data fetch {name}`"
        )


def _describe_text(path: Path) -> tuple[list[str], list[str]]:
    return [f"{_count(path)} items"], []


def _count(path: Path) -> int:
    """Lines of a text, or rows under the header of a triplet CSV."""
    with path.open(encoding="utf-8", newline="") as stream:
        try:
            if stream.readline().strip() != "sent0,sent1,hard_neg":
                stream.seek(0)
                return sum(1 for _ in stream)
            return sum(1 for _ in csv.reader(stream, strict=True))
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{path}: not readable as UTF-8 text: {error}") from None
