"""From images or audio to the states that the text encoder's own layers take (§3.3, Appendix B).

R rows of side input (views x items), D width. A new modality is one line in SHAPES.
"""

import torch
from torch import Tensor, nn

from nlcse_tune import plugins
from nlcse_tune.errors import ConfigError, reason_of

# Channels, height and width, patch size of each modality's inputs.
SHAPES: dict[str, tuple[int, tuple[int, int], int]] = {
    "image": (3, (224, 224), 16),  # 14 x 14 patches and [CLS]: 197 states
    "audio": (1, (128, 1024), 24),  # mel bins, frames of 10 ms: 5 x 42 patches and [CLS]: 211 states
}


class PatchEmbedding(nn.Module):
    """Patches, [CLS] and learned positions: (R, C, H, W) -> (R, 1 + patches, D), as ViT's embedding layer.

    `positions` can be left out, as the released code does for audio.
    """

    def __init__(
        self, channels: int, size: tuple[int, int], patch: int, width: int, dropout: float, positions: bool = True
    ) -> None:
        super().__init__()
        patches = (size[0] // patch) * (size[1] // patch)
        self.projection = nn.Conv2d(channels, width, kernel_size=patch, stride=patch)
        self.cls_token = nn.Parameter(torch.empty(1, 1, width))
        self.position_embeddings = nn.Parameter(torch.empty(1, 1 + patches, width)) if positions else None
        self.dropout = nn.Dropout(dropout)
        for parameter in (self.cls_token, self.position_embeddings, self.projection.weight):
            if parameter is not None:
                nn.init.trunc_normal_(parameter, std=0.02)
        nn.init.zeros_(self.projection.bias)  # type: ignore[arg-type]

    def forward(self, inputs: Tensor) -> Tensor:
        patches = self.projection(inputs).flatten(2).transpose(1, 2)  # (R, patches, D)
        states = torch.cat([self.cls_token.expand(len(inputs), -1, -1), patches], dim=1)
        if self.position_embeddings is not None:
            states = states + self.position_embeddings
        return self.dropout(states)  # type: ignore[no-any-return]

    def load_vit(self, checkpoint: str) -> None:
        """Takes the patch embedding of a ViT checkpoint of the same width, patch size and image size."""
        from transformers import ViTModel

        try:
            vit = ViTModel.from_pretrained(checkpoint, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise ConfigError(
                f"side.checkpoint {checkpoint}: not a ViT that can be loaded ({reason_of(error)}); give a folder, or a "
                "hub name that this machine can reach, or null"
            ) from None
        own, source = self.state_dict(), vit.embeddings.state_dict()
        weights = {name: source[name.replace("projection.", "patch_embeddings.projection.")] for name in own}
        if wrong := [name for name, weight in weights.items() if weight.shape != own[name].shape]:
            shapes = ", ".join(f"{n} {tuple(weights[n].shape)} instead of {tuple(own[n].shape)}" for n in wrong)
            raise ConfigError(f"side.checkpoint {checkpoint}: its patch embedding does not fit the encoder: {shapes}")
        self.load_state_dict(weights)


class SideTower(nn.Module):
    """What a side has of its own: an embedding below the shared layers and a tanh head above them."""

    def __init__(self, modality: str, width: int, dropout: float, positions: bool = True) -> None:
        super().__init__()
        self.embedding = PatchEmbedding(*_shape(modality), width, dropout, positions)
        self.head = tanh_head(width)


def _shape(modality: str) -> tuple[int, tuple[int, int], int]:
    """As in SHAPES, or as an installed package says it."""
    if modality in SHAPES:
        return SHAPES[modality]
    own = plugins.own_side(modality)
    return own.shape[0], own.shape[1:], own.patch


def tanh_head(width: int) -> nn.Sequential:
    """Linear and tanh, (B, D) -> (B, D), initialised as BERT's layers are."""
    linear = nn.Linear(width, width)
    nn.init.normal_(linear.weight, std=0.02)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(linear, nn.Tanh())
