"""The modalities that a side can have: a new one is a file beside this one and a line here, or an installed package."""

from nlcse_tune.config import SideConfig
from nlcse_tune.data.audio import AudioData
from nlcse_tune.data.folder import check_labels
from nlcse_tune.data.image import ImageData
from nlcse_tune.data.own import OwnData
from nlcse_tune.data.side import FolderData, SideData

MODALITIES: dict[str, type[FolderData]] = {"image": ImageData, "audio": AudioData}


def load_side(config: SideConfig) -> SideData:
    """The data of a side, which its loss can learn from; what is computed once on a machine is there."""
    if config.modality not in MODALITIES:
        own = OwnData(config)
        check_labels(config, own.labels.tolist())
        return own
    data = MODALITIES[config.modality].of(config)
    check_labels(config, data.labels.tolist())
    _ = data.table
    return data
