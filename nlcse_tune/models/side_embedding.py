"""From images or audio to the states that the text encoder's own layers take (§3.3, Appendix B).

V side items, P patches, D width. A new modality is one embedding here and one line in EMBEDDINGS.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nlcse_tune.config import Modality
from nlcse_tune.errors import ConfigError

IMAGE_SIZE, IMAGE_PATCH = 224, 16  # 14 x 14 patches and [CLS]: 197 states
AUDIO_FRAMES, MEL_BINS, AUDIO_PATCH = 1024, 128, 24  # 42 x 5 patches and [CLS]: 211 states


class PatchEmbedding(nn.Module):
    """Patches, [CLS] and learned positions: (V, C, H, W) -> (V, 1 + P, D), as ViT's embedding layer."""

    def __init__(self, channels: int, size: tuple[int, int], patch: int, width: int, dropout: float) -> None:
        super().__init__()
        patches = (size[0] // patch) * (size[1] // patch)
        self.projection = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.empty(1, 1 + patches, width))
        self.dropout = nn.Dropout(dropout)
        for parameter in (self.cls_token, self.position_embeddings, self.projection.weight):
            nn.init.trunc_normal_(parameter, std=0.02)
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        patches = self.projection(inputs).flatten(2).transpose(1, 2)  # (V, P, D)
        states = torch.cat([self.cls_token.expand(len(inputs), -1, -1), patches], dim=1)
        return self.dropout(states + self.position_embeddings)  # type: ignore[no-any-return]

    def load_vit(self, checkpoint: str) -> None:
        """Takes the patch embedding of a ViT checkpoint of the same width, patch size and image size."""
        from transformers import ViTModel

        source = ViTModel.from_pretrained(checkpoint).embeddings.state_dict()
        weights = {
            "cls_token": source["cls_token"],
            "position_embeddings": source["position_embeddings"],
            "projection.weight": source["patch_embeddings.projection.weight"],
            "projection.bias": source["patch_embeddings.projection.bias"],
        }
        own = self.state_dict()
        if wrong := [name for name, weight in weights.items() if weight.shape != own[name].shape]:
            shapes = ", ".join(f"{n} {tuple(weights[n].shape)} instead of {tuple(own[n].shape)}" for n in wrong)
            raise ConfigError(f"side.checkpoint {checkpoint}: its patch embedding does not fit the encoder: {shapes}")
        self.load_state_dict(weights)


def image_embedding(width: int, dropout: float) -> PatchEmbedding:
    """(V, 3, 224, 224) -> (V, 197, D)."""
    return PatchEmbedding(3, (IMAGE_SIZE, IMAGE_SIZE), IMAGE_PATCH, width, dropout)


def audio_embedding(width: int, dropout: float) -> PatchEmbedding:
    """(V, 1, 128 mel bins, 1024 frames) -> (V, 211, D)."""
    return PatchEmbedding(1, (MEL_BINS, AUDIO_FRAMES), AUDIO_PATCH, width, dropout)


EMBEDDINGS: dict[Modality, Callable[[int, float], PatchEmbedding]] = {
    "image": image_embedding,
    "audio": audio_embedding,
}


class SideTower(nn.Module):
    """What a side has of its own: an embedding below the shared layers and a tanh head above them."""

    def __init__(self, modality: Modality, width: int, dropout: float) -> None:
        super().__init__()
        self.embedding = EMBEDDINGS[modality](width, dropout)
        self.head = tanh_head(width)


def tanh_head(width: int) -> nn.Sequential:
    """Linear and tanh, (N, D) -> (N, D), initialised as BERT's layers are."""
    linear = nn.Linear(width, width)
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.Tanh())
