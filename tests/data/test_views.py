"""Views of pictures: drawn as torchvision draws them, and made of the same draws as torchvision makes them."""

import numpy as np
import pytest
import torch
from torchvision import transforms
from torchvision.transforms import functional

from nlcse_tune.data.image import ImageData
from nlcse_tune.data.views import (
    ADJUSTMENTS,
    FLIP_P,
    GRAY_P,
    IMAGENET_MEAN,
    IMAGENET_STD,
    JITTER_P,
    NOTHING,
    Box,
    Drawn,
    adjust_all,
    crop_box,
    draw,
    largest_box,
    normalise,
    render,
    render_all,
    resize,
    resize_all,
)  # fmt: skip

MEAN, STD = (torch.tensor(of).view(3, 1, 1) for of in (IMAGENET_MEAN, IMAGENET_STD))
PLAIN = Drawn(Box(0, 0, 64, 64), False, (1.0, 1.0, 1.0, 0.0, 0.0), (NOTHING,) * 5)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours with some noise: neither a photograph nor snow."""
    generator = rng(seed)
    coarse = torch.from_numpy(generator.uniform(0, 255, (1, 3, 5, 6)))
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic")[0].permute(1, 2, 0).numpy()
    return (smooth + generator.normal(0, 12, smooth.shape)).clip(0, 255).astype(np.uint8)


def rendered(source: np.ndarray, drawn: Drawn) -> torch.Tensor:
    """A view in bytes."""
    view = torch.empty(3, 224, 224)
    render(source, drawn, view)
    return (view * STD + MEAN) * 255


def resized(source: np.ndarray, drawn: Drawn) -> torch.Tensor:
    """The crop by torchvision, flipped or not, in floats up to 255."""
    picture = torch.from_numpy(source).permute(2, 0, 1).float()
    view = functional.resized_crop(picture, *drawn.box, [224, 224], antialias=True)
    return functional.hflip(view) if drawn.flip else view


def adjusted(view: torch.Tensor, drawn: Drawn) -> torch.Tensor:
    """The rest by torchvision."""
    view = view / 255
    steps = (
        functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation, functional.adjust_hue,
        lambda view, _: functional.rgb_to_grayscale(view, 3),
    )  # fmt: skip
    for which in drawn.order:
        if which != NOTHING:
            view = steps[which](view, drawn.amounts[which])
    return view * 255


def assert_theirs(source: np.ndarray, drawn: list[Drawn]) -> None:
    """One by one a crop becomes bytes, up to one of 255 beside torchvision's floats; all else is torchvision's."""
    for one, in_batch in zip(drawn, on_device(source, drawn), strict=True):
        crop = rendered(source, one._replace(order=PLAIN.order))
        assert (crop - resized(source, one)).abs().max() <= 1.001
        assert (rendered(source, one) - adjusted(crop, one)).abs().max() < 0.01
        assert (in_batch - adjusted(resized(source, one), one)).abs().max() < 0.01


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


@pytest.mark.parametrize(("width", "height"), [(341, 256), (256, 256), (32, 32), (5000, 256), (256, 4000), (1, 1)])
def test_no_crop_exceeds_its_room(width: int, height: int) -> None:
    generator, (highest, widest) = rng(2), largest_box(width, height)
    for _ in range(500):
        box = crop_box(width, height, generator)
        assert 1 <= box.height <= highest <= height
        assert 1 <= box.width <= widest <= width


def test_everything_is_drawn_as_often_and_as_widely_as_in_simclr() -> None:
    drawn = [draw(300, 200, generator) for generator in [rng(3)] for _ in range(4000)]
    jittered = [one for one in drawn if one.order[0] != NOTHING]
    shares = {
        FLIP_P: np.mean([one.flip for one in drawn]),
        GRAY_P: np.mean([one.order[4] == 4 for one in drawn]),
        JITTER_P: len(jittered) / len(drawn),
    }
    for expected, share in shares.items():
        assert share == pytest.approx(expected, abs=0.03)
    amounts = np.array([one.amounts for one in jittered])
    for column, (low, high) in enumerate([(0.6, 1.4)] * 3 + [(-0.1, 0.1)]):
        assert np.percentile(amounts[:, column], [0, 50, 100]) == pytest.approx([low, (low + high) / 2, high], abs=0.02)
    assert {which for one in drawn for which in one.order[4:]} == {4, NOTHING}
    orders = np.unique([one.order[:4] for one in jittered], axis=0, return_counts=True)[1]
    assert len(orders) == 24
    assert orders.min() > 0.5 * len(jittered) / 24


@pytest.mark.parametrize("seed", range(12))
def test_views_are_torchvisions_of_the_same_draws(seed: int) -> None:
    source, generator = pixels(90 + 20 * seed, 256, seed), rng(seed)
    assert_theirs(source, [draw(source.shape[1], source.shape[0], generator) for _ in range(4)])


@pytest.mark.parametrize("which", range(4))
def test_each_adjustment_is_torchvisions_at_its_ends(which: int) -> None:
    views = torch.from_numpy(rng(which).uniform(0, 255, (4, 3, 50, 60))).float()
    views[0] = views[0].round()
    views[1, :2] = views[1, :1]  # two channels are equal
    views[2] = views[2, :1]  # grey
    views[3, :, :10], views[3, :, 10:20] = 0, 255
    steps = ("adjust_brightness", "adjust_contrast", "adjust_saturation", "adjust_hue")
    for amount in (-0.1, -0.03, 0.0, 0.07, 0.1) if which == 3 else (0.6, 0.9, 1.0, 1.2, 1.4):
        got, of_numpy = views.clone(), views.numpy().copy()
        ADJUSTMENTS[which](got, torch.full((4, 1, 1, 1), amount))
        ADJUSTMENTS[which](of_numpy, amount)
        torch.testing.assert_close(got, torch.from_numpy(of_numpy), atol=1e-3, rtol=0)
        expected = getattr(functional, steps[which])(views / 255, amount) * 255
        torch.testing.assert_close(got, expected, atol=2e-3, rtol=0)


CHANGES = {
    "top": {"box": Box(1, 0, 63, 64)}, "left": {"box": Box(0, 1, 64, 63)}, "height": {"box": Box(0, 0, 60, 64)},
    "width": {"box": Box(0, 0, 64, 60)}, "flip": {"flip": True}, "grey": {"order": (NOTHING,) * 4 + (4,)},
    "brightness": {"amounts": (1.2, 1, 1, 0, 0), "order": (0,) + (NOTHING,) * 4},
    "contrast": {"amounts": (1, 1.2, 1, 0, 0), "order": (1,) + (NOTHING,) * 4},
    "saturation": {"amounts": (1, 1, 1.2, 0, 0), "order": (2,) + (NOTHING,) * 4},
    "hue": {"amounts": (1, 1, 1, 0.1, 0), "order": (NOTHING, 3) + (NOTHING,) * 3},
}  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_everything_that_is_drawn_has_its_effect(change: str) -> None:
    source, drawn = pixels(64, 64), PLAIN._replace(**CHANGES[change])
    assert_theirs(source, [PLAIN, drawn])
    assert (rendered(source, drawn) - rendered(source, PLAIN)).abs().mean() > 1


def test_the_order_of_adjustments_has_its_effect() -> None:
    source, amounts = pixels(64, 64), (1.4, 1.4, 1.4, 0.1, 0.0)
    orders = [(0, 1, 2, 3, NOTHING), (3, 1, 2, 0, NOTHING), (1, 0, 3, 2, NOTHING)]
    drawn = [PLAIN._replace(amounts=amounts, order=order) for order in orders]
    assert_theirs(source, drawn)
    views = [rendered(source, one) for one in drawn]
    assert min(float((views[a] - views[b]).abs().mean()) for a, b in ((0, 1), (0, 2), (1, 2))) > 1


def on_device(source: np.ndarray, drawn: list[Drawn]) -> torch.Tensor:
    """A batch of views of one picture, as a device makes them, in bytes."""
    height, width, _ = source.shape
    crops = torch.full((len(drawn), height + 3, width + 2, 3), 77, dtype=torch.uint8)  # whatever lay there
    for crop, one in zip(crops, drawn, strict=True):
        top, left, h, w = one.box
        crop[:h, :w] = torch.from_numpy(source[top : top + h, left : left + w])
    return (render_all(crops, torch.tensor([one.numbers() for one in drawn]), "cpu") * STD + MEAN) * 255


def test_every_adjustment_in_every_place_of_a_batch() -> None:
    source, generator = pixels(200, 256), rng(8)
    drawn = [draw(256, 200, generator) for _ in range(30)]
    assert len({(place, one.order[place]) for one in drawn for place in range(4)}) == 20  # nothing is one, too
    assert_theirs(source, drawn)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("height", "width"), [(224, 224), (32, 20), (300, 256), (224, 341), (7, 224), (1, 1)])
def test_resizing_in_batch_is_torchs_kernel_within_one_byte(height: int, width: int, flip: bool) -> None:
    crops = torch.from_numpy(pixels(300, 341))[None]
    alone = torch.empty(3, 224, 224)
    resize(crops[0, :height, :width].contiguous(), flip, alone)
    together = resize_all(crops, torch.tensor([[height, width, float(flip)]]))
    assert (alone - together[0]).abs().max() <= 1


def test_views_without_adjustments_stay_as_they_are() -> None:
    views = torch.rand(3, 3, 8, 8)
    kept = views.clone()
    adjust_all(views, torch.ones(3, 5), np.full((3, 5), NOTHING, dtype=np.int32))
    assert torch.equal(views, kept)


def test_a_view_is_made_without_torchs_threads() -> None:
    """Else short steps wait for one another, and a run's numbers could hang on `train.loader_threads`."""
    views, threads = [], torch.get_num_threads()
    drawn = PLAIN._replace(amounts=(1.4, 0.7, 1.3, 0.1, 0.0), order=(0, 1, 2, 3, NOTHING))
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            views.append(rendered(pixels(64, 64), drawn))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*views)


def test_normalisation_is_imagenets() -> None:
    views = torch.rand(2, 3, 4, 5) * 255
    expected = transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD)(views / 255)
    normalise(views)
    assert torch.allclose(views, expected, atol=1e-5)


def test_both_views_of_an_item_are_drawn_from_its_generator() -> None:
    data, generator = ImageData("synthetic"), rng(5)
    drawn = [draw(64, 64, generator) for _ in range(2)]
    views = (data.views(7, rng(5)) * STD + MEAN) * 255
    for view, one in zip(views, drawn, strict=True):
        assert (view - rendered(data.open(7), one)).abs().max() < 1e-3
