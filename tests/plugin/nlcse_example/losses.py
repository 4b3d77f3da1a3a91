from torch import Tensor, arange
from torch.nn import functional as F


def centred(view1: Tensor, view2: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """SimCLR's loss on views less their mean: (B, D), (B, D), (B,) -> scalar."""
    left, right = (F.normalize(view - view.mean(dim=0), dim=1) for view in (view1, view2))
    return F.cross_entropy(left @ right.T / temperature, arange(len(left), device=left.device))
