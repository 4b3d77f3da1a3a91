"""Figure 4: where models lie between uniformity and alignment (evaluation/geometry.py measures them)."""

from collections.abc import Mapping
from pathlib import Path

from nlcse_tune.errors import RunError

Point = tuple[float, float, float | None]  # uniformity, alignment, STS average


def draw_geometry(points: Mapping[str, Point], path: Path) -> None:
    """Writes uniformity against alignment, a point per model, coloured by its STS average where all have one."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    uniformity, alignment, averages = zip(*points.values(), strict=True)
    coloured = None not in averages
    colours = {"c": averages, "cmap": "viridis"} if coloured else {"color": "tab:red"}
    scattered = axes.scatter(uniformity, alignment, s=45, **colours)
    for name, (x, y, _) in points.items():
        axes.annotate(Path(name).name or name, (x, y), xytext=(5, 5), textcoords="offset points", fontsize=8)
    if coloured:
        figure.colorbar(scattered, label="STS average, Spearman x 100")
    axes.set_xlabel("uniformity (lower is better)")
    axes.set_ylabel("alignment (lower is better)")
    axes.margins(0.15)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=200)
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: the figure cannot be written: {error}") from None
