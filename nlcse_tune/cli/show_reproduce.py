"""What `reproduce` prints: the tables there are, what is to run and its cost, and the pages."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from nlcse_tune.cli.show import console, table
from nlcse_tune.files import write_text
from nlcse_tune.published import Table, label
from nlcse_tune.report.tables import rich_table
from nlcse_tune.reproduce import page as pages
from nlcse_tune.reproduce.cost import ASSUMED, Cost, cost_of, total
from nlcse_tune.reproduce.figures import draw_page
from nlcse_tune.reproduce.measured import Page
from nlcse_tune.reproduce.source import SMALL, Scale, Source

FOLDER = "reproduced"  # under --out


def listing(tables: Mapping[str, Table], sources: Mapping[str, Source], seeds: Sequence[int], scale: Scale) -> None:
    """Every table and figure, and how many of its runs are on record."""
    shown = table("name", "rows>", "runs on record>", "what it is", boxed=False)
    missing = {name: len(source.missing(seeds)) for name, source in sources.items()}
    for name, one in tables.items():
        studies = {row.study for row in one.rows} if one.measure != "settings" else set()
        wanted = len(studies) * len(seeds)
        done = f"{wanted - sum(missing[study] for study in studies)} of {wanted}" if studies else "none needed"
        shown.add_row(name, str(len(one.rows)), done, f"{label(name)}: {one.title}")
    console.print(shown)
    if scale == "small":
        console.print(pages.SMALL_SCALE)


def plan(
    tables: Mapping[str, Table],
    sources: Mapping[str, Source],
    seeds: Sequence[int],
    scale: Scale,
    *,
    search: bool,
) -> None:
    """What would run for these tables, and what it costs as far as that is known."""
    if scale == "small":
        console.print(pages.SMALL_SCALE)
    run = {row.study for one in tables.values() if one.measure != "settings" for row in one.rows}
    needed = [name for name in sources if search or name in run]
    shown = table("study", "on record>", "to run>", "steps>", "petaFLOP>", "hours>", boxed=False)
    costs = []
    for name in needed:
        source = sources[name]
        missing = len(source.missing(seeds)) if name in run else 0
        cost = cost_of(source, missing + (_trials(source) if search else 0))
        costs.append(cost)
        done = str(len(seeds) - missing) if name in run else ""
        shown.add_row(source.study.name, done, *_cells(cost))
    if not needed:
        console.print("nothing is to be run: these are settings of studies and of their searches")
        return
    everything = total(costs)
    shown.add_row("in all", "", *_cells(everything))
    console.print(shown)
    console.print(
        "hours are workers', by runs of the same configuration on record; ~ where there are none: the arithmetic at an "
        f"assumed {ASSUMED:g} teraFLOP a second, which nobody measured"
    )
    for lacking in dict.fromkeys(sources[name].lacking for name in needed):
        if lacking:
            console.print(f"left out until it is there: {lacking}", markup=False, soft_wrap=True)


def _trials(source: Source) -> int:
    """The points that a search of it would try; its repetitions of the best few come on top."""
    from nlcse_tune.search.state import budget

    return 0 if source.searched or source.study.space is None else budget(source.study, None)


def _cells(cost: Cost) -> tuple[str, ...]:
    hours = _amount(cost.hours) if cost.hours is not None else _amount(cost.assumed_hours, "~")
    steps = "" if cost.steps is None else f"{cost.steps:,}"
    return (str(cost.runs), steps, _amount(cost.petaflop), hours)


def _amount(value: float | None, sign: str = "") -> str:
    """`~9.90`, `1,780`, `< ~0.01`; a dash for what is not known."""
    if value is None:
        return "-"
    return f"< {sign}0.01" if 0 < value < 0.005 else f"{sign}{value:,.0f}" if value >= 100 else f"{sign}{value:.2f}"


def page(made: Page) -> None:
    """A table or figure, on the terminal."""
    for grid in pages.grids(made):
        console.print(rich_table(grid))
        console.print()
    for text in pages.sentences(made):
        console.print(f"- {text}", markup=False)


def write(made: Page, out: Path) -> list[Path]:
    """Markdown, JSON and, of a figure, a drawing; returns the files."""
    stem = out / FOLDER / ((SMALL if made.scale == "small" else "") + made.name)
    files = {stem.with_suffix(".md"): pages.markdown(made), stem.with_suffix(".json"): pages.as_json(made)}
    for path, text in files.items():
        write_text(path, text)
    return [*files, *draw_page(made, stem.with_suffix(".png"))]
