"""Alignment and uniformity (§5.2, Figure 4) of sentence embeddings on STS-B.

Wang & Isola (2020), with their alpha = 2 and t = 2, on embeddings of length 1; positives are the pairs with a gold
score of at least 4. SimCSE's authors take the whole of STS-B, train, dev and test (SimCSE#52), and so does this.

N distinct sentences, P positive pairs, D width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nlcse_tune.config import SYNTHETIC, Frozen
from nlcse_tune.data.sts import Split, Subset, load_dev, load_stsb, load_task
from nlcse_tune.errors import DataError, RunError
from nlcse_tune.evaluation.embed import Bank, Precision, Vectors, embed
from nlcse_tune.evaluation.sts import check_vary
from nlcse_tune.models.encoder import SentenceEncoder

POSITIVE = 4.0  # gold score from which a pair counts as positive
_SPLITS: tuple[Split, ...] = ("train", "dev", "test")
_ROWS = 1024  # of the N x N distances at a time


class GeometryScore(Frozen):
    """Lower is better, for both."""

    alignment: float
    uniformity: float
    positives: int
    sentences: int


def load_geometry(data: str, split: Split | Literal["all"] = "all") -> list[Subset]:
    """STS-B, whole or one split; of synthetic data dev and "test", which are all there is."""
    if data == SYNTHETIC:
        return [load_dev(data), *load_task(data, "stsb")]
    return [load_stsb(data, part) for part in (_SPLITS if split == "all" else (split,))]


def geometry_of(bank: Bank, subsets: Sequence[Subset]) -> GeometryScore:
    """The score on `subsets`, whose sentences are in `bank`.

    DataError without a positive pair; RunError for zero or constant vectors, whose alignment would be a perfect 0.
    """
    left, right = (sum((getattr(s, side) for s in subsets), list[str]()) for side in ("left", "right"))
    positive = np.concatenate([subset.gold for subset in subsets]) >= POSITIVE
    if not positive.any():
        raise DataError(f"no pair with a gold score of at least {POSITIVE}, so there is no alignment to measure")
    rows = np.unique(bank.rows([*left, *right]))
    check_vary(bank.vectors[rows].astype(np.float64))
    units = _unit(bank.vectors)
    pairs = bank.rows(left)[positive], bank.rows(right)[positive]
    return GeometryScore(
        alignment=alignment(units[pairs[0]], units[pairs[1]]),
        uniformity=uniformity(units[rows]),
        positives=int(positive.sum()),
        sentences=len(rows),
    )


def geometry_scores(encoder: SentenceEncoder, data: str, *, precision: Precision | None = None) -> GeometryScore:
    """Embeds STS-B and measures it."""
    subsets = load_geometry(data)
    bank = embed(encoder, (side for s in subsets for side in (s.left, s.right)), precision=precision)
    return geometry_of(bank, subsets)


def alignment(left: Vectors, right: Vectors) -> float:
    """Mean squared distance of P positive pairs of unit vectors, (P, D) each: 0 to 4."""
    difference = left.astype(np.float64) - right
    return float(np.einsum("pd,pd->p", difference, difference).mean())


def uniformity(units: Vectors) -> float:
    """log of the mean of exp(-2 |x - y|^2) over all pairs of N unit vectors (N, D): -8 to 0.

    The paper's formula has no logarithm; its Figure 4, like Wang & Isola and SimCSE, does.
    """
    count, total = len(units), 0.0
    if count < 2:
        raise DataError(f"uniformity needs at least 2 distinct sentences, got {count}")
    for start in range(0, count, _ROWS):
        products = (
            units[start : start + _ROWS] @ units[start:].T
        )  # (rows, N - start): each pair once, and twice its own
        kernel = np.exp(4 * (products.astype(np.float64) - 1))  # |x - y|^2 = 2 - 2 x.y
        total += float(np.triu(kernel, k=1).sum())
    return float(np.log(total / (count * (count - 1) / 2)))


def draw_geometry(scores: Mapping[str, GeometryScore], path: Path, spearman: Mapping[str, float] | None = None) -> None:
    """Writes Figure 4: uniformity against alignment, a point a model, coloured by its average STS score if given."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    x, y = [s.uniformity for s in scores.values()], [s.alignment for s in scores.values()]
    known = spearman if spearman and all(name in spearman for name in scores) else None
    colours = {"c": [known[name] for name in scores], "cmap": "viridis"} if known else {"color": "tab:red"}
    points = axes.scatter(x, y, s=45, **colours)
    for name, at in zip(scores, zip(x, y, strict=True), strict=True):
        axes.annotate(_short(name), at, xytext=(5, 5), textcoords="offset points", fontsize=8)
    if known:
        figure.colorbar(points, label="STS average, Spearman x 100")
    axes.set_xlabel("uniformity (lower is better)")
    axes.set_ylabel("alignment (lower is better)")
    axes.margins(0.15)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the figure cannot be written: {error}") from None


def _short(name: str) -> str:
    return Path(name).name or name


def _unit(vectors: Vectors) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not norms.all():
        raise RunError("a sentence embedding is zero, so it has no direction")
    return np.asarray(vectors / norms, dtype=np.float32)
