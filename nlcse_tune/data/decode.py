"""From a file to a picture or a wave, within bounds: what is broken or outsized is a DataError that names the file.

Nothing here imports torch, so that a folder can be checked before anything slow starts.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from nlcse_tune.config import Modality
from nlcse_tune.data import bounds
from nlcse_tune.errors import DataError

SIZE = 224  # pixels; a view's height and width
SHORT_SIDE = 256  # pixels that are kept of a picture's shorter side
RATE = 16_000  # Hz
# Part of what names a run on a folder of pictures. Before: "whole", views were cut from pictures of full size; earlier
# still it was no part, and JPEGs from 896 pixels on were decoded at half size.
DECODING = f"short side {SHORT_SIDE}"
NOISE = 1  # likewise, of a run on noise; raised when other noise is drawn
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")  # whatever a file is called; others can start foreign programs
SUFFIXES: dict[Modality, tuple[str, ...]] = {"image": (".jpg", ".jpeg", ".png"), "audio": (".wav", ".flac")}
Image.MAX_IMAGE_PIXELS = None  # Pillow's bound warns first and leaves 0.7 GB to decode; ours is asked below


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A picture of which the header was read; whatever goes wrong within becomes a DataError."""
    try:
        if (size := path.stat().st_size) > bounds.PICTURE_BYTES:
            raise DataError(f"{path}: {size:,} bytes, and at most {bounds.PICTURE_BYTES:,} are read; shrink it")
        with Image.open(path, formats=FORMATS) as opened:
            width, height = opened.size
            if width * height > bounds.PIXELS:
                raise DataError(
                    f"{path}: {width:,} x {height:,} pixels, and at most {bounds.PIXELS:,} are decoded; shrink it: "
                    f"views have {SIZE} x {SIZE}"
                )
            yield opened
    except (DataError, MemoryError):
        raise
    except Exception as error:  # whatever the decoder makes of hostile bytes: there is no common class
        why = str(error)
        if "MAX_TEXT" in why:
            why = f"it holds a text of more than {PngImagePlugin.MAX_TEXT_CHUNK:,} bytes"
        raise DataError(f"{path}: not readable as an image ({why}); remove or replace it") from None


def picture(path: Path) -> Image.Image:
    """An RGB picture; grey, palette and CMYK ones become RGB."""
    with _opened(path) as opened:
        # Whole, before it is made smaller: a JPEG that is decoded at half size has other pixels.
        opened.load()
        return opened if opened.mode == "RGB" else opened.convert("RGB")


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture, by its header."""
    with _opened(path) as opened:
        return opened.size


def reduced_size(width: int, height: int) -> tuple[int, int]:
    """(width, height) of a picture as it is kept: the shorter side SHORT_SIDE where it is longer, else as it is."""
    if (short := min(width, height)) <= SHORT_SIDE:
        return width, height
    return max(1, round(width * SHORT_SIDE / short)), max(1, round(height * SHORT_SIDE / short))


def reduced(picture: Image.Image) -> NDArray[np.uint8]:
    """A picture as it is kept, uint8 (height, width, 3).

    Views of it come nearest to those of the whole picture with Lanczos (LOG.md, 2026-11-22), and it is done once.
    """
    if (size := reduced_size(*picture.size)) != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    return np.asarray(picture)


@contextmanager
def _streamed(path: Path) -> Iterator[soundfile.SoundFile]:
    """A clip of which the header was read; what is not readable becomes a DataError."""
    try:
        with soundfile.SoundFile(path) as stream:
            _check_header(path, stream)
            yield stream
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(f"{path}: not readable as audio ({error}); remove or replace it") from None


def clip(path: Path) -> tuple[NDArray[np.float32], int]:
    """The mono wave (samples,) of a clip, of a long one its first minute, and its rate in Hz."""
    with _streamed(path) as stream:
        read = stream.read(bounds.CLIP_SECONDS * stream.samplerate, dtype="float32", always_2d=True)
        rate = stream.samplerate
    wave: NDArray[np.float32] = read.mean(axis=1)
    if len(wave) < bounds.SHORTEST_CLIP * rate:
        raise DataError(
            f"{path}: lasts {len(wave) / rate:.3f} s, and a clip must last {bounds.SHORTEST_CLIP:g} s; "
            "remove or replace it"
        )
    if not np.abs(wave).max() <= bounds.LOUDEST:  # NaN neither
        raise DataError(
            f"{path}: holds samples that are no numbers, or beyond {bounds.LOUDEST:g} where full scale is 1; "
            "remove or replace it"
        )
    return wave, rate


def clip_seconds(path: Path) -> float:
    """How long a clip lasts, by its header."""
    with _streamed(path) as stream:
        return float(stream.frames / stream.samplerate)


def _check_header(path: Path, stream: soundfile.SoundFile) -> None:
    rate, (low, high) = stream.samplerate, bounds.RATES
    if not low <= rate <= high or gcd(rate, RATE) < bounds.COMMON_FACTOR:
        raise DataError(
            f"{path}: has {rate:,} samples a second; rates from {low:,} to {high:,} Hz are read that have a factor of "
            f"{bounds.COMMON_FACTOR} or more in common with {RATE:,} Hz; convert it to {RATE:,} Hz"
        )
    if stream.channels > bounds.CHANNELS:
        raise DataError(f"{path}: has {stream.channels} channels, and at most {bounds.CHANNELS} are read; mix them")


READERS: dict[Modality, Callable[[Path], Any]] = {"image": picture, "audio": clip}
