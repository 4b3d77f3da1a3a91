"""Figures of a search: the heat map of its two rates, and the dev curves of all its runs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcse_tune.records import RunRecord
from nlcse_tune.report.drawing import COLOURS, new_axes, write_figures
from nlcse_tune.space import Point

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Runs = Sequence[tuple[Point, RunRecord]]  # best first


def write_search_figures(
    study: str, runs: Runs, winner: str, fields: tuple[str, str] | None, folder: Path
) -> list[Path]:
    """Writes `search-curves` and, where the space has two fields with values, `search-heat-map`; PNG and SVG.

    `winner` is the run id of the chosen configuration, which need not be the best single run.
    """
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
        look: dict[str, Any] = chosen if record.run_id == winner else {"color": "#999999"}
        axes.plot(shares, scores, **look)
        if record.status == "stopped" and scores:
            axes.plot(shares[-1], scores[-1], "x", color=COLOURS[1], markersize=5, zorder=4)
    if any(record.status == "stopped" for _, record in runs):
        axes.plot([], [], "x", color=COLOURS[1], label="stopped early")
    axes.set_title(f"{study}: {len(runs)} runs", fontsize=10)
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
