"""Audio: a folder per speaker, log-mel filter banks, SpecAugment masks; the views differ by dropout alone (App. B).

A clip is (1, 128 mel bins, 1024 frames of 10 ms) after cutting or padding; the numbers are SSAST's, which the
released code uses.
"""

from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from nlcse_tune.data import synthetic
from nlcse_tune.data.side import VIEWS, SideData
from nlcse_tune.errors import DataError

RATE, MEL_BINS, FRAMES = 16_000, 128, 1024
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
    """Clips with labels: WAV and FLAC files of any rate, or voiced tones; an item is a mono wave at 16 kHz.

    Waves are float32 (samples,).
    """

    suffixes = (".wav", ".flac")
    synthetic = (synthetic.SPEAKERS, synthetic.CLIPS_PER_SPEAKER)

    def __init__(self, data: str | Path) -> None:
        super().__init__(data)
        self._banks: dict[int, Tensor] = {}
        self._cached = 0

    @staticmethod
    def read(path: Path) -> np.ndarray:
        try:
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, soundfile.SoundFileError) as error:
            raise DataError(f"{path}: not readable as audio ({error}); remove or replace it") from None
        if len(wave) == 0:
            raise DataError(f"{path}: holds no samples; remove or replace it")
        mono = torch.from_numpy(wave.mean(axis=1))
        return np.asarray(resample(mono, rate, RATE) if rate != RATE else mono)

    @staticmethod
    def make(label: int, item: int) -> np.ndarray:
        return synthetic.tone(label, item)

    def _bank(self, item: int) -> Tensor:
        """The item's filter bank, from memory where there is room: it takes ten times longer than all the rest."""
        if (bank := self._banks.get(item)) is None:
            wave = self.open(item)
            bank = filter_bank(np.pad(wave, (0, max(0, RATE // 40 - len(wave)))))  # kaldi's window is 25 ms
            if self._cached + bank.nbytes <= CACHE_BYTES:
                self._banks[item] = bank
                self._cached += bank.nbytes
        return bank

    def views(self, item: int, rng: np.random.Generator) -> Tensor:
        """The same masked clip twice, float32 (2, 1, 128, 1024); padding is zero, as in SSAST."""
        bank = self._bank(item)
        padded = torch.zeros(FRAMES, MEL_BINS)
        padded[: len(bank)] = bank
        return spec_augment(padded, rng).T.expand(VIEWS, 1, MEL_BINS, FRAMES)

    def normalise(self, stored: Tensor) -> Tensor:
        """(R, 1, 128, 1024) to about zero mean and a standard deviation of a half."""
        return (stored - MEAN) / (2 * STD)
