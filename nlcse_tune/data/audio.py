"""Audio: a folder per speaker, log-mel filter banks, SpecAugment masks; the views differ by dropout alone (App. B).

V views, b items of a worker's batch. A clip is (1, 128 mel bins, 1024 frames of 10 ms) after cutting or padding; filter
bank and masks are those of SSAST, which the paper takes its audio from (Appendix B), and of the released code. That
code also mixes another clip into half of them (`side.mixup`), and unlike SSAST does not normalise the filter banks
(`side.normalise`), adds no position embeddings (`side.positions`) and has no dropout after its patches
(`side.dropout`).
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
import torchaudio
from numpy.typing import NDArray
from torch import Tensor
from torchaudio.compliance import kaldi
from torchaudio.functional import resample

from nlcse_tune.config import SideConfig
from nlcse_tune.data import decode, synthetic
from nlcse_tune.data.cache import Recipe
from nlcse_tune.data.decode import RATE
from nlcse_tune.data.side import VIEWS, FolderData, Room, sent

MEL_BINS, FRAMES = 128, 1024
MASK_BINS, MASK_FRAMES = 48, 192
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet's filter banks, as in SSAST; inputs become (x - MEAN) / (2 STD)
MIX = (10, 10)  # parameters of the beta distribution that an item's share of a mixed clip is drawn from
BANKS = "1"  # raised when `filter_bank` or `AudioData.read` makes other numbers of the same clip


def filter_bank(wave: np.ndarray) -> Tensor:
    """Log-mel filter bank of a mono wave (samples,) at 16 kHz -> (frames <= 1024, 128)."""
    samples = torch.from_numpy(wave)[None]
    samples = samples - samples.mean()
    bank: Tensor = kaldi.fbank(
        samples, htk_compat=True, sample_frequency=RATE, use_energy=False, window_type="hanning",
        num_mel_bins=MEL_BINS, dither=0.0, frame_shift=10,
    )  # fmt: skip
    return bank[:FRAMES]


def draw_masks(rng: np.random.Generator) -> tuple[int, int, int, int]:
    """SpecAugment's band of up to 48 bins and stretch of up to 192 frames: first bin, bins, first frame, frames."""
    drawn: list[int] = []
    for length, widest in ((MEL_BINS, MASK_BINS), (FRAMES, MASK_FRAMES)):
        width = int(rng.uniform(0, widest))
        drawn += int(rng.uniform(0, length - width)), width
    return drawn[0], drawn[1], drawn[2], drawn[3]


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


class AudioData(FolderData):
    """WAV and FLAC files, or voiced tones; an item is a mono wave at 16 kHz, float32 (samples,)."""

    modality = "audio"
    synthetic = (synthetic.SPEAKERS, synthetic.CLIPS_PER_SPEAKER)
    shape = (1, MEL_BINS, FRAMES)

    def __init__(self, data: str | Path, *, mixup: float = 0.0, normalised: bool = True, noise: bool = False) -> None:
        super().__init__(data, noise=noise)
        self.mixup, self.normalised = mixup, normalised

    @classmethod
    def of(cls, config: SideConfig) -> Self:
        noise = config.control == "noise"
        return cls(config.data, mixup=config.mixup, normalised=config.normalise, noise=noise)

    @staticmethod
    def read(path: Path) -> np.ndarray:
        wave, rate = decode.clip(path)
        return wave if rate == RATE else np.asarray(resample(torch.from_numpy(wave), rate, RATE))

    @staticmethod
    def make(label: int, item: int) -> np.ndarray:
        return synthetic.tone(label, item)

    @staticmethod
    def noise(own: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return 0.1 * rng.standard_normal(own.shape, dtype=np.float32)

    def recipe(self) -> Recipe:
        """Of the filter banks (frames <= 1024, 128)."""
        return Recipe(
            key=f"{BANKS}\n{torchaudio.__version__}\n{self.content()}",
            what=f"the filter banks of {len(self):,} clips in {self.data}",
            count=len(self),
            dtype=np.float32,
            make=lambda item: filter_bank(self.open(item)).numpy(),
            shape=self._shape,
        )

    def _shape(self, item: int) -> tuple[int, int]:
        seconds = 1.0 if self.files is None else decode.clip_seconds(self.files[item])
        return min(FRAMES, 1 + int(seconds * 100)), MEL_BINS

    def _bank(self, item: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """The filter bank of a clip, or of what it becomes with another: `rng` draws that first."""
        if (mixed := self._mixed(rng)) is None:
            return self.table[item]
        return filter_bank(mix(self.open(item), self.open(mixed.other), mixed.share)).numpy()

    def render(self, item: int, rng: np.random.Generator, out: Tensor) -> None:
        room = self.room(1, pinned=False)
        self.fill(room, 0, item, rng)
        out[:] = self.render_all(room, "cpu")[:1]

    def room(self, items: int, *, pinned: bool) -> Room:
        """Filter banks (items, 1024, 128), and the masks of each (items, 4)."""
        banks = torch.empty(items, FRAMES, MEL_BINS, pin_memory=pinned)
        return banks, torch.empty(items, 4, dtype=torch.int64, pin_memory=pinned)

    def fill(self, room: Room, place: int, item: int, rng: np.random.Generator) -> None:
        """Padding is zero, as in SSAST."""
        banks, masks = (tensor.numpy() for tensor in room)
        bank = self._bank(item, rng)
        banks[place, : len(bank)], banks[place, len(bank) :] = bank, 0
        masks[place] = draw_masks(rng)

    def render_all(self, room: Room, device: torch.device | str) -> Tensor:
        """The same masked clip twice."""
        banks, masks = (sent(tensor, device) for tensor in room)
        first_bin, bins, first_frame, frames = masks.T[..., None]
        bin_, frame = (torch.arange(length, device=banks.device) for length in (MEL_BINS, FRAMES))
        band = (bin_ >= first_bin) & (bin_ < first_bin + bins)  # (b, 128)
        stretch = (frame >= first_frame) & (frame < first_frame + frames)  # (b, 1024)
        banks = banks.masked_fill_(band[:, None] | stretch[..., None], 0)
        if self.normalised:  # to about zero mean and a standard deviation of a half
            banks = banks.sub_(MEAN).div_(2 * STD)
        return banks.mT.expand(VIEWS, 1, *banks.mT.shape).movedim(1, 2).flatten(0, 1)

    def labels_of(self, items: NDArray[np.int64], generator: Callable[[int], np.random.Generator]) -> NDArray[np.int64]:
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
