"""What figures show: a report's seeds, dev curves and geometry; a search's runs; any models as in Figure 4.

One style, and files that appear whole and repeat to the byte. matplotlib's object interface without pyplot: no global
state, no display. Colours are Okabe and Ito's, which stay apart under the common kinds of colour blindness, and each
arm has a marker of its own as well.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlcse_tune import stats
from nlcse_tune.errors import RunError, plural
from nlcse_tune.files import replacing
from nlcse_tune.records import RunRecord
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.build import Block
from nlcse_tune.report.numbers import AVERAGE, Column, column_label
from nlcse_tune.space import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Runs = Sequence[tuple[Point, RunRecord]]  # best first
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
_UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def look(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th arm."""
    return {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches; to be called by what `write_figure` draws with."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float, **words: str) -> "tuple[Figure, Axes]":
    """A figure with one pair of axes; `words` are their `xlabel`, `ylabel` and `title`."""
    figure = new_figure(width, height)
    return figure, figure.subplots(subplot_kw=words)


def write_figures(drawings: "Mapping[str, Callable[[], Figure | None]]", folder: Path) -> list[Path]:
    """Each drawing under its name in `folder`, PNG and SVG; returns the files."""
    files = {name: [folder / f"{name}.{kind}" for kind in ("png", "svg")] for name in drawings}
    return [path for name, draw in drawings.items() for path in write_figure(draw, *files[name])]


def write_figure(draw: "Callable[[], Figure | None]", *paths: Path) -> list[Path]:
    """Draws once and writes each path in its suffix's format (RunError if unknown); none where nothing is drawn."""
    import matplotlib

    with matplotlib.rc_context(STYLE):
        if (figure := draw()) is None:
            return []
        figure.draw_without_rendering()  # lays out once; each format would do it again
        figure.set_layout_engine("none")
        for path in paths:
            kind = path.suffix.removeprefix(".")
            if kind not in figure.canvas.get_supported_filetypes():
                raise RunError(f"{path}: no such figure format: must end in .png, .svg or .pdf")
            with replacing(path) as temporary:
                figure.savefig(temporary, format=kind, dpi=150, metadata=_UNDATED.get(kind))
    return list(paths)


def write_block_figures(block: Block, folder: Path, *, prefix: str = "") -> list[Path]:
    """Writes every figure that the block has data for; returns the files."""
    drawings = {"seeds": _seeds_figure, "dev-curves": _dev_figure, "alignment-uniformity": _geometry_figure}
    return write_figures({f"{prefix}{name}": partial(draw, block) for name, draw in drawings.items()}, folder)


def _seeds_figure(block: Block) -> "Figure | None":
    """A panel per test set: each seed a dot, the mean with its 95% t interval beside them; shared seeds joined."""
    columns: list[Column] = [AVERAGE, *block.shown]
    wide = min(4, len(columns))
    high = -(-len(columns) // wide)
    figure = new_figure(2.4 * wide + 0.4, 2.5 * high + 0.9)
    panels = figure.subplots(high, wide, squeeze=False).ravel()
    for axes, column in zip(panels, columns, strict=False):
        _seeds_panel(axes, block, column)
        axes.set_title(column_label(column, len(block.tasks)), fontweight="bold" if column == AVERAGE else "normal")
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    for axes in panels[::wide]:
        axes.set_ylabel("Spearman x 100" if block.recorded else "score")
    figure.suptitle(
        "Dots: each seed (grey: the same seed). Bars: mean and its own 95% t interval, not the gap's", fontsize=9
    )
    return _with_legend(figure, block)


def _seeds_panel(axes: "Axes", block: Block, column: Column) -> None:
    scores = [arm.scores(column, block.tasks) for arm in block.tested]
    if block.comparisons:  # only the first two: lines over more columns would cross the dots between them
        for seed in sorted(scores[0].keys() & scores[1].keys()):
            axes.plot([0, 1], [scores[0][seed], scores[1][seed]], color="#bbbbbb", linewidth=0.8, zorder=1)
    for i, values in enumerate(scores):
        y = list(values.values())
        axes.scatter([i] * len(y), y, s=22, alpha=0.75, linewidths=0, zorder=2, **look(i))
        if len(y) >= 2:
            interval = stats.mean_interval(y)
            axes.errorbar(
                i + 0.24, np.mean(y), yerr=(interval.high - interval.low) / 2, fmt="_", markersize=9, capsize=3,
                color=look(i)["color"], linewidth=1.6, markeredgewidth=1.6, zorder=3,
            )  # fmt: skip
    axes.set_xlim(-0.5, len(scores) - 0.2)
    axes.set_xticks(range(len(scores)), [f"n={len(values)}" for values in scores])
    axes.grid(axis="x", visible=False)


def _dev_figure(block: Block) -> "Figure | None":
    """STS-B dev against step: each seed thin, the mean bold where all seeds have a value, best steps marked."""
    arms = [arm for arm in block.recorded if arm.runs]
    if not any(run.record.dev_curve for arm in arms for run in arm.runs):
        return None
    figure, axes = new_axes(7, 4.4, xlabel="training step", ylabel="STS-B dev, Spearman x 100")
    axes.set_title("Thin: each seed, marked at its best step. Bold: mean, band: min to max over all seeds", fontsize=9)
    for i, arm in enumerate(arms):
        _dev_curves(axes, arm, **look(i))
    return _with_legend(figure, block)


def _dev_curves(axes: "Axes", arm: Arm, color: str, marker: str) -> None:
    curves = [{point.step: point.score for point in run.record.dev_curve} for run in arm.runs]
    for run, curve in zip(arm.runs, curves, strict=True):
        axes.plot(list(curve), list(curve.values()), color=color, linewidth=0.7, alpha=0.35)
        if (best := run.record.best_step) in curve:
            axes.scatter([best], [curve[best]], s=20, marker=marker, color=color, zorder=4)
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    if len(curves) > 1 and common:
        matrix = np.array([[curve[step] for step in common] for curve in curves])
        axes.plot(common, matrix.mean(axis=0), color=color, linewidth=2.2, zorder=3)
        axes.fill_between(common, matrix.min(axis=0), matrix.max(axis=0), color=color, alpha=0.13, linewidth=0)


def _geometry_figure(block: Block) -> "Figure | None":
    """Alignment against uniformity (lower is better for both): a small marker per seed, a large one the mean."""
    figure, axes = new_axes(
        5.2, 4.6, xlabel="uniformity (lower: spread more evenly)", ylabel="alignment (lower: similar pairs closer)"
    )
    axes.set_title("Small: each seed. Large: mean over seeds", fontsize=9)
    axes.margins(0.12)
    for i, arm in enumerate(arm for arm in block.recorded if arm.runs):
        known = [run.test.geometry for run in arm.runs if "positives" in run.test.geometry]
        if known:
            x, y = ([geometry[name] for geometry in known] for name in ("uniformity", "alignment"))
            axes.scatter(x, y, s=26, alpha=0.55, linewidths=0, **look(i))
            axes.scatter(np.mean(x), np.mean(y), s=130, edgecolor="black", zorder=3, **look(i))
    return _with_legend(figure, block) if axes.collections else None


def _with_legend(figure: "Figure", block: Block) -> "Figure":
    from matplotlib.lines import Line2D

    arms = [(f"{arm.name} (n={len(arm.seeds)})", look(i)) for i, arm in enumerate(block.tested)]
    handles = [Line2D([], [], linewidth=1.6, label=label, **style) for label, style in arms]
    columns = min(len(arms), int(figure.get_figwidth() // 2.3))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)
    return figure


def draw_geometry(points: Mapping[str, tuple[float, float, float | None]], path: Path, title: str = "") -> None:
    """Figure 4: (uniformity, alignment, STS average) per model; the average is its colour where all have one."""

    def draw() -> "Figure":
        labels = {"xlabel": "uniformity (lower is better)", "ylabel": "alignment (lower is better)"}
        figure, axes = new_axes(5.5, 4.5, title=title, **labels)
        averages = [average for *_, average in points.values() if average is not None]
        coloured = len(averages) == len(points)
        for i, (name, (x, y, average)) in enumerate(points.items()):
            style = look(i) | {"s": 160 - 120 * i / len(points)}  # of some at one place each is seen
            if coloured:
                style |= {"color": None, "c": [average], "vmin": min(averages), "vmax": max(averages)}
            scattered = axes.scatter(x, y, label=Path(name).name or name, edgecolor="black", linewidths=0.5, **style)
        if coloured:
            figure.colorbar(scattered, label="STS average, Spearman x 100")
        figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8)
        axes.margins(0.15)
        return figure

    write_figure(draw, path)


def write_search_figures(
    study: str, runs: Runs, winner: str, fields: tuple[str, str] | None, folder: Path
) -> list[Path]:
    """Writes `search-curves` and, for two fields, `search-heat-map`; `winner` is the chosen configuration's run id."""
    drawings = {"search-curves": partial(_curves_figure, study, runs, winner)}
    if fields is not None:
        drawings["search-heat-map"] = partial(_heat_figure, study, runs, *fields)
    return write_figures(drawings, folder)


def best_by_pair(runs: Runs, row: str, column: str) -> dict[tuple[Any, Any], RunRecord]:
    """The best record at each pair of values of two fields; pairs without a dev score are not in it."""
    best: dict[tuple[Any, Any], RunRecord] = {}
    for point, record in runs:
        if record.best_dev is not None and row in point and column in point:
            best.setdefault((point[row], point[column]), record)
    return best


def _curves_figure(study: str, runs: Runs, winner: str) -> "Figure":
    """Every run's dev curve over the share of a run: the winner in colour, stopped runs with a cross at their end."""
    figure, axes = new_axes(6.4, 4.0, xlabel="share of the run (%)", ylabel="STS-B dev, Spearman x 100")
    for _, record in reversed(runs):
        total = record.total_steps or record.steps
        shares = [100 * point.step / total for point in record.dev_curve]
        scores = [point.score for point in record.dev_curve]
        chosen = {"color": COLOURS[0], "linewidth": 2, "zorder": 3, "label": "winner"}
        style: dict[str, Any] = chosen if record.run_id == winner else {"color": "#999999"}
        axes.plot(shares, scores, **style)
        if record.status == "stopped" and scores:
            axes.plot(shares[-1], scores[-1], "x", color=COLOURS[1], markersize=5, zorder=4)
    if any(record.status == "stopped" for _, record in runs):
        axes.plot([], [], "x", color=COLOURS[1], label="stopped early")
    axes.set_title(f"{study}: {plural(len(runs), 'run')}", fontsize=10)
    axes.legend(frameon=False)
    return figure


def _heat_figure(study: str, runs: Runs, row: str, column: str) -> "Figure":
    """The best dev score at each pair of values of two fields; stopped runs in brackets, untried pairs empty."""
    best = best_by_pair(runs, row, column)
    scores = {pair: record.best_dev for pair, record in best.items() if record.best_dev is not None}
    rows, columns = (sorted({key[i] for key in best}, key=lambda v: (str(type(v)), v)) for i in (0, 1))
    width = max(4.2, 1.6 + 1.0 * len(columns))  # the title needs it
    figure, axes = new_axes(width, 1.4 + 0.5 * len(rows), xlabel=column, ylabel=row)
    axes.grid(visible=False)
    axes.imshow([[scores.get((r, c), float("nan")) for c in columns] for r in rows], cmap="viridis", aspect="auto")
    low, high = min(scores.values()), max(scores.values())
    for (r, c), score in scores.items():
        text = f"({score:.2f})" if best[r, c].status == "stopped" else f"{score:.2f}"
        colour = "white" if score < low + 0.6 * (high - low) else "black"
        axes.text(columns.index(c), rows.index(r), text, ha="center", va="center", fontsize=8, color=colour)
    for axis, values in ((axes.xaxis, columns), (axes.yaxis, rows)):
        axis.set_ticks(range(len(values)), [f"{v:g}" if isinstance(v, float) else str(v) for v in values])
    stopped = "\n(in brackets: stopped early)" if any(record.status == "stopped" for record in best.values()) else ""
    axes.set_title(f"{study}: best dev score{stopped}", fontsize=10)
    return figure
