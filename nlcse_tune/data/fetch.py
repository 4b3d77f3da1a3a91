"""SimCSE's public data: downloaded from the Hugging Face hub, checked and put where studies look for them.

`sts` is SentEval's archive (STS, SICK and the transfer tasks), `wiki1m` and `nli` are the training texts. The hub's
library caches, resumes, and knows proxies, mirrors (HF_ENDPOINT) and HF_HUB_OFFLINE. What it has is moved or copied
to its place in one motion: a kill leaves nothing half there.
"""

import lzma
import shutil
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import NamedTuple

from nlcse_tune.config import STS_TASKS
from nlcse_tune.data import bounds
from nlcse_tune.data.check import check_side, modalities_in
from nlcse_tune.data.lines import MissingDataError, count_warning, csv_rows, read_lines
from nlcse_tune.data.sts import load_dev, load_task
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
    """Puts `name` at `to` (default: where studies look), unless there and sound; says where it is and what it holds.

    RunError if the hub cannot be reached or lacks the file; DataError if what it sent, or what lies at `to`, is wrong.
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


def check_folder(folder: Path) -> Contents:
    """What there is in a folder of images or audio, by class, or else in one in SentEval's layout."""
    if not (modalities := modalities_in(folder)):
        return check_sts(folder)
    contents = Contents([], [])
    for modality in modalities:
        count, problems = check_side(modality, folder)
        contents.counts.append(count)
        contents.warnings.extend(problems)
    return contents


def check_sts(folder: Path) -> Contents:
    """What there is in a folder in SentEval's layout. DataError for a broken file."""
    contents = Contents([], [])
    for task in (*STS_TASKS, "sts-dev", *TRANSFER_TASKS):
        try:
            if task in TRANSFER_TASKS:
                what, counts = "items", tuple(map(len, load_transfer(str(folder), task)))
            else:
                subsets = load_task(str(folder), task, warn=False) if task in STS_TASKS else [load_dev(str(folder))]
                what, counts = "scored pairs", (sum(map(len, subsets)),)
        except MissingDataError as error:
            contents.warnings.append(f"{task}: {error}")
            continue
        contents.counts.append(f"{task}: {' + '.join(map(str, counts))} {what}")
        if warning := count_warning(task, counts):
            contents.warnings.append(warning)
    return contents


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
    _check_archive(archive)
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


def _check_archive(archive: Path) -> None:
    """DataError for what is no whole archive, or would unpack to more than any of SentEval's; nothing is written."""
    most = min(bounds.UNPACKED_BYTES, bounds.UNPACKED_RATIO * archive.stat().st_size)
    unpacked = 0
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                unpacked += tarfile.BLOCKSIZE + member.size
                if unpacked > most:
                    raise DataError(
                        f"{archive}: unpacks to more than {most:,} bytes, and what unpacks to {bounds.UNPACKED_RATIO} "
                        f"times its size, or to {bounds.UNPACKED_BYTES:,}, is not SentEval's; remove it and fetch it "
                        "from another mirror"
                    )
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{archive}: not a tar archive that can be read: {error}") from None


def _check_text(name: DataName, path: Path) -> int:
    """Items of a training text, lines or rows under a header; DataError unless they are as many as they must be."""
    count = len(read_lines(path)) if name == "wiki1m" else sum(1 for _ in csv_rows(path)) - 1
    if count != ITEMS[name]:
        raise DataError(
            f"{path}: {count} items, but {FILES[name]} has {ITEMS[name]}: it is another file or a damaged one; "
            f"move it away and run `nlcse-tune data fetch {name}`"
        )
    return count
