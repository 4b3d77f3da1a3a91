"""Figures 2, 3 and 4 from a page."""

from functools import partial
from pathlib import Path
from typing import Any

from nlcse_tune import stats
from nlcse_tune.report.figures import COLOURS, draw_geometry, look, new_axes, write_figure
from nlcse_tune.reproduce.measured import Page


def draw_page(page: Page, path: Path) -> list[Path]:
    """Draws a figure of the paper; of a table, or where nothing is measured, nothing."""
    if not page.name.startswith("figure"):
        return []
    if page.table.measure == "geometry":
        means = {
            line.row.name: tuple(stats.summarise(line.values(column)).mean for column in ("uniformity", "alignment"))
            for line in page.lines
            if line.values("uniformity") and line.values("alignment")
        }
        if means:
            small = "SMALL SCALE" if page.scale == "small" else ""
            draw_geometry({name: (x, y, None) for name, (x, y) in means.items()}, path, small)
        return [path] if means else []
    return write_figure(partial(_levels, page), path)


def _levels(page: Page) -> Any:  # matplotlib is report's
    """A figure, or None: mean ± std at each level; the last row, which has none, as a line; the paper's as crosses."""
    column, (*levels, last) = page.table.columns[-1], page.lines
    measured = [(i, stats.summarise(values)) for i, line in enumerate(levels) if (values := line.values(column))]
    if not measured:
        return None
    small = "\nSMALL SCALE" if page.scale == "small" else ""
    figure, axes = new_axes(6.0, 4.0, ylabel="STS average, Spearman x 100", title=page.title + small)
    places, own = zip(*measured, strict=True)
    errors = [summary.std or 0.0 for summary in own]
    axes.errorbar(places, [s.mean for s in own], errors, capsize=3, label="supervised SimCSE, here", **look(0))
    printed = [(i, line.printed[column]) for i, line in enumerate(levels) if line.printed and not small]
    if printed:
        axes.plot(*zip(*printed, strict=True), "x", color=COLOURS[0], label="in the paper's tables")
    if values := last.values(column):
        axes.axhline(stats.summarise(values).mean, color=COLOURS[1], label=f"{last.row.name}, here")
    axes.set_xticks(range(len(levels)), [line.row.name for line in levels])
    axes.legend()
    return figure
