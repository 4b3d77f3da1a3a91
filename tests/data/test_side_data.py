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
from torchvision import transforms

from nlcse_tune.config import SideConfig, SideLoss
from nlcse_tune.data import bounds
from nlcse_tune.data import image as image_module
from nlcse_tune.data.audio import (
    FRAMES,
    MEAN,
    MEL_BINS,
    RATE,
    STD,
    AudioData,
    filter_bank,
    mix,
    spec_augment,
)
from nlcse_tune.data.image import ImageData, crop_box, random_view
from nlcse_tune.data.modalities import load_side
from nlcse_tune.data.side import stack_views
from nlcse_tune.errors import DataError
from tests.shared_data import DATA, needs_data


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def picture_folder(tmp_path: Path) -> Path:
    """Two classes; RGB JPEG, grey PNG, CMYK JPEG, palette PNG with transparency."""
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
        assert views.dtype == torch.uint8
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


def test_crops_are_drawn_as_torchvision_draws_them() -> None:
    """Area and aspect ratio of 2,000 crops against torchvision's own, by mean and quartiles."""
    generator = rng(1)
    own = np.array([crop_box(300, 200, generator) for _ in range(2000)])
    torch.manual_seed(0)
    blank = torch.empty(3, 200, 300)
    theirs = np.array([transforms.RandomResizedCrop.get_params(blank, [0.2, 1.0], [3 / 4, 4 / 3]) for _ in range(2000)])
    for boxes in (own, theirs):
        assert (boxes[:, 0] + boxes[:, 2] <= 200).all()
        assert (boxes[:, 1] + boxes[:, 3] <= 300).all()
    for measure in (
        lambda b: b[:, 2] * b[:, 3] / 60_000,
        lambda b: b[:, 3] / b[:, 2],
        lambda b: b[:, 0],
        lambda b: b[:, 1],
    ):
        quartiles = [np.percentile(measure(boxes), [25, 50, 75]) for boxes in (own, theirs)]
        spread = measure(theirs).std()
        assert np.abs(quartiles[0] - quartiles[1]).max() < 0.15 * spread + 1e-9


def test_one_view_equals_torchvisions_operations_on_the_same_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the jitter and the grey step forced, a view is resized_crop, flip, the four adjustments, grey."""
    pixels = Image.fromarray(rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for name in ("JITTER_P", "GRAY_P", "FLIP_P"):
        monkeypatch.setattr(image_module, name, 1.0)
    view = random_view(pixels, rng(4))
    draws = rng(4)
    top, left, height, width = crop_box(64, 64, draws)
    expected = transforms.functional.resized_crop(pixels, top, left, height, width, [224, 224])
    draws.random()
    expected = transforms.functional.hflip(expected)
    draws.random()
    factors = [draws.uniform(0.6, 1.4) for _ in range(3)]
    hue = draws.uniform(-0.1, 0.1)
    functional = transforms.functional
    steps = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)
    for which in draws.permutation(4):
        expected = functional.adjust_hue(expected, hue) if which == 3 else steps[which](expected, factors[which])
    expected = functional.to_grayscale(expected, 3)
    assert torch.equal(view, torch.from_numpy(np.array(expected)).permute(2, 0, 1))


def test_normalisation_is_imagenets() -> None:
    stored = ImageData("synthetic").views(0, rng())
    expected = transforms.Normalize(image_module.IMAGENET_MEAN, image_module.IMAGENET_STD)(stored.float() / 255)
    assert torch.allclose(ImageData("synthetic").normalise(stored), expected, atol=1e-5)


def test_views_are_stacked_view_by_view() -> None:
    items = [torch.full((2, 1, 1, 1), float(item)) + torch.tensor([0.0, 0.5]).view(2, 1, 1, 1) for item in range(3)]
    assert stack_views(items).flatten().tolist() == [0.0, 1.0, 2.0, 0.5, 1.5, 2.5]


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
    assert torch.allclose(data.normalise(views), (views - MEAN) / (2 * STD))


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
        torch.testing.assert_close(views[0, 0], spec_augment(expected, draws).T, atol=1e-2, rtol=1e-3)
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


def test_filter_banks_go_in_as_they_are_where_so_asked() -> None:
    views = AudioData("synthetic", normalised=False).views(0, rng())
    assert AudioData("synthetic", normalised=False).normalise(views) is views


def test_filter_banks_are_kaldis_and_cut_at_1024_frames() -> None:
    wave = rng().normal(0, 0.1, RATE * 11).astype(np.float32)
    assert filter_bank(wave).shape == (FRAMES, MEL_BINS)
    second = filter_bank(wave[:RATE])
    assert second.shape == (98, MEL_BINS)  # 1 s, windows of 25 ms every 10 ms
    tone = filter_bank(np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32))
    mel = 1127 * np.log(1 + np.array([20.0, 440.0, 8000.0]) / 700)
    expected = (mel[1] - mel[0]) / (mel[2] - mel[0]) * (MEL_BINS + 1) - 1
    assert abs(int(tone.mean(0).argmax()) - expected) < 2


def test_masks_keep_to_their_widths() -> None:
    for seed in range(30):
        bank = spec_augment(torch.ones(FRAMES, MEL_BINS), rng(seed))
        assert int((bank.sum(0) == 0).sum()) < 48
        assert int((bank.sum(1) == 0).sum()) < 192


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
    for item in range(0, len(samples), 9):
        assert samples.open(item).mode == "RGB"
