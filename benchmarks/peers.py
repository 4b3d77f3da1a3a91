"""A plain loop in the way of the released code, to measure this one against; on a CPU or a GPU.

As there: a Hugging Face encoder with torch's own dropout and the attention that transformers chooses; sentences
tokenised beforehand (datasets.map) and padded by a collator of Python lists; torchvision's transforms, or torchaudio's
filter bank, one sample at a time in loader processes; two unfused AdamW with schedules, clipped and zeroed between;
nothing cached. Losses are SimCSE's for text and SimCLR's for the side, whatever loss the study would have.

B items of a batch, V views, T tokens, R = V x B rows, D width. Source: the released `train.py` and its `trainers.py`.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import soundfile
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset
from torchaudio import functional as AF
from torchaudio import transforms as AT
from torchaudio.compliance import kaldi
from torchvision import transforms as T
from transformers import PreTrainedModel, get_scheduler

Ids = Sequence[Sequence[int]]  # the token ids of each of an item's V sentences
RATE, FRAMES, BINS = 16_000, 1024, 128
VIEW = T.Compose(
    [
        T.RandomResizedCrop(224, scale=(0.2, 1.0)),
        T.RandomHorizontalFlip(),
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
        T.ToTensor(),
        T.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
MASKS = nn.Sequential(AT.FrequencyMasking(48), AT.TimeMasking(192))


class Pictures(Dataset[Tensor]):
    """Two random views of an image file, (2, 3, 224, 224)."""

    shape, patch = (3, 224, 224), 16

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> Tensor:
        picture = Image.open(self.files[item]).convert("RGB")
        return torch.stack([VIEW(picture) for _ in range(2)])


class Clips(Dataset[Tensor]):
    """One masked filter bank of an audio file, twice, (2, 1, 128, 1024)."""

    shape, patch = (1, BINS, FRAMES), 24

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, item: int) -> Tensor:
        samples, rate = soundfile.read(self.files[item], dtype="float32", always_2d=True)
        wave = torch.from_numpy(samples.mean(axis=1))[None]
        wave = AF.resample(wave, rate, RATE)
        bank = kaldi.fbank(
            wave - wave.mean(), htk_compat=True, sample_frequency=RATE, use_energy=False, window_type="hanning",
            num_mel_bins=BINS, dither=0.0, frame_shift=10,
        )  # fmt: skip
        bank = F.pad(bank[:FRAMES], (0, 0, 0, max(0, FRAMES - len(bank))))
        bank = (MASKS(bank.T[None]) + 4.2677393) / (2 * 4.5689974)
        return torch.stack([bank, bank])


SideFiles = Pictures | Clips


class Patches(nn.Module):
    """ViT's embedding layer: (R, C, H, W) -> (R, patches + 1, D)."""

    def __init__(self, shape: Sequence[int], patch: int, width: int, dropout: float) -> None:
        super().__init__()
        channels, height, breadth = shape
        self.projection = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.first = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, 1 + (height // patch) * (breadth // patch), width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor) -> Tensor:
        patches = self.projection(inputs).flatten(2).transpose(1, 2)
        states = torch.cat((self.first.expand(len(inputs), -1, -1), patches), dim=1)
        dropped: Tensor = self.dropout(states + self.positions)
        return dropped


class Plain(nn.Module):
    """A Hugging Face encoder (BERT, RoBERTa) with an MLP for sentences; patches and another MLP for a side."""

    def __init__(self, backbone: PreTrainedModel, side: SideFiles | None = None) -> None:
        super().__init__()
        config: Any = backbone.config
        width = config.hidden_size
        self.backbone, self.head = backbone, nn.Sequential(nn.Linear(width, width), nn.Tanh())
        self.side_head = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if side is not None else None
        dropout = config.hidden_dropout_prob
        self.patches = Patches(side.shape, side.patch, width, dropout) if side is not None else None

    def text(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(R, T), (R, T) -> (R, D)."""
        vectors: Tensor = self.head(self.backbone(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0])
        return vectors

    def side(self, inputs: Tensor) -> Tensor:
        """(R, C, H, W) -> (R, D), through the same layers."""
        assert self.patches is not None
        assert self.side_head is not None
        layers: Any = self.backbone.encoder
        vectors: Tensor = self.side_head(layers(self.patches(inputs)).last_hidden_state[:, 0])
        return vectors


def text_loss(vectors: Tensor, views: int) -> Tensor:
    """SimCSE's loss, tau 0.05, with the third view's vectors as further negatives: (R, D) -> scalar."""
    first, *others = F.normalize(vectors.float(), dim=-1).chunk(views)
    logits = first @ torch.cat(others).T / 0.05
    return F.cross_entropy(logits, torch.arange(len(first), device=logits.device))


def side_loss(vectors: Tensor) -> Tensor:
    """SimCLR's loss, tau 0.07: (2B, D) -> scalar."""
    units = F.normalize(vectors.float(), dim=-1)
    logits = units @ units.T / 0.07
    logits.fill_diagonal_(float("-inf"))
    return F.cross_entropy(logits, torch.arange(len(units), device=logits.device).roll(len(units) // 2))


def padded(items: Sequence[Ids], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """SimCSE's collator: the items' ids, view by view, padded to the longest as Python lists; ids and mask, (R, T)."""
    rows = [item[view] for view in range(len(items[0])) for item in items]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask


def side_rows(items: Sequence[Tensor]) -> Tensor:
    """(V, C, H, W) of B items -> (R, C, H, W), view by view."""
    return torch.stack(list(items), dim=1).flatten(0, 1)


def batches(data: Any, size: int, collate: Callable[[Any], Any], device: str, loaders: int = 0) -> Iterator[Any]:
    """Shuffled whole batches without end, as a DataLoader gives them, pinned where there is a GPU."""
    loader: Iterable[Any] = DataLoader(
        data, size, shuffle=True, drop_last=True, collate_fn=collate, num_workers=loaders,
        pin_memory=device != "cpu", persistent_workers=loaders > 0,
    )  # fmt: skip
    return itertools.chain.from_iterable(itertools.repeat(loader))


def optimizer_of(model: nn.Module, rate: float, schedule: str, steps: int) -> tuple[Any, Any]:
    """An AdamW over all parameters, unfused, and its schedule."""
    decayed = [p for name, p in model.named_parameters() if not name.endswith("bias") and "LayerNorm" not in name]
    others = [p for name, p in model.named_parameters() if name.endswith("bias") or "LayerNorm" in name]
    groups = [{"params": decayed, "weight_decay": 0.0}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, fused=False)
    return optimizer, get_scheduler(schedule, optimizer, 0, steps)


def plain_loop(
    backbone: PreTrainedModel,
    sentences: Sequence[Ids],
    side: SideFiles | None = None,
    *,
    text_batch: int = 64,
    side_batch: int = 48,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    loaders: int = 2,
    steps: int = 100_000,
) -> Iterator[Tensor]:
    """Trains for ever; yields the text loss, on the device, after each step. Nothing waits for a GPU.

    `backbone` is any BERT-like model with `.encoder` layers; `dtype` that of autocast, fp32 for none.
    """
    model = Plain(backbone, side).to(device).train()
    autocast = torch.autocast(torch.device(device).type, dtype=dtype, enabled=dtype != torch.float32)
    views = len(sentences[0])
    text = optimizer_of(model, 3e-5, "linear", steps)
    tokens = batches(sentences, text_batch, padded, device)
    pictures = optimizer_of(model, 1e-6, "cosine", steps) if side is not None else None
    inputs = batches(side, side_batch, side_rows, device, loaders) if side is not None else None
    while True:
        ids, mask = (tensor.to(device, non_blocking=True) for tensor in next(tokens))
        with autocast:
            vectors = model.text(ids, mask)
        loss = text_loss(vectors, views)
        _update(model, loss, *text)
        if inputs is not None and pictures is not None:
            rows = next(inputs).to(device, non_blocking=True)
            with autocast:
                vectors = model.side(rows)
            _update(model, side_loss(vectors), *pictures)
        yield loss.detach()


def _update(model: nn.Module, loss: Tensor, optimizer: Any, schedule: Any) -> None:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    schedule.step()
