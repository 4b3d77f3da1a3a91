"""The modalities that a side can have: a new one is a file beside this one, and a line here."""

from nlcse_tune.config import Modality, SideConfig
from nlcse_tune.data.audio import AudioData
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.side import SideData
from nlcse_tune.errors import DataError

MODALITIES: dict[Modality, type[SideData]] = {"image": ImageData, "audio": AudioData}


def load_side(config: SideConfig) -> SideData:
    """The data of a side, enough of them to fill a batch."""
    data = MODALITIES[config.modality](config.data)
    if len(data) < config.batch_size:
        raise DataError(
            f"{config.data}: {len(data)} items do not fill one batch; side.batch_size is {config.batch_size}"
        )
    return data
