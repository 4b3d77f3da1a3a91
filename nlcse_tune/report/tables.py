"""Tables: one grid of plain cells, rendered for a terminal, Markdown and LaTeX."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.numbers import AVERAGE, DASH, Column, bounds, column_label, mean_std, p_value, plain, signed
from nlcse_tune.report.remarks import remarks


@dataclass(frozen=True)
class Grid:
    """A table before any format: a title, a header, and cells in which ` ± ` parts mean from std."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def scores_grid(block: Block, options: ReportOptions) -> Grid:
    """Table 3 widened: a row per method with seven tasks, average, n, p and g; published rows below their own."""
    columns: list[Column] = [*block.tasks, AVERAGE]
    p_name = "p (Holm)" if options.correct == "holm" else "p"
    header = ("", *(column_label(c, len(block.tasks)) for c in columns), "n", p_name, "g")
    rows = []
    for arm in block.arms:
        rows.append(_arm_row(arm, block, columns, options))
        rows += _published_rows(arm, columns, seven=len(block.tasks) == len(STS_TASKS))
    return Grid(caption(block, options), header, tuple(rows))


def caption(block: Block, options: ReportOptions) -> str:
    """What the scores of the block's first table are."""
    baseline = block.baseline.name if block.comparisons and block.baseline else None
    return words.caption(block.setting, options.test, options.correct, baseline)


def _arm_row(arm: Arm, block: Block, columns: Sequence[Column], options: ReportOptions) -> tuple[str, ...]:
    scores = {column: list(arm.scores(column, block.tasks).values()) for column in columns}
    cells = [_cell(values, len(arm.runs)) for values in scores.values()]
    gap = next((c.gaps.get(AVERAGE) for c in block.comparisons if c.method is arm), None)
    p, g = (p_value(gap.p(options.correct)), plain(gap.effect.g) if gap.effect else DASH) if gap else ("", "")
    return (arm.name, *cells, str(len(arm.runs)), p, g)


def _cell(values: list[float], n: int) -> str:
    """Mean and std; a mean over fewer seeds than the row's n says so."""
    if not values:
        return DASH
    return mean_std(stats.summarise(values)) + ("" if len(values) == n else f" (n={len(values)})")


def _published_rows(arm: Arm, columns: Sequence[Column], *, seven: bool) -> list[tuple[str, ...]]:
    published = arm.study.published
    if published is None or arm.unpublished():  # a warning says so
        return []
    rows = []
    # A published average is over seven tasks, so it stands beside ours only where ours is too.
    scores = {c: s for c, s in published.scores.items() if c in columns and (c != AVERAGE or seven)}
    if scores:
        cells = [f"{scores[c]:.2f}" if c in scores else DASH for c in columns]
        rows.append(("  published", *cells, "", "", ""))
    if published.seeds and seven:
        s = published.seeds
        average = mean_std(stats.Summary(s.mean, s.std, s.n))
        rows.append(("  published, seeds", *[DASH] * (len(columns) - 1), average, str(s.n), "", ""))
    return rows


def gaps_grid(comparison: Comparison, block: Block) -> Grid:
    """A row per test set: gap, interval, p, adjusted p, effect sizes, and the n they rest on."""
    header = ("", "gap", "95% interval", "p", "p (Holm)", "g", "g, 95%", "P(better)", "P, 95%", "n")
    rows = [(column_label(column, len(block.tasks)), *_gap_cells(gap)) for column, gap in comparison.gaps.items()]
    return Grid(f"{comparison.method.name} minus {comparison.baseline.name}", header, tuple(rows))


def _gap_cells(gap: Gap) -> tuple[str, ...]:
    effect, better = gap.effect, gap.improvement
    return (
        signed(gap.gap),
        bounds(gap.interval),
        p_value(gap.result.p if gap.result else None),
        p_value(gap.holm),
        plain(effect.g) if effect else DASH,
        bounds(effect),
        f"{better.value:.2f}" if better else DASH,
        bounds(better),
        str(gap.method.n) if gap.method.n == gap.baseline.n else f"{gap.method.n} / {gap.baseline.n}",
    )


def grids(block: Block, options: ReportOptions) -> list[Grid]:
    """The block's tables in order."""
    return [scores_grid(block, options), *(gaps_grid(c, block) for c in block.comparisons)]


