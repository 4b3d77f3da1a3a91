"""The modalities that a side can have: a new one is a file beside this one, and a line here."""

from collections.abc import Callable
from pathlib import Path

from nlcse_tune.config import SYNTHETIC, Modality, SideConfig
from nlcse_tune.data.audio import audio_folder, synthetic_audio
from nlcse_tune.data.image import image_folder, synthetic_images
from nlcse_tune.data.side import SideData
from nlcse_tune.errors import DataError

# What makes the embedded data of each, and what reads a folder.
MODALITIES: dict[Modality, tuple[Callable[[], SideData], Callable[[Path], SideData]]] = {
    "image": (synthetic_images, image_folder),
    "audio": (synthetic_audio, audio_folder),
}


def load_side(config: SideConfig) -> SideData:
    """The data of a side; one line a modality."""
    made, read = MODALITIES[config.modality]
    data = made() if config.data == SYNTHETIC else read(Path(config.data))
    if len(data) < config.batch_size:
        raise DataError(
            f"{config.data}: {len(data)} items do not fill one batch; side.batch_size is {config.batch_size}"
        )
    return data
