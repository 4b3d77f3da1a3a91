"""Figure 4: where models lie between uniformity and alignment (evaluation/geometry.py measures them)."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from nlcse_tune.report.drawing import COLOURS, new_figure, write_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Point = tuple[float, float, float | None]  # uniformity, alignment, STS average


def draw_geometry(points: Mapping[str, Point], path: Path) -> None:
    """Writes uniformity against alignment, a point per model, coloured by its STS average where all have one."""

    def draw() -> "Figure":
        figure = new_figure(5.5, 4.5)
        axes = figure.subplots()
        uniformity, alignment, averages = zip(*points.values(), strict=True)
        coloured = None not in averages
        colours = {"c": averages, "cmap": "viridis"} if coloured else {"color": COLOURS[0]}
        scattered = axes.scatter(uniformity, alignment, s=45, **colours)
        for name, (x, y, _) in points.items():
            axes.annotate(Path(name).name or name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
        if coloured:
            figure.colorbar(scattered, label="STS average, Spearman x 100")
        axes.set_xlabel("uniformity (lower is better)")
        axes.set_ylabel("alignment (lower is better)")
        axes.margins(0.15)
        return figure

    write_figure(draw, path)
