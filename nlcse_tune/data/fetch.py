"""SimCSE's public data: downloaded from the Hugging Face hub, checked and put where studies look for them.

`sts` is SentEval's archive (STS, SICK and the transfer tasks), `wiki1m` and `nli` are the training texts. The library
of the hub keeps what it downloads in its cache, goes on where a download broke off, and knows proxies, mirrors
(HF_ENDPOINT) and HF_HUB_OFFLINE. What it has is moved or copied to its place in one motion: a kill leaves nothing
half there.
"""

import shutil
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

from nlcse_tune.config import STS_TASKS
from nlcse_tune.data.lines import MissingDataError, count_warning, csv_rows, read_lines
from nlcse_tune.data.sts import load_dev, read_task
from nlcse_tune.data.transfer import TRANSFER_TASKS, load_transfer
from nlcse_tune.errors import DataError, RunError
from nlcse_tune.files import replacing, writing
from nlcse_tune.names import DataName

REPOSITORY = "princeton-nlp/datasets-for-simcse"
FILES: dict[DataName, str] = {
    "sts": "senteval.tar", "wiki1m": "wiki1m_for_simcse.txt", "nli": "nli_for_simcse.csv",
}  # fmt: skip
ITEMS: dict[DataName, int] = {"wiki1m": 1_000_000, "nli": 275_601}  # of the texts
_FOLDERS = ("STS", "SICK", "MR", "CR", "SUBJ", "MPQA", "SST", "TREC", "MRPC")


class Contents(NamedTuple):
    """What a check has counted, one line per set, and what is missing or odd."""

    counts: list[str]
    warnings: list[str]


def fetch(name: DataName, to: Path | None = None) -> tuple[Path, Contents]:
    """Puts `name` at `to` (default: where studies look for it), checks it and says where it is and what it holds.

    What is already there and passes its check is not downloaded again. RunError if the hub cannot be reached or lacks
    the file; DataError if what it sent, or what lies at `to`, is not what it must be.
    """
    if name == "sts":
        folder = to or Path("data/senteval")
        if not folder.is_dir() or check_sts(folder).warnings:
            _unpack(_download(FILES[name]), folder)
        return folder, check_sts(folder)
    target = to or Path("data/text") / FILES[name]
    if not target.is_file():
        cached = _download(FILES[name])
        _check_text(name, cached)
        with replacing(target) as temporary:
            shutil.copyfile(cached, temporary)
    return target, Contents([f"{_check_text(name, target)} items"], [])


def check_sts(folder: Path) -> Contents:
    """What there is in a folder in SentEval's layout. DataError for a broken file."""
    contents = Contents([], [])
    for task in (*STS_TASKS, "sts-dev", *TRANSFER_TASKS):
        try:
            counts = _counts(task, str(folder))
        except MissingDataError as error:
            contents.warnings.append(f"{task}: {error}")
            continue
        what = "items" if task in TRANSFER_TASKS else "scored pairs"
        contents.counts.append(f"{task}: {' + '.join(map(str, counts))} {what}")
        if warning := count_warning(task, counts):
            contents.warnings.append(warning)
    return contents


def _counts(task: str, data: str) -> tuple[int, ...]:
    """The items of each split of a transfer task, the scored pairs of any other."""
    if task in TRANSFER_TASKS:
        return tuple(map(len, load_transfer(data, task).parts))
    return (sum(map(len, read_task(data, task) if task in STS_TASKS else [load_dev(data)])),)


def _download(file: str) -> Path:
    """The file's place in the hub's cache, where it is put unless it is there."""
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(REPOSITORY, file, repo_type="dataset"))
    except Exception as error:  # whatever the transport raises: there is no common class
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise RunError(
            f"{REPOSITORY}/{file}: cannot be downloaded ({reason}); set HF_ENDPOINT to the address of a mirror, or "
            "fetch the file elsewhere, copy it here and give its place in the study"
        ) from error


def _unpack(archive: Path, target: Path) -> None:
    """Unpacks beside `target`, then moves each task's folder into it."""
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
            try:
                with tarfile.open(archive) as tar:
                    tar.extractall(scratch, filter="data")
            except tarfile.TarError as error:
                raise DataError(f"{archive}: not a tar archive that can be unpacked safely: {error}") from None
            # The folder that holds STS/, whatever the archive calls it.
            roots = [path.parent for path in Path(scratch).rglob("STS") if path.is_dir()]
            if not roots:
                raise DataError(f"{archive}: the archive holds no folder STS, so it is not SentEval's")
            root = min(sorted(roots), key=lambda path: len(path.parts))
            for folder in (root / name for name in _FOLDERS if (root / name).is_dir()):
                shutil.rmtree(target / folder.name, ignore_errors=True)
                folder.replace(target / folder.name)


def _check_text(name: DataName, path: Path) -> int:
    """Items of a training text, lines or rows under a header; DataError unless they are as many as they must be."""
    count = len(read_lines(path)) if name == "wiki1m" else sum(1 for _ in csv_rows(path)) - 1
    if count != ITEMS[name]:
        raise DataError(
            f"{path}: {count} items, but {FILES[name]} has {ITEMS[name]}: it is another file or a damaged one; "
            f"move it away and run `nlcse-tune data fetch {name}`"
        )
    return count
