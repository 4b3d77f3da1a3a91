"""A page as tables, sentences, Markdown and JSON: the paper's numbers in a line of their own below ours."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from nlcse_tune import stats
from nlcse_tune.data.transfer import TRANSFER_TASKS
from nlcse_tune.report.numbers import DASH, TASK_LABELS, mean_std, p_equals, p_value, signed, signed_range
from nlcse_tune.report.tables import Grid, markdown_grid
from nlcse_tune.reproduce.agreement import LEVEL
from nlcse_tune.reproduce.measured import Line, Page
from nlcse_tune.space import number

SMALL_SCALE = (
    "SMALL SCALE: a small encoder, small data and a few steps stand in for the paper's. These numbers show that the "
    "path works, and nothing about the paper."
)
LABELS: dict[str, str] = {
    **{str(task): name for task, name in TASK_LABELS.items()}, **{str(task): task.upper() for task in TRANSFER_TASKS},
    "sst2": "SST", "avg": "Avg.", "dev": "Spearman",
}  # fmt: skip
OUTCOMES = {
    "agrees": "agrees: within the margin",
    "differs": "differs: {how}, and not shown to be within the margin",
    "undecided": "undecided: neither shown to be within the margin, nor to be another",
}
HOW = {True: "outside the range of one more seed here", False: "by Welch's test"}


def grids(page: Page) -> list[Grid]:
    """The table in the paper's form; of a retrieval one for each query."""
    title = page.title + (" (SMALL SCALE)" if page.scale == "small" else "")
    if page.table.measure == "retrieval":
        return [_retrieved(page, i, f"{title}; query: {query}") for i, query in enumerate(page.queries)]
    tested = any(line.row.p for line in page.lines)
    rows = [row for line in page.lines for row in _rows(line, page, tested=tested)]
    extra = ("p",) if tested else ()
    header = ("", *(LABELS.get(column, column) for column in page.table.columns), *extra, "n", "against the paper")
    return [Grid(title, header, tuple(rows))]


def _rows(line: Line, page: Page, *, tested: bool) -> Iterator[tuple[str, ...]]:
    columns, settings = page.table.columns, page.table.measure == "settings"
    values = {column: line.values(column) for column in columns}
    digits = 4 if page.table.measure == "geometry" else 2
    own = [_cell(values[column], digits, settings=settings) for column in columns]
    n = "" if settings else str(max(map(len, values.values()), default=0))
    outcome = _settings_outcome(line, page) if settings else line.agreement.outcome if line.agreement else DASH
    yield (line.row.name, *own, *((p_value(line.p) if line.row.p else "",) if tested else ()), n, outcome)
    if line.printed:
        std, count = line.row.std, page.table.n
        texts = [_printed(line.printed[column], std, count, settings=settings) for column in columns]
        yield ("  paper", *texts, *((line.row.p or "",) if tested else ()), "" if settings else str(count), "")


def _cell(values: list[float], digits: int, *, settings: bool) -> str:
    if not values:
        return DASH
    return number(_whole(values[0])) if settings else mean_std(stats.summarise(values), digits)


def _printed(value: float, std: float | None, n: int, *, settings: bool) -> str:
    if settings:
        return number(_whole(value))
    return mean_std(stats.Summary(value, std, n))


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _settings_outcome(line: Line, page: Page) -> str:
    if page.scale == "small":
        return "made small"
    own = {column: line.values(column)[0] for column in line.printed}
    chosen = "chosen by search" if line.source.searched else "as shipped"
    return f"{'the same' if own == line.printed else 'others'}, {chosen}"


def _retrieved(page: Page, query: int, title: str) -> Grid:
    """Three sentences of each model, ours and the paper's."""
    small, header, columns = page.scale == "small", [""], []
    for line in page.lines:
        found = line.hits.get(page.queries[query], ())
        header += [f"{line.row.name}, here", *([] if small else ["paper"])]
        columns += [found, *([] if small else [line.row.hits[query]])]
    ranks = range(max(len(own) for own in (*columns, *(line.row.hits[query] for line in page.lines))))
    rows = [(f"#{i + 1}", *(own[i] if i < len(own) else DASH for own in columns)) for i in ranks]
    return Grid(title, tuple(header), tuple(rows))


def sentences(page: Page) -> list[str]:
    """What is to be said of each row, a sentence each, and of all."""
    said = [SMALL_SCALE] if page.scale == "small" else []
    said += [f"Of the paper: {page.table.said}."] if page.table.said else []
    compared = [line for line in page.lines if line.agreement or line.why]
    said += [_sentence(line, page) for line in compared]
    if any(line.agreement for line in compared):
        said.append(
            f"Agreement is equivalence: two one-sided t-tests at level {LEVEL:g} against ±{page.margin:g} points, each "
            "row alone. Printed numbers of one run are taken as printed: the luck of their seed is not in a p."
        )
    lacking = {line.source.study.name: line.source.lacking for line in page.lines if line.source.lacking}
    said += [f"{name}: {why}." for name, why in lacking.items()]
    if not page.complete:
        said.append(f"Not complete: rows lack some of the seeds {', '.join(map(str, page.seeds))}.")
    return said


def _sentence(line: Line, page: Page) -> str:
    column = page.table.columns[-1]
    if (found := line.agreement) is None:
        return f"{line.row.name}: not compared: {line.why}."
    values, theirs = line.values(column), page.table.n
    runs = f"{page.table.runs}" if theirs > 1 else "one run"
    outcome = OUTCOMES[found.outcome].format(how=HOW[theirs == 1])
    return (
        f"{line.row.name}, {LABELS.get(column, column)}: {mean_std(stats.summarise(values))} over {len(values)} seeds "
        f"here, {line.printed[column]:.2f} ({runs}) in the paper; gap {signed(found.gap)}, {1 - 2 * LEVEL:.0%} "
        f"interval {signed_range(found.low, found.high, found.margin)}; equivalence {p_equals(found.p_equivalent)}: "
        f"{outcome}."
    )


def markdown(page: Page) -> str:
    """The page as GitHub Markdown."""
    lines = [f"# {page.title}", ""]
    for grid in grids(page):
        lines += markdown_grid(grid)
    return "\n".join([*lines, *(f"- {text}" for text in sentences(page)), ""])


def as_json(page: Page) -> str:
    """Every number in full precision."""
    value = {
        "table": page.name, "title": page.title, "scale": page.scale, "measure": page.table.measure,
        "seeds": page.seeds, "margin": page.margin, "level": LEVEL, "complete": page.complete,
        "rows": [_row_json(line, page) for line in page.lines], "said": sentences(page),
    }  # fmt: skip
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _row_json(line: Line, page: Page) -> dict[str, Any]:
    found = line.agreement
    return {
        "name": line.row.name, "study": line.source.study.name, "searched": line.source.searched,
        "scores": line.cells, "published": line.printed, "published_std": line.row.std, "published_n": page.table.n,
        "p": line.p, "published_p": line.row.p, "hits": line.hits, "lacking": line.source.lacking,
        "agreement": {**asdict(found), "outcome": found.outcome} if found else None, "why": line.why,
    }  # fmt: skip
