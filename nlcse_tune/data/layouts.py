"""The layouts in which publishers give pictures and clips, and the files of each class in them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from nlcse_tune.data.decode import SUFFIXES
from nlcse_tune.data.download import Progress
from nlcse_tune.data.lines import read_lines
from nlcse_tune.errors import DataError

Classes = dict[str, list[Path]]
CIFAR10_SHAPE = (3, 32, 32)  # of a record: a byte for the label, then red, green and blue, row by row
_SYNSET = re.compile(r"n\d{8}")
_SPEAKER = re.compile(r"\d+")
_CLASS = re.compile(r"\w{1,40}", re.ASCII)  # of CIFAR-10; it becomes the name of a folder


def synsets(folder: Path) -> Classes:
    """ILSVRC: [ILSVRC/Data/CLS-LOC/]train/n01440764/n01440764_10026.JPEG."""
    root = _root(folder, ("", "train", "CLS-LOC/train", "Data/CLS-LOC/train", "ILSVRC/Data/CLS-LOC/train"), _SYNSET)
    return {name.name: _files(name, SUFFIXES["image"]) for name in _folders(root, _SYNSET)}


def speakers(folder: Path) -> Classes:
    """LibriSpeech: [LibriSpeech/train-clean-100/]103/1240/103-1240-0000.flac."""
    root = _root(folder, ("", "train-clean-100", "LibriSpeech/train-clean-100"), _SPEAKER)
    return {name.name: _files(name, (".flac",)) for name in _folders(root, _SPEAKER)}


def digits(folder: Path) -> Classes:
    """FSDD: recordings/7_jackson_32.wav, by speaker."""
    found: Classes = {}
    for file in sorted(folder.rglob("*.wav")):
        if len(parts := file.stem.split("_")) == 3:
            found.setdefault(parts[1], []).append(file)
    if not found:
        raise DataError(f"{folder}: no recordings/DIGIT_SPEAKER_NUMBER.wav in it, so it is not FSDD's")
    return found


def captions(file: Path) -> list[str]:
    """Flickr30k's results_20130124.token: `1000092795.jpg#0<TAB>Two young guys.`; DataError for another line."""
    found = []
    for row, line in enumerate(read_lines(file, hint="give the folder that holds it"), start=1):
        picture, _, caption = line.partition("\t")
        if "#" not in picture or not caption.strip():
            raise DataError(f"{file}:{row}: must be picture#number, a tab and a caption, got {line[:80]!r}")
        found.append(caption.strip())
    return found


CLASSES: dict[str, Callable[[Path], Classes]] = {"imagenet60": synsets, "librispeech50": speakers, "fsdd": digits}


def write_cifar10(folder: Path, to: Path, told: Progress) -> None:
    """CIFAR-10's training records as PNG files, to/CLASS/00001.png; DataError where a file is missing or cut."""
    names = next(iter(sorted(folder.rglob("batches.meta.txt"))), None)
    if names is None:
        raise DataError(f"{folder}: no batches.meta.txt in it, so it is not CIFAR-10's binary version")
    classes, record = " ".join(read_lines(names)).split(), 1 + int(np.prod(CIFAR10_SHAPE))
    if odd := next((name for name in classes if not _CLASS.fullmatch(name) or classes.count(name) > 1), None):
        raise DataError(f"{names}: {odd[:80]!r} must be the name of one class: letters, digits and _, at most 40")
    for name in classes:
        (to / name).mkdir()
    for part in range(1, 6):
        path = names.with_name(f"data_batch_{part}.bin")
        content = np.fromfile(path, dtype=np.uint8) if path.is_file() else np.zeros(0, np.uint8)
        if not len(content) or len(content) % record:
            raise DataError(f"{path}: {len(content):,} bytes, and records have {record:,}: it is missing or cut")
        records = content.reshape(-1, record)
        if records[:, 0].max() >= len(classes):
            raise DataError(f"{path}: a label of {records[:, 0].max()}, and there are {len(classes)} classes")
        pictures = records[:, 1:].reshape(-1, *CIFAR10_SHAPE).transpose(0, 2, 3, 1)
        for number, (label, picture) in enumerate(zip(records[:, 0], pictures, strict=True), (part - 1) * len(records)):
            Image.fromarray(picture).save(to / classes[label] / f"{number:05d}.png")
        told("cifar10: parts of five written", part, 5)


def _root(folder: Path, places: tuple[str, ...], pattern: re.Pattern[str]) -> Path:
    """The first of the places below `folder` that holds folders of classes; `folder` where none does."""
    return next((folder / place for place in places if any(_folders(folder / place, pattern))), folder)


def _folders(root: Path, pattern: re.Pattern[str]) -> Iterator[Path]:
    there = sorted(root.iterdir()) if root.is_dir() else []
    return (path for path in there if path.is_dir() and pattern.fullmatch(path.name))


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
