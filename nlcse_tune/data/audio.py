"""Audio: a folder per speaker, log-mel filter banks, SpecAugment masks; the views differ by dropout alone (App. B).

A clip is (1, 128 mel bins, 1024 frames of 10 ms) after cutting or padding; the numbers are SSAST's, which the
released code uses.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from nlcse_tune.data import decode, synthetic
from nlcse_tune.data.decode import RATE
from nlcse_tune.data.side import VIEWS, SideData

MEL_BINS, FRAMES = 128, 1024
MASK_BINS, MASK_FRAMES = 48, 192
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet's filter banks, as in SSAST; inputs become (x - MEAN) / (2 STD)
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


class AudioData(SideData):
    """WAV and FLAC files, or voiced tones; an item is a mono wave at 16 kHz, float32 (samples,)."""

    modality = "audio"
    synthetic = (synthetic.SPEAKERS, synthetic.CLIPS_PER_SPEAKER)

    def __init__(self, data: str | Path) -> None:
        super().__init__(data)
        self._banks: dict[int, Tensor] = {}
        self._cached = 0

    @staticmethod
    def read(path: Path) -> np.ndarray:
        wave, rate = decode.clip(path)
        return wave if rate == RATE else np.asarray(resample(torch.from_numpy(wave), rate, RATE))

    @staticmethod
    def make(label: int, item: int) -> np.ndarray:
        return synthetic.tone(label, item)

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """The same masked clip twice, float32 (2, 1, 128, 1024); padding is zero, as in SSAST."""
        # Banks are kept where there is room: one takes ten times longer than all the rest.
        if (bank := self._banks.get(item)) is None:
            bank = filter_bank(self.open(item))
            if self._cached + bank.nbytes <= CACHE_BYTES:
                self._banks[item] = bank
                self._cached += bank.nbytes
        padded = torch.zeros(FRAMES, MEL_BINS)
        padded[: len(bank)] = bank
        return spec_augment(padded, rng).T.expand(VIEWS, 1, MEL_BINS, FRAMES)

    def normalise(self, stored: Tensor) -> Tensor:
        """(R, 1, 128, 1024) to about zero mean and a standard deviation of a half."""
        return (stored - MEAN) / (2 * STD)
