"""Figures, PNG and SVG: every seed as a dot, dev curves with their spread, alignment against uniformity.

matplotlib's object interface without pyplot: no global state, no display. Colours are Okabe and Ito's, which stay
apart under the common kinds of colour blindness, and each arm has a marker of its own as well.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcse_tune import stats
from nlcse_tune.files import replacing
from nlcse_tune.report.arms import AVERAGE, Arm, Column
from nlcse_tune.report.build import Block
from nlcse_tune.report.numbers import column_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE: dict[Any, Any] = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "svg.hashsalt": "nlcse-tune",  # the same records give the same file
}


def write_figures(block: Block, folder: Path, *, prefix: str = "") -> list[Path]:
    """Writes every figure that the block has data for; returns the files."""
    import matplotlib

    drawings: dict[str, Callable[[Block], Figure | None]] = {
        "seeds": seeds_figure,
        "dev-curves": dev_figure,
        "alignment-uniformity": geometry_figure,
    }
    written = []
    with matplotlib.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw(block)
            if figure:
                figure.draw_without_rendering()  # lays out once; each format would do it again
                figure.set_layout_engine("none")
            for kind in ("png", "svg") if figure else ():
                path = folder / f"{prefix}{name}.{kind}"
                with replacing(path) as temporary:
                    metadata = {"Date": None} if kind == "svg" else None
                    figure.savefig(temporary, format=kind, dpi=150, metadata=metadata)  # type: ignore[union-attr]
                written.append(path)
    return written


def seeds_figure(block: Block) -> "Figure":
    """A panel a test set: each seed a dot, the mean with its 95% t interval beside them; shared seeds joined."""
    columns: list[Column] = [AVERAGE, *block.tasks]
    wide = min(4, len(columns))
    high = -(-len(columns) // wide)
    figure = _figure(2.4 * wide + 0.4, 2.5 * high + 0.9)
    panels = figure.subplots(high, wide, squeeze=False).ravel()
    for axes, column in zip(panels, columns, strict=False):
        _seeds_panel(axes, block, column)
        axes.set_title(column_label(column, len(block.tasks)), fontweight="bold" if column == AVERAGE else "normal")
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    for axes in panels[::wide]:
        axes.set_ylabel("Spearman x 100")
    figure.suptitle(
        "Dots: each seed (grey: the same seed). Bars: mean and its own 95% t interval, not the gap's", fontsize=9
    )
    _legend(figure, block.tested)
    return figure


def _seeds_panel(axes: "Axes", block: Block, column: Column) -> None:
    arms = block.tested
    scores = [arm.scores(column, block.tasks) for arm in arms]
    if block.comparisons:  # only the first two: lines over more columns would cross the dots between them
        for seed in sorted(scores[0].keys() & scores[1].keys()):
            axes.plot([0, 1], [scores[0][seed], scores[1][seed]], color="#bbbbbb", linewidth=0.8, zorder=1)
    for i, values in enumerate(scores):
        y = list(values.values())
        axes.scatter(
            [i] * len(y), y, s=22, marker=MARKERS[i % 7], color=COLOURS[i % 7], alpha=0.75, linewidths=0, zorder=2
        )
        if len(y) >= 2:
            interval = stats.mean_interval(y)
            axes.errorbar(
                i + 0.24, np.mean(y), yerr=(interval.high - interval.low) / 2, fmt="_", markersize=9, capsize=3,
                color=COLOURS[i % 7], linewidth=1.6, markeredgewidth=1.6, zorder=3,
            )  # fmt: skip
    axes.set_xlim(-0.5, len(arms) - 0.2)
    axes.set_xticks(range(len(arms)), [f"n={len(values)}" for values in scores])
    axes.grid(axis="x", visible=False)


def dev_figure(block: Block) -> "Figure | None":
    """STS-B dev against step: each seed thin, the mean bold where all seeds have a value, best steps marked."""
    if not any(run.record.dev_curve for arm in block.tested for run in arm.runs):
        return None
    figure = _figure(7, 4.4)
    axes = figure.subplots()
    for i, arm in enumerate(block.tested):
        _dev_curves(axes, arm, COLOURS[i % 7], MARKERS[i % 7])
    axes.set_xlabel("training step")
    axes.set_ylabel("STS-B dev, Spearman x 100")
    axes.set_title("Thin: each seed, marked at its best step. Bold: mean, band: min to max over all seeds", fontsize=9)
    _legend(figure, block.tested)
    return figure


def _dev_curves(axes: "Axes", arm: Arm, colour: str, marker: str) -> None:
    curves = [{point.step: point.score for point in run.record.dev_curve} for run in arm.runs]
    for run, curve in zip(arm.runs, curves, strict=True):
        axes.plot(list(curve), list(curve.values()), color=colour, linewidth=0.7, alpha=0.35)
        if run.record.best_step in curve:
            axes.scatter(
                [run.record.best_step], [curve[run.record.best_step]], s=20, marker=marker, color=colour, zorder=4
            )
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    if len(curves) > 1 and common:
        matrix = np.array([[curve[step] for step in common] for curve in curves])
        axes.plot(common, matrix.mean(axis=0), color=colour, linewidth=2.2, zorder=3)
        axes.fill_between(common, matrix.min(axis=0), matrix.max(axis=0), color=colour, alpha=0.13, linewidth=0)


def geometry_figure(block: Block) -> "Figure | None":
    """Alignment against uniformity (lower is better for both): a small marker a seed, a large one the mean."""
    points = {arm.name: _geometry(arm) for arm in block.tested}
    if not any(points.values()):
        return None
    figure = _figure(5.2, 4.6)
    axes = figure.subplots()
    for i, arm in enumerate(block.tested):
        if found := points[arm.name]:
            x, y = zip(*found, strict=True)
            axes.scatter(x, y, s=26, marker=MARKERS[i % 7], color=COLOURS[i % 7], alpha=0.55, linewidths=0)
            axes.scatter(
                np.mean(x), np.mean(y), s=130, marker=MARKERS[i % 7], color=COLOURS[i % 7], edgecolor="black", zorder=3
            )
    axes.set_xlabel("uniformity (lower: spread more evenly)")
    axes.set_ylabel("alignment (lower: similar pairs closer)")
    axes.set_title("Small: each seed. Large: mean over seeds", fontsize=9)
    axes.margins(0.12)
    _legend(figure, block.tested)
    return figure


def _geometry(arm: Arm) -> list[tuple[float, float]]:
    found = [run.test.geometry for run in arm.runs]
    return [(g["uniformity"], g["alignment"]) for g in found if "uniformity" in g and "alignment" in g]


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _legend(figure: "Figure", arms: Sequence[Arm]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D(
            [], [], color=COLOURS[i % 7], marker=MARKERS[i % 7], linewidth=1.6, label=f"{arm.name} (n={len(arm.runs)})"
        )
        for i, arm in enumerate(arms)
    ]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(arms), int(figure.get_figwidth() // 2.3)),
        frameon=False,
    )
