"""How every figure is drawn and written: one style, and files that appear whole and repeat to the byte.

matplotlib's object interface without pyplot: no global state, no display. Colours are Okabe and Ito's, which stay
apart under the common kinds of colour blindness, and each arm has a marker of its own as well.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlcse_tune.errors import RunError
from nlcse_tune.files import replacing

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
