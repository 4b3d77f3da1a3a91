"""Files that are broken, hostile or outsized: one error that names the file, in little memory."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image, PngImagePlugin

from nlcse_tune.data import bounds, decode
from nlcse_tune.errors import DataError


def wav(path: Path, samples: np.ndarray, rate: int = 16_000) -> Path:
    soundfile.write(path, samples, rate, subtype="FLOAT")
    return path


def png_header(path: Path, width: int, height: int) -> Path:
    """The start of a PNG that says that it has so many pixels."""
    body = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(struct.pack(">I", 13), body, struct.pack(">I", zlib.crc32(body))), (struct.pack(">I", 9), b"IDAT")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(part for chunk in chunks for part in chunk))
    return path


def test_a_clip_is_mono_and_at_most_a_minute_of_it_is_read(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, ((bounds.CLIP_SECONDS + 1) * 8000, 2)).astype(np.float32)
    wave, rate = decode.clip(wav(tmp_path / "a.wav", samples, 8000))
    assert rate == 8000
    assert np.array_equal(wave, samples[: bounds.CLIP_SECONDS * 8000].mean(axis=1))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, -1e20])
def test_samples_that_are_no_numbers_are_refused(tmp_path: Path, value: float) -> None:
    samples = np.zeros(16_000, dtype=np.float32)
    samples[9000] = value
    with pytest.raises(DataError, match=r"a.wav: holds samples that are no numbers, or beyond 1e\+09"):
        decode.clip(wav(tmp_path / "a.wav", samples))


@pytest.mark.parametrize("seconds", [0, 0.01, 0.099])
def test_a_clip_of_an_instant_is_refused(tmp_path: Path, seconds: float) -> None:
    with pytest.raises(DataError, match=rf"a.wav: lasts {seconds:.3f} s, and a clip must last 0.1 s"):
        decode.clip(wav(tmp_path / "a.wav", np.zeros(int(16_000 * seconds))))


@pytest.mark.parametrize("rate", [44_101, 1_000, 400_000])
def test_a_rate_whose_resampling_takes_gigabytes_is_refused(tmp_path: Path, rate: int) -> None:
    with pytest.raises(DataError, match=rf"a.wav: has {rate:,} samples a second; .*convert it to 16,000 Hz"):
        decode.clip(wav(tmp_path / "a.wav", np.zeros(rate), rate))


@pytest.mark.parametrize("rate", [8000, 11_025, 22_050, 24_000, 44_100, 48_000, 88_200, 96_000, 192_000])
def test_usual_rates_are_read(tmp_path: Path, rate: int) -> None:
    assert len(decode.clip(wav(tmp_path / "a.wav", np.zeros(rate), rate))[0]) == rate


def test_many_channels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a.wav: has 9 channels, and at most 8"):
        decode.clip(wav(tmp_path / "a.wav", np.zeros((16_000, 9))))


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF not audio")
    with pytest.raises(DataError, match=r"a.wav: not readable as audio"):
        decode.clip(tmp_path / "a.wav")


@pytest.mark.parametrize(("width", "height"), [(13_300, 13_300), (8001, 8000), (60_000, 60_000)])
def test_an_outsized_picture_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    with pytest.raises(DataError, match=rf"a.png: {width:,} x {height:,} pixels, and at most 64,000,000 are decoded"):
        decode.picture(png_header(tmp_path / "a.png", width, height))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_a_large_picture_keeps_its_pixels(tmp_path: Path, suffix: str) -> None:
    """A JPEG decoder can leave out detail as it goes; a small crop needs it."""
    path, rng = tmp_path / f"x.{suffix}", np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (960, 1000, 3), dtype=np.uint8)).save(path, quality=95)
    with Image.open(path) as opened:
        expected = np.asarray(opened.convert("RGB"))
    assert np.array_equal(np.asarray(decode.picture(path)), expected)


def test_a_text_that_unpacks_to_much_is_refused(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 2_000_000, zip=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(DataError, match=r"a.png: not readable as an image \(it holds a text of more than 1,048,576"):
        decode.picture(tmp_path / "a.png")


def test_an_outsized_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "PICTURE_BYTES", 100)
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match=r"a.jpg: [\d,]+ bytes, and at most 100 are read"):
        decode.picture(tmp_path / "a.jpg")


def test_a_picture_that_would_start_a_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    with pytest.raises(DataError, match=r"a.png: not readable as an image \(cannot identify"):
        decode.picture(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_whatever_bytes_are_changed_a_picture_or_one_error_comes_out(tmp_path: Path, suffix: str) -> None:
    rng = np.random.default_rng(5)
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(rng.integers(0, 255, (24, 24, 3), dtype=np.uint8)).save(path)
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        changed = bytearray(whole[: int(rng.integers(1, len(whole) + 1))])
        for position in rng.integers(0, len(changed), 4):
            changed[position] = int(rng.integers(256))
        path.write_bytes(changed)
        try:
            decode.picture(path)
        except DataError:
            refused += 1
    assert 100 < refused < 300
