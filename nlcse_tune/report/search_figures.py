"""Figures of a search: the heat map of its two rates, and the dev curves of all its runs."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcse_tune.records import RunRecord
from nlcse_tune.report.drawing import COLOURS, new_figure, write_figure
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
    drawings = {"search-curves": partial(curves_figure, study, runs, winner)}
    if fields is not None:
        drawings["search-heat-map"] = partial(heat_figure, study, runs, *fields)
    written = []
    for name, draw in drawings.items():
        written += write_figure(draw, *(folder / f"{name}.{kind}" for kind in ("png", "svg")))
    return written


def best_by_pair(runs: Runs, row: str, column: str) -> dict[tuple[Any, Any], RunRecord]:
    """The best record at each pair of values of two fields; pairs without a dev score are not in it."""
    best: dict[tuple[Any, Any], RunRecord] = {}
    for point, record in runs:
        if record.best_dev is not None and row in point and column in point:
            best.setdefault((point[row], point[column]), record)
    return best


def curves_figure(study: str, runs: Runs, winner: str) -> "Figure":
    """Every run's dev curve over the share of a run: the winner in colour, stopped runs with a cross at their end."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    for _, record in reversed(runs):
        chosen = record.run_id == winner
        total = record.total_steps or record.steps
        shares = [100 * point.step / total for point in record.dev_curve]
        scores = [point.score for point in record.dev_curve]
        look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 2, "zorder": 3} if chosen else {"color": "#999999"}
        axes.plot(shares, scores, **look, label="winner" if chosen else None)
        if record.status == "stopped" and scores:
            axes.plot(shares[-1], scores[-1], "x", color=COLOURS[1], markersize=5, zorder=4)
    if any(record.status == "stopped" for _, record in runs):
        axes.plot([], [], "x", color=COLOURS[1], label="stopped early")
    axes.set_xlabel("share of the run (%)")
    axes.set_ylabel("STS-B dev, Spearman x 100")
    axes.set_title(f"{study}: {len(runs)} runs", fontsize=10)
    axes.legend(frameon=False)
    return figure


def heat_figure(study: str, runs: Runs, row: str, column: str) -> "Figure":
    """The best dev score at each pair of values of two fields; stopped runs in brackets, untried pairs empty."""
    best = best_by_pair(runs, row, column)
    rows, columns = (sorted({key[i] for key in best}, key=lambda v: (str(type(v)), v)) for i in (0, 1))
    figure = new_figure(max(4.2, 1.6 + 1.0 * len(columns)), 1.4 + 0.5 * len(rows))  # the title needs its width
    axes = figure.subplots()
    axes.grid(visible=False)
    axes.imshow([[_score(best.get((r, c))) for c in columns] for r in rows], cmap="viridis", aspect="auto")
    known = [_score(record) for record in best.values()]
    middle = min(known) + 0.6 * (max(known) - min(known))
    for (r, c), record in best.items():
        text = f"({_score(record):.2f})" if record.status == "stopped" else f"{_score(record):.2f}"
        colour = "white" if _score(record) < middle else "black"
        axes.text(columns.index(c), rows.index(r), text, ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(columns)), [_short(value) for value in columns])
    axes.set_yticks(range(len(rows)), [_short(value) for value in rows])
    axes.set_xlabel(column)
    axes.set_ylabel(row)
    stopped = "\n(in brackets: stopped early)" if any(record.status == "stopped" for record in best.values()) else ""
    axes.set_title(f"{study}: best dev score{stopped}", fontsize=10)
    return figure


def _score(record: RunRecord | None) -> float:
    return float("nan") if record is None or record.best_dev is None else record.best_dev


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
