"""Random views of pictures (§3.3; the released code's transforms): drawn one by one, rendered in batch on any device.

R views of a batch, C = 3 channels, H = W = 224 pixels of a view. Pixels run from 0 to 255, as floats between the steps:
nothing is rounded before the end.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from nlcse_tune.data.decode import SIZE
from nlcse_tune.data.side import sent

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE, JITTER_P, GRAY_P, FLIP_P = 0.1, 0.8, 0.2, 0.5
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY = (0.2989, 0.587, 0.114)  # shares of red, green and blue
NOTHING = -1  # in place of an adjustment
_FLIP, _AMOUNTS, _ORDER = 2, slice(3, 8), slice(8, 13)  # where a view's numbers have them
NUMBERS = 13


class Box(NamedTuple):
    """A crop, in pixels."""

    top: int
    left: int
    height: int
    width: int


class Drawn(NamedTuple):
    """What is random about a view."""

    box: Box
    flip: bool
    amounts: tuple[float, ...]  # of each of ADJUSTMENTS
    order: tuple[int, ...]  # which of them comes first, second, ..., or NOTHING

    def numbers(self) -> tuple[float, ...]:
        """(NUMBERS,): what rendering needs once the box was cut out."""
        return self.box.height, self.box.width, self.flip, *self.amounts, *self.order


def crop_box(width: int, height: int, rng: np.random.Generator) -> Box:
    """As torchvision's RandomResizedCrop draws it."""
    for _ in range(10):
        area = width * height * rng.uniform(*SCALE)
        ratio = float(np.exp(rng.uniform(*np.log(RATIO))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return Box(int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w)
    # Fall back to the central crop of the nearest allowed ratio.
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return Box((height - h) // 2, (width - w) // 2, h, w)


def largest_box(width: int, height: int) -> tuple[int, int]:
    """(height, width) that no crop of such a picture exceeds."""
    return min(height, int(width / RATIO[0]) + 2), min(width, int(height * RATIO[1]) + 2)


def draw(width: int, height: int, rng: np.random.Generator) -> Drawn:
    """RandomResizedCrop(224, (0.2, 1)), flip, ColorJitter(0.4, 0.4, 0.4, 0.1) and grey, for one view of a picture."""
    box, flip = crop_box(width, height, rng), bool(rng.random() < FLIP_P)
    amounts, order = [1.0, 1.0, 1.0, 0.0], [NOTHING] * 4
    if rng.random() < JITTER_P:
        amounts = [float(rng.uniform(1 - s, 1 + s)) for s in (BRIGHTNESS, CONTRAST, SATURATION)]
        amounts.append(float(rng.uniform(-HUE, HUE)))
        order = rng.permutation(4).tolist()
    return Drawn(box, flip, (*amounts, 0.0), (*order, 4 if rng.random() < GRAY_P else NOTHING))


def render(pixels: NDArray[np.uint8], drawn: Drawn, view: Tensor) -> None:
    """Makes one view of a picture's pixels (height, width, C) in `view`, float (C, H, W), as the embedding wants it."""
    top, left, height, width = drawn.box
    crop = torch.from_numpy(np.array(pixels[top : top + height, left : left + width]))
    resize(crop, drawn.flip, view)
    pixels_of_view = view[None].numpy()
    for which in drawn.order:
        if which != NOTHING:
            ADJUSTMENTS[which](pixels_of_view, drawn.amounts[which])
    normalise(pixels_of_view)


def render_all(crops: Tensor, numbers: Tensor, device: torch.device | str) -> Tensor:
    """Views (R, C, H, W) on the device, as the embedding wants them; no step waits for the device.

    `crops` is uint8 (R, at least the highest, at least the widest, C), each in the upper left corner of its room;
    `numbers` float32 (R, NUMBERS), as `Drawn` has them. Both are on the host.
    """
    here = sent(numbers, device)
    views = resize_all(sent(crops, device), here[:, : _FLIP + 1])
    adjust_all(views, here[:, _AMOUNTS], numbers[:, _ORDER].int().numpy())
    normalise(views)
    return views


def resize(crop: Tensor, flip: bool, view: Tensor) -> None:
    """A crop, uint8 (height, width, C), antialiased into a view, flipped where so drawn: torch's kernel for bytes."""
    resized = interpolate(crop.permute(2, 0, 1)[None], (SIZE, SIZE), mode="bilinear", antialias=True)[0]
    view.copy_(resized.flip(-1) if flip else resized)


def resize_all(crops: Tensor, numbers: Tensor) -> Tensor:
    """The same for a batch by two matrix products, with each view's own weights: float (R, C, H, W).

    `numbers` (R, 3) are each crop's height and width and whether it is flipped.
    """
    height, width, flip = numbers.T
    pixels = crops.float()
    rows = _weights(height, crops.shape[1], torch.zeros_like(flip))  # (R, H, h)
    columns = _weights(width, crops.shape[2], flip)  # (R, W, w)
    narrow = torch.unflatten(rows @ pixels.flatten(2), 2, pixels.shape[2:])  # (R, H, w, C)
    return torch.matmul(narrow.permute(0, 3, 1, 2), columns.mT[:, None])


def _weights(length: Tensor, room: int, flip: Tensor) -> Tensor:
    """What each of `room` source pixels, of which `length` (R,) are there, adds to each of SIZE: (R, SIZE, room).

    The triangle of Pillow's and torch's antialiased bilinear filter.
    """
    place = torch.arange(SIZE, device=length.device)
    place = torch.where(flip[:, None] > 0, SIZE - 1 - place, place)
    scale = (length / SIZE)[:, None, None]
    centre = (place[..., None] + 0.5) * scale
    source = torch.arange(room, device=length.device)
    weights = (1 - (source + 0.5 - centre).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * (source < length[:, None, None])
    return weights / weights.sum(-1, keepdim=True)


# What follows is the same for NumPy's arrays, one view at a time, and torch's tensors, a batch. On a CPU torch would
# divide each of these short steps among OpenMP threads, in every loader thread, and they would wait for one another.
Pixels = Any  # float (R, C, H, W)


def _library(pixels: Pixels) -> Any:
    return torch if isinstance(pixels, Tensor) else np


def _clip(views: Pixels) -> None:
    _library(views).clip(views, 0, 255, out=views)


def _channels(views: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    return views[:, 0:1], views[:, 1:2], views[:, 2:3]


def _grey(views: Pixels) -> Pixels:
    """(R, 1, H, W)."""
    red, green, blue = (channel * share for channel, share in zip(_channels(views), GREY, strict=True))
    red += green
    red += blue
    return red


def _brightness(views: Pixels, factor: Any) -> None:
    views *= factor
    _clip(views)


def _contrast(views: Pixels, factor: Any) -> None:
    mean = _grey(views).mean(axis=-1, keepdims=True).mean(axis=-2, keepdims=True)
    views *= factor
    views += mean * (1 - factor)
    _clip(views)


def _saturation(views: Pixels, factor: Any) -> None:
    grey = _grey(views)
    grey *= 1 - factor
    views *= factor
    views += grey
    _clip(views)


def _hue(views: Pixels, turn: Any) -> None:
    """A turn of the colour circle by at most a sixth, as by way of HSV, without its divisions and cases.

    With M the greatest channel, m the least and C = M - m, HSV gives a channel as m + clamp(2C - d, 0, C), where d is C
    times its distance, in sixths, from the colour's hue. Unturned, 2C - d = M + 2 channel - (red + green + blue),
    wherever that is within the clamp's bounds; a turn adds to d or takes from it, by whichever of the other two
    channels is greater.
    """
    library = _library(views)
    red, green, blue = _channels(views)
    greatest, least = (of(of(red, green), blue) for of in (library.maximum, library.minimum))
    chroma = greatest - least
    shift, rest = chroma * (6 * turn), greatest - _channels_added(views)
    turned = []
    for channel, ahead, behind in ((red, green, blue), (green, blue, red), (blue, red, green)):
        away = ahead - behind
        away *= turn
        value = 2 * channel
        value += rest
        value -= library.copysign(shift, away)
        library.clip(value, 0, None, out=value)
        library.minimum(value, chroma, out=value)
        value += least
        turned.append(value)
    red[:], green[:], blue[:] = turned


def _channels_added(views: Pixels) -> Pixels:
    red, green, blue = _channels(views)
    total = red + green
    total += blue
    return total


# Each in place on views (R, C, H, W), by an amount (R, 1, 1, 1). The last makes grey: no saturation.
ADJUSTMENTS: tuple[Callable[[Pixels, Any], None], ...] = (_brightness, _contrast, _saturation, _hue, _saturation)


def adjust_all(views: Tensor, amounts: Tensor, order: NDArray[np.int32]) -> None:
    """Adjusts each view in its own order, in place: amounts (R, adjustments) on the device, order (R, places) not."""
    by_kind = np.argsort(order, axis=0, kind="stable")  # (R, places): in each column nothing, brightness, contrast, ...
    rows = sent(torch.from_numpy(by_kind), views.device)
    for place, kinds in enumerate(order.T):
        ends = np.bincount(kinds - NOTHING, minlength=1 + len(ADJUSTMENTS)).cumsum()
        for which, work in enumerate(ADJUSTMENTS):
            if ends[which] < ends[which + 1]:
                own = rows[ends[which] : ends[which + 1], place]
                some = views[own]
                work(some, amounts[own, which, None, None, None])
                views[own] = some


def normalise(views: Pixels) -> None:
    """By ImageNet's mean and std, in place."""
    for channel, mean, std in zip(_channels(views), IMAGENET_MEAN, IMAGENET_STD, strict=True):
        channel -= 255 * mean
        channel /= 255 * std
