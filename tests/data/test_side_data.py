"""Images and audio: decoding, views, and the same view from the same generator."""

import shutil
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torchaudio.functional import resample

from nlcse_tune.config import SideConfig, SideLoss
from nlcse_tune.data import bounds
from nlcse_tune.data.audio import FRAMES, MEAN, MEL_BINS, RATE, STD, AudioData, draw_masks, filter_bank, mix
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.modalities import load_side
from nlcse_tune.data.side import SideData
from nlcse_tune.errors import DataError
from tests.shared_data import DATA, needs_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def masked(bank: torch.Tensor, masks: tuple[int, int, int, int]) -> torch.Tensor:
    """A filter bank (frames, bins) with its band and its stretch set to zero."""
    first_bin, bins, first_frame, frames = masks
    bank = bank.clone()
    bank[:, first_bin : first_bin + bins] = 0
    bank[first_frame : first_frame + frames] = 0
    return bank


def raw(views: torch.Tensor) -> torch.Tensor:
    """Filter banks as they were before they were normalised."""
    return views * (2 * STD) + MEAN


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Two classes; RGB JPEG, grey PNG, CMYK JPEG, palette PNG with transparency."""
    tmp_path = tmp_path / "pictures"
    tmp_path.mkdir()
    pixels = rng().integers(0, 255, (40, 60, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
    picture.save(tmp_path / "cat" / "a.jpg")
    picture.convert("L").save(tmp_path / "cat" / "b.png")
    picture.convert("CMYK").save(tmp_path / "dog" / "c.JPEG")
    picture.convert("P").save(tmp_path / "dog" / "d.PNG", transparency=0)
    (tmp_path / "dog" / "notes.txt").write_text("not a picture")
    return tmp_path


def test_every_kind_of_picture_becomes_two_rgb_views(picture_folder: Path) -> None:
    data = ImageData(picture_folder)
    assert data.labels.tolist() == [0, 0, 1, 1]
    for item in range(4):
        views = data.views(item, rng(item))
        assert views.shape == (2, 3, 224, 224)
        assert views.dtype == torch.float32
        assert not torch.equal(views[0], views[1])
        assert torch.equal(views, data.views(item, rng(item)))


def test_a_broken_picture_is_named(picture_folder: Path) -> None:
    (picture_folder / "cat" / "a.jpg").write_bytes(b"\xff\xd8 not a jpeg")
    with pytest.raises(DataError, match=r"a.jpg: not readable as an image"):
        ImageData(picture_folder).views(0, rng())


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; set side.data"):
        ImageData(tmp_path / "none")
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match=r"no files ending in .jpg, .jpeg, .png"):
        ImageData(tmp_path)
    with pytest.raises(DataError, match="do not fill one batch"):
        load_side(SideConfig(data="synthetic", batch_size=4096))


def test_one_class_is_refused_where_the_loss_needs_two(picture_folder: Path) -> None:
    shutil.rmtree(picture_folder / "dog")
    for loss in get_args(SideLoss):
        config = SideConfig(data=str(picture_folder), batch_size=2, loss=loss)
        if loss == "simclr":
            assert len(load_side(config)) == 2
        else:
            with pytest.raises(DataError, match=rf"{picture_folder}: holds one class, and side.loss {loss} learns"):
                load_side(config)


@pytest.mark.parametrize("data", [ImageData("synthetic"), AudioData("synthetic"), AudioData("synthetic", mixup=0.5)])
def test_a_batch_made_on_the_device_has_the_views_of_one_item_after_another(data: SideData) -> None:
    """On the CPU as a device. Of pictures, bytes are rounded where they are made one by one."""
    items = [5, 0, 77, 8]
    room = data.room(len(items), pinned=False)
    for tensor in room:
        tensor.fill_(99)  # whatever lay there
    for place, item in enumerate(items):
        data.fill(room, place, item, rng(place))
    batch = data.render_all(room, "cpu")
    alone = torch.stack([data.views(item, rng(place)) for place, item in enumerate(items)], dim=1).flatten(0, 1)
    assert batch.shape == alone.shape
    levels = 255 * 0.22 if data.modality == "image" else 1e6  # of one byte, after division by the standard deviation
    assert (batch - alone).abs().max() * levels < 6
    assert (batch - alone).abs().mean() * levels < 0.5


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_clips_of_any_rate_become_the_same_tone(tmp_path: Path, rate: int, suffix: str) -> None:
    (tmp_path / "anna").mkdir()
    time = np.arange(rate) / rate
    stereo = np.stack([np.sin(2 * np.pi * 1000 * time)] * 2, axis=1) * 0.5
    soundfile.write(tmp_path / "anna" / f"a.{suffix}", stereo, rate)
    wave = AudioData(tmp_path).open(0)
    assert abs(len(wave) - RATE) <= 2
    spectrum = np.abs(np.fft.rfft(wave[1000:-1000]))
    assert abs(spectrum.argmax() * RATE / (len(wave) - 2000) - 1000) < 2


def test_a_clip_is_1024_frames_and_both_views_are_the_same() -> None:
    data = AudioData("synthetic")
    views = data.views(3, rng())
    assert views.shape == (2, 1, MEL_BINS, FRAMES)
    assert torch.equal(views[0], views[1])
    assert torch.equal(views, data.views(3, rng()))
    assert not torch.equal(views, data.views(3, rng(1)))
    expected, bank = torch.zeros(FRAMES, MEL_BINS), filter_bank(data.open(3))
    expected[: len(bank)] = bank
    expected = masked(expected, draw_masks(rng()))
    assert torch.equal(views[0, 0].T, (expected - MEAN) / (2 * STD))
    assert torch.equal(AudioData("synthetic", normalised=False).views(3, rng())[0, 0].T, expected)


def test_another_clip_is_mixed_in_as_the_released_code_does() -> None:
    """By hand from the same draws: both without their mean, the other cut or padded, the shares beta(10, 10)."""
    data = AudioData("synthetic", mixup=1.0)
    seen = set()
    for item in range(6):
        draws = rng(item)
        draws.random()
        other, share = int(draws.integers(len(data))), draws.beta(10, 10)
        one, two = (data.open(which).astype(np.float64) for which in (item, other))
        one, two = one - one.mean(), two - two.mean()
        two = np.concatenate([two, np.zeros(max(0, len(one) - len(two)))])[: len(one)]
        expected = torch.zeros(FRAMES, MEL_BINS)
        bank = filter_bank((share * one + (1 - share) * two).astype(np.float32))
        expected[: len(bank)] = bank
        views = data.views(item, rng(item))
        assert torch.equal(views[0], views[1])
        torch.testing.assert_close(raw(views[0, 0]), masked(expected, draw_masks(draws)).T, atol=1e-2, rtol=1e-3)
        label = data.labels_of(np.array([item]), lambda place, seed=item: rng(seed))  # type: ignore[misc]
        assert label.tolist() == [data.labels[item if share >= 0.5 else other]]
        seen.add(bool(share >= 0.5))
    assert seen == {True, False}


def test_about_the_share_of_clips_asked_for_is_mixed() -> None:
    data, alone = AudioData("synthetic", mixup=0.5), AudioData("synthetic")
    items = np.zeros(400, dtype=int)
    changed = int((data.labels_of(items, rng) != alone.labels_of(items, rng)).sum())
    assert (
        60 < changed < 110
    )  # of 400, a half are mixed, a half of these for the larger part, 5 of 6 from another class
    assert not alone.labels_of(items, lambda place: pytest.fail("no draw is needed")).any()


@pytest.mark.parametrize("longer", [True, False])
def test_a_mix_has_the_length_of_its_first_clip(longer: bool) -> None:
    one, two = np.array([1.0, -1, 1, -1], np.float32), np.array([3.0, 1], np.float32)
    expected = [0.75 + 0.25, -0.75 - 0.25, 0.75, -0.75] if longer else [0.25 + 0.75, -0.25 - 0.75]
    assert mix(*((one, two, 0.75) if longer else (two, one, 0.25))).tolist() == expected


def test_filter_banks_are_kaldis_and_cut_at_1024_frames() -> None:
    wave = rng().normal(0, 0.1, RATE * 11).astype(np.float32)
    assert filter_bank(wave).shape == (FRAMES, MEL_BINS)
    second = filter_bank(wave[:RATE])
    assert second.shape == (98, MEL_BINS)  # 1 s, windows of 25 ms every 10 ms
    tone = filter_bank(np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32))
    mel = 1127 * np.log(1 + np.array([20.0, 440.0, 8000.0]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (MEL_BINS + 1) - 1
    assert abs(int(tone.mean(0).argmax()) - expected) < 2


def test_masks_keep_to_their_widths_and_to_the_clip() -> None:
    drawn = np.array([draw_masks(rng(seed)) for seed in range(300)])
    for first, width, widest, length in (
        (drawn[:, 0], drawn[:, 1], 48, MEL_BINS),
        (drawn[:, 2], drawn[:, 3], 192, FRAMES),
    ):
        assert (width.min(), width.max()) == pytest.approx((0, widest - 1), abs=3)
        assert first.min() >= 0
        assert (first + width).max() <= length


def test_the_shortest_clip_has_views(tmp_path: Path) -> None:
    (tmp_path / "anna").mkdir()
    soundfile.write(tmp_path / "anna" / "a.wav", np.zeros(int(8000 * bounds.SHORTEST_CLIP)), 8000)
    assert AudioData(tmp_path).views(0, rng()).isfinite().all()


def test_of_a_long_clip_the_same_frames_are_used(tmp_path: Path) -> None:
    """What is read of it changes rounding alone: the filter bank takes each window's own mean away."""
    (tmp_path / "anna").mkdir()
    wave = rng().normal(0.05, 0.1, bounds.CLIP_SECONDS * 8000 + 4000).astype(np.float32)
    for name, samples in (("long", wave), ("minute", wave[:-4000])):
        soundfile.write(tmp_path / "anna" / f"{name}.wav", samples, 8000, subtype="FLOAT")
    long, minute = (AudioData(tmp_path).open(item) for item in range(2))
    assert np.array_equal(long, minute)
    whole = resample(torch.from_numpy(wave), 8000, RATE).numpy()
    assert torch.allclose(filter_bank(long), filter_bank(whole), atol=1e-3)


@needs_data
def test_the_real_folders_load() -> None:
    cifar = ImageData(DATA / "images" / "cifar10")
    assert (len(cifar), len(set(cifar.labels))) == (3000, 10)
    assert cifar.views(0, rng()).shape == (2, 3, 224, 224)
    speakers = AudioData(DATA / "audio" / "fsdd")
    assert (len(speakers), len(set(speakers.labels))) == (480, 6)
    assert speakers.views(0, rng()).isfinite().all()
    samples = ImageData(DATA / "images" / "imagenet_samples")
    assert (samples.table.shapes[:, :2].min(axis=1) == 256).sum() > 150  # the others were smaller
    for height, width, channels in samples.table.shapes.tolist():
        assert channels == 3
        assert min(height, width) <= 256
