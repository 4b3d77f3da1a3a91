"""Audio: a folder per speaker, log-mel filter banks, SpecAugment masks; the views differ by dropout alone (App. B).

A clip is (1, 128 mel bins, 1024 frames of 10 ms) after cutting or padding; filter bank and masks are those of SSAST,
which the paper takes its audio from (Appendix B), and of the released code. That code also mixes another clip into half
of them (`side.mixup`), and unlike SSAST does not normalise the filter banks (`side.normalise`), adds no position
embeddings (`side.positions`) and has no dropout after its patches (`side.dropout`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from nlcse_tune.config import SideConfig
from nlcse_tune.data import decode, synthetic
from nlcse_tune.data.decode import RATE
from nlcse_tune.data.side import VIEWS, SideData

MEL_BINS, FRAMES = 128, 1024
MASK_BINS, MASK_FRAMES = 48, 192
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet's filter banks, as in SSAST; inputs become (x - MEAN) / (2 STD)
MIX = (10, 10)  # parameters of the beta distribution that an item's share of a mixed clip is drawn from
CACHE_BYTES = 1_000_000_000  # filter banks kept in memory, unpadded


def filter_bank(wave: np.ndarray) -> Tensor:
    """Log-mel filter bank of a mono wave (samples,) at 16 kHz -> (frames <= 1024, 128)."""
    samples = torch.from_numpy(wave)[None]
    samples = samples - samples.mean()
    bank: Tensor = kaldi.fbank(
        samples, htk_compat=True, sample_frequency=RATE, use_energy=False, window_type="hanning",
        num_mel_bins=MEL_BINS, dither=0.0, frame_shift=10,
    )  # fmt: skip
    return bank[:FRAMES]


def spec_augment(bank: Tensor, rng: np.random.Generator) -> Tensor:
    """One band of up to 48 bins and one stretch of up to 192 frames set to zero, in place; (frames, bins)."""
    for axis, widest in ((1, MASK_BINS), (0, MASK_FRAMES)):
        width = int(rng.uniform(0, widest))
        start = int(rng.uniform(0, bank.shape[axis] - width))
        bank.narrow(axis, start, width).zero_()
    return bank


class Mixed(NamedTuple):
    """What is mixed into a clip: another item, and the clip's own share."""

    other: int
    share: float


def mix(wave: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """`share` of a wave and the rest of another, which is cut or padded to its length; float32 (samples,)."""
    rest = np.zeros_like(wave)
    rest[: len(other)] = (other - other.mean())[: len(wave)]
    mixed: np.ndarray = share * (wave - wave.mean()) + (1 - share) * rest
    return mixed.astype(np.float32)


class AudioData(SideData):
    """WAV and FLAC files, or voiced tones; an item is a mono wave at 16 kHz, float32 (samples,)."""

    modality = "audio"
    synthetic = (synthetic.SPEAKERS, synthetic.CLIPS_PER_SPEAKER)

    def __init__(self, data: str | Path, *, mixup: float = 0.0, normalised: bool = True) -> None:
        super().__init__(data)
        self.mixup, self.normalised = mixup, normalised
        self._banks: dict[int, Tensor] = {}
        self._cached = 0

    @classmethod
    def of(cls, config: SideConfig) -> Self:
        return cls(config.data, mixup=config.mixup, normalised=config.normalise)

    @staticmethod
    def read(path: Path) -> np.ndarray:
        wave, rate = decode.clip(path)
        return wave if rate == RATE else np.asarray(resample(torch.from_numpy(wave), rate, RATE))

    @staticmethod
    def make(label: int, item: int) -> np.ndarray:
        return synthetic.tone(label, item)

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """The same masked clip twice, float32 (2, 1, 128, 1024); padding is zero, as in SSAST."""
        mixed = self._mixed(rng)
        bank = (
            self._bank(item)
            if mixed is None
            else filter_bank(mix(self.open(item), self.open(mixed.other), mixed.share))
        )
        padded = torch.zeros(FRAMES, MEL_BINS)
        padded[: len(bank)] = bank
        return spec_augment(padded, rng).T.expand(VIEWS, 1, MEL_BINS, FRAMES)

    def labels_of(self, items: np.ndarray, generator: Callable[[int], np.random.Generator]) -> np.ndarray:
        """A mixed clip is of the class that it has more of."""
        if not self.mixup:
            return super().labels_of(items, generator)
        drawn = [self._mixed(generator(place)) for place in range(len(items))]
        return self.labels[[m.other if m and m.share < 0.5 else i for i, m in zip(items, drawn, strict=True)]]

    def _mixed(self, rng: np.random.Generator) -> Mixed | None:
        """What to mix into a clip, the first that is drawn for it; None for a clip alone."""
        if not self.mixup or rng.random() >= self.mixup:
            return None
        return Mixed(int(rng.integers(len(self))), float(rng.beta(*MIX)))

    def _bank(self, item: int) -> Tensor:
        """The filter bank of a clip, kept where there is room: it takes ten times longer than all the rest."""
        if (bank := self._banks.get(item)) is None:
            bank = filter_bank(self.open(item))
            if self._cached + bank.nbytes <= CACHE_BYTES:
                self._banks[item] = bank
                self._cached += bank.nbytes
        return bank

    def normalise(self, stored: Tensor) -> Tensor:
        """(R, 1, 128, 1024) to about zero mean and a standard deviation of a half, unless told not to."""
        return (stored - MEAN) / (2 * STD) if self.normalised else stored