def terminal(report: Report, *, notes: bool = False) -> RenderableType:
    """Verdict, tables and warnings for rich, and the notes where they are asked for; else how to get them."""
    parts: list[RenderableType] = []
    hidden = 0
    for block, said in zip(report.blocks, remarks(report), strict=True):
        parts += [part for text in said.verdict for part in (Text(text), "")]
        parts += [part for grid in grids(block, report.options) for part in (_rich_table(grid), "")]
        if said.warnings:
            parts += [Text("Warnings", style="bold"), _rich_list(said.warnings), ""]
        if notes and said.notes:
            parts += [Text("Notes", style="bold"), _rich_list(said.notes), ""]
        hidden += 0 if notes else len(said.notes)
    return Group(*parts, *([Text(words.notes_hidden(hidden))] if hidden else []))


def _rich_table(grid: Grid) -> Table:
    """No lines between columns, mean and std on two lines, and names and intervals that wrap: 80 characters do."""
    table = Table(
        title=grid.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=0, show_edge=False
    )
    for i, name in enumerate(grid.header):
        wraps = i == 0 or any(" to " in row[i] for row in grid.rows)
        table.add_column(name, justify="left" if i == 0 else "right", no_wrap=not wraps)
    for row in grid.rows:
        table.add_row(*(Text(cell.replace(" ± ", "\n±").replace(" (n", "\n(n")) for cell in row))
    return table


def _rich_list(lines: Sequence[str]) -> Table:
    text = Table.grid(padding=(0, 1))
    for line in lines:
        text.add_row("-", Text(line))
    return text


def markdown(report: Report) -> str:
    """GitHub Markdown: for each block the verdict, its tables, warnings and notes."""
    lines: list[str] = []
    for block, said in zip(report.blocks, remarks(report), strict=True):
        lines += [part for text in said.verdict for part in (_markdown_cell(text), "")]
        for grid in grids(block, report.options):
            lines += [f"**{grid.title}**", ""]
            lines += ["| " + " | ".join(grid.header) + " |", "|" + " --- |" + " ---: |" * (len(grid.header) - 1)]
            lines += ["| " + " | ".join(_markdown_cell(cell) for cell in row) + " |" for row in grid.rows]
            lines.append("")
        for title, texts in (("Warnings", said.warnings), ("Notes", said.notes)):
            if texts:
                lines += [f"**{title}**", "", *(f"- {_markdown_cell(text)}" for text in texts), ""]
    return "\n".join(lines)


def _markdown_cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("<", "&lt;")


def latex(report: Report) -> str:
    """LaTeX tables for booktabs, std as a subscript as in the paper; all that is said of them as comments."""
    lines = ["% needs \\usepackage{booktabs}"]
    for block, said in zip(report.blocks, remarks(report), strict=True):
        lines += [f"% {text}" for text in (*said.verdict, *said.warnings, *said.notes)]
        for grid in grids(block, report.options):
            lines += _latex_table(grid)
        lines.append("")
    return "\n".join(lines)


def _latex_table(grid: Grid) -> list[str]:
    return [
        "\\begin{table*}[t]",
        "\\centering\\small",
        f"\\begin{{tabular}}{{l{'r' * (len(grid.header) - 1)}}}",
        "\\toprule",
        " & ".join(_tex(name) for name in grid.header) + " \\\\",
        "\\midrule",
        *(" & ".join(_tex(cell) for cell in row) + " \\\\" for row in grid.rows),
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{_tex(grid.title)}}}",
        "\\end{table*}",
    ]


_TEX = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "_": "\\_",
    "#": "\\#",
    "$": "\\$",
    "<": "$<$",
    "~": "\\textasciitilde{}",
}
_TEX |= {"{": "\\{", "}": "\\}", "^": "\\textasciicircum{}", "±": "$\\pm$", ">": "$>$"}


def _tex(text: str) -> str:
    mean, sign, rest = text.partition(" ± ")
    if sign and mean.replace(".", "", 1).isdigit():
        std, gap, note = rest.partition(" ")
        return f"${mean}_{{\\pm {std}}}$" + (f" {_tex(note)}" if gap else "")
    if text[:1] in "+-" and text[1:].replace(".", "", 1).isdigit():
        return f"${text}$"
    if text.startswith("  "):
        return "\\quad " + _tex(text.strip())
    escaped = "".join(_TEX.get(character, character) for character in text)
    return re.sub('"([^"]*)"', r"``\1''", escaped)
