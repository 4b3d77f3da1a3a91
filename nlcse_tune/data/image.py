"""Images: a folder per class, decoded to RGB, two SimCLR views each (§3.3; the released code's transforms).

C = 3 channels, H = W = 224 pixels.
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as TF

from nlcse_tune.data import decode, synthetic
from nlcse_tune.data.decode import SIZE
from nlcse_tune.data.side import VIEWS, SideData

SCALE, RATIO = (0.2, 1.0), (3 / 4, 4 / 3)
BRIGHTNESS = CONTRAST = SATURATION = 0.4
HUE, JITTER_P, GRAY_P, FLIP_P = 0.1, 0.8, 0.2, 0.5
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def crop_box(width: int, height: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(top, left, height, width) as torchvision's RandomResizedCrop draws it."""
    for _ in range(10):
        area = width * height * rng.uniform(*SCALE)
        ratio = float(np.exp(rng.uniform(*np.log(RATIO))))
        w, h = round((area * ratio) ** 0.5), round((area / ratio) ** 0.5)
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    # Fall back to the central crop of the nearest allowed ratio.
    w, h = min(width, round(height * RATIO[1])), min(height, round(width / RATIO[0]))
    return (height - h) // 2, (width - w) // 2, h, w


def _jitter(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """ColorJitter(0.4, 0.4, 0.4, 0.1): four adjustments in random order."""
    adjust = (TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation, TF.adjust_hue)
    amounts = [float(rng.uniform(1 - s, 1 + s)) for s in (BRIGHTNESS, CONTRAST, SATURATION)]
    amounts.append(float(rng.uniform(-HUE, HUE)))
    for which in rng.permutation(4):
        picture = adjust[which](picture, amounts[which])
    return picture


def random_view(picture: Image.Image, rng: np.random.Generator) -> Tensor:
    """One random view of an RGB picture, uint8 (3, 224, 224)."""
    top, left, height, width = crop_box(*picture.size, rng)
    # Not resize(box=...), which would blend in pixels from outside the crop at its edges.
    crop = picture.crop((left, top, left + width, top + height))
    view = crop.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    if rng.random() < FLIP_P:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < JITTER_P:
        view = _jitter(view, rng)
    if rng.random() < GRAY_P:
        view = view.convert("L").convert("RGB")
    return torch.from_numpy(np.array(view)).permute(2, 0, 1)


class ImageData(SideData):
    """Pictures with labels: JPEG and PNG files, or textured shapes by class; an item is an RGB picture."""

    modality = "image"
    synthetic = (synthetic.IMAGE_CLASSES, synthetic.IMAGES_PER_CLASS)

    @staticmethod
    def read(path: Path) -> Image.Image:
        return decode.picture(path)

    @staticmethod
    def make(label: int, item: int) -> Image.Image:
        return Image.fromarray(synthetic.image(label, item))

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """Two random views, uint8 (2, 3, 224, 224)."""
        picture = self.open(item)
        return torch.stack([random_view(picture, rng) for _ in range(VIEWS)])

    def normalise(self, stored: Tensor) -> Tensor:
        """uint8 (R, 3, H, W) -> float32, by ImageNet's mean and std."""
        mean, std = (torch.tensor(of, device=stored.device).view(3, 1, 1) * 255 for of in (IMAGENET_MEAN, IMAGENET_STD))
        return (stored.float() - mean) / std
