"""Figures of a search: the heat map of its two rates, and the dev curves of all its runs."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcse_tune.files import replacing
from nlcse_tune.records import RunRecord
from nlcse_tune.report.figures import COLOURS, STYLE
from nlcse_tune.space import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Runs = Sequence[tuple[Point, RunRecord]]  # best first


def write_search_figures(
    study: str, runs: Runs, winner: str, fields: tuple[str, str] | None, folder: Path
) -> list[Path]:
    """Writes `search-curves` and, where the space has two fields with values, `search-heat-map`; PNG and SVG.

    `winner` is the run id of the chosen configuration, which need not be the best single run.
    """
    import matplotlib

    drawings: dict[str, Callable[[], Figure]] = {"search-curves": lambda: curves_figure(study, runs, winner)}
    if fields is not None:
        drawings["search-heat-map"] = lambda: heat_figure(study, runs, *fields)
    written = []
    with matplotlib.rc_context(STYLE):
        for name, draw in drawings.items():
            figure = draw()
            for kind in ("png", "svg"):
                path = folder / f"{name}.{kind}"
                with replacing(path) as temporary:
                    figure.savefig(temporary, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
                written.append(path)
    return written


def curves_figure(study: str, runs: Runs, winner: str) -> "Figure":
    """Every run's dev curve over the share of a run: the winner in colour, stopped runs with a cross at their end."""
    figure, axes = _figure(6.4, 4.0)
    for _, record in reversed(runs):
        chosen = record.run_id == winner
        total = record.total_steps or record.steps
        shares = [100 * point.step / total for point in record.dev_curve]
        scores = [point.score for point in record.dev_curve]
        look: dict[str, Any] = {"color": COLOURS[0], "linewidth": 2, "zorder": 3} if chosen else {"color": "#999999"}
        axes.plot(shares, scores, **look, label="winner" if chosen else None)
        if record.status == "stopped" and scores:
            axes.plot(shares[-1], scores[-1], "x", color=COLOURS[1], markersize=5, zorder=4)
    axes.plot([], [], "x", color=COLOURS[1], label="stopped early")
    axes.set_xlabel("share of the run (%)")
    axes.set_ylabel("STS-B dev, Spearman x 100")
    axes.set_title(f"{study}: {len(runs)} runs", fontsize=10)
    axes.legend(frameon=False)
    return figure


def heat_figure(study: str, runs: Runs, row: str, column: str) -> "Figure":
    """The best dev score at each pair of values of two fields; stopped runs in brackets, untried pairs empty."""
    best: dict[tuple[Any, Any], RunRecord] = {}
    for point, record in runs:
        if record.best_dev is not None and row in point and column in point:
            best.setdefault((point[row], point[column]), record)
    rows, columns = (sorted({key[i] for key in best}, key=lambda v: (str(type(v)), v)) for i in (0, 1))
    figure, axes = _figure(1.6 + 1.0 * len(columns), 1.4 + 0.5 * len(rows))
    axes.grid(visible=False)
    scores = [[_score(best.get((r, c))) for c in columns] for r in rows]
    axes.imshow(scores, cmap="viridis", aspect="auto")
    known = [_score(record) for record in best.values()]
    middle = min(known) + 0.6 * (max(known) - min(known))
    for y, r in enumerate(rows):
        for x, c in enumerate(columns):
            if (here := best.get((r, c))) is not None:
                text = f"({here.best_dev:.2f})" if here.status == "stopped" else f"{here.best_dev:.2f}"
                dark = _score(here) < middle
                axes.text(x, y, text, ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(len(columns)), [f"{c:g}" if isinstance(c, float) else str(c) for c in columns])
    axes.set_yticks(range(len(rows)), [f"{r:g}" if isinstance(r, float) else str(r) for r in rows])
    axes.set_xlabel(column)
    axes.set_ylabel(row)
    axes.set_title(f"{study}: best dev score (stopped early)", fontsize=10)
    return figure


def _score(record: RunRecord | None) -> float:
    return float("nan") if record is None or record.best_dev is None else record.best_dev


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()
