"""Tables: one grid of plain cells, rendered for a terminal, Markdown and LaTeX."""

import re
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import nlcse_tune.report.numbers as numbers
import nlcse_tune.report.words as words
from nlcse_tune import stats
from nlcse_tune.config import STS_TASKS
from nlcse_tune.report.arms import Arm, ScoredArm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Comparison, Gap, ReportOptions
from nlcse_tune.report.numbers import AVERAGE, DASH
from nlcse_tune.report.remarks import remarks

NAME_WIDTH = 10  # characters of a row's name that stand on one line, if need be
_WORDS = re.compile(r"[A-Za-z]{5}")  # in a cell that is no number
_TEX = str.maketrans({character: f"\\{character}" for character in "&%_#${}"})
_TEX |= str.maketrans({"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"})
_TEX |= str.maketrans({"±": "$\\pm$", "<": "$<$", ">": "$>$"})


@dataclass(frozen=True)
class Grid:
    """A table before any format: a title, a header, and cells in which ` ± ` parts mean from std."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def grids(block: Block, options: ReportOptions) -> list[Grid]:
    """Table 3 widened: a row per method with seven tasks, average, n, p and g, the published too; then the gaps."""
    columns = [numbers.column_label(column, len(block.tasks)) for column in (*block.shown, AVERAGE)]
    corrected = _corrected(block, options)
    rows = [r for a in block.arms for r in (_arm_row(a, block, corrected=corrected), *_published_rows(a, block))]
    header = ("", *columns, "n", "p (Holm)" if corrected else "p", "g")
    gaps = (_gaps_grid(c, block, corrected=corrected) for c in block.comparisons)
    return [Grid(caption(block, options), header, tuple(rows)), *gaps]


def _corrected(block: Block, options: ReportOptions) -> bool:
    holm = options.correct == "holm"
    return any((holm and not c.kept) or c.declared_tests > 1 for c in block.comparisons)


def caption(block: Block, options: ReportOptions) -> str:
    """What the scores of the block's first table are."""
    against, corrected = "", ", Holm-corrected" if _corrected(block, options) else ""
    if block.comparisons and block.baseline:
        tests = dict.fromkeys(numbers.TEST_LABELS[c.test] for c in block.comparisons)
        fixed = words.N_FIXED if any(c.kept for c in block.comparisons) else ""
        names = {"test": " or ".join(tests), "baseline": block.baseline.name, "fixed": fixed}
        against = words.AGAINST_BASELINE.format(corrected=corrected, **names)
    what = words.OF_RECORDS.format(setting=block.setting) if block.recorded else words.AS_GIVEN
    return words.CAPTION.format(what=what, against=against)


def _arm_row(arm: ScoredArm, block: Block, *, corrected: bool) -> tuple[str, ...]:
    cells, n = [], len(arm.seeds)
    for column in (*block.shown, AVERAGE):
        scores = [*arm.scores(column, block.tasks).values()]
        fewer = "" if len(scores) == n else f" (n={len(scores)})"
        cells.append(numbers.mean_std(stats.summarise(scores)) + fewer if scores else DASH)
    gap = next((c.gaps.get(AVERAGE) for c in block.comparisons if c.method is arm), None)
    g = "" if gap is None else f"{gap.effect.g:z.2f}" if gap.effect else DASH
    p = "" if gap is None else numbers.p_value(gap.holm if corrected else gap.p)
    return (arm.name, *cells, str(n), p, g)


def _published_rows(arm: ScoredArm, block: Block) -> list[tuple[str, ...]]:
    published = arm.study.published if isinstance(arm, Arm) and not arm.unpublished() else None  # a warning says so
    if published is None:
        return []
    rows, seven = [], len(block.tasks) == len(STS_TASKS)
    # A published average is over seven tasks, so it stands beside ours only where ours is too.
    theirs = {str(column): score for column, score in published.scores.items() if column != AVERAGE or seven}
    scores = [theirs.get(column) for column in (*block.tasks, AVERAGE)]
    if any(score is not None for score in scores):
        rows.append(("  published", *(DASH if s is None else f"{s:.2f}" for s in scores), "", "", ""))
    if published.seeds and seven:
        s = published.seeds
        average = numbers.mean_std(stats.Summary(s.mean, s.std, s.n))
        rows.append(("  published, seeds", *[DASH] * len(block.tasks), average, str(s.n), "", ""))
    return rows


def _gaps_grid(comparison: Comparison, block: Block, *, corrected: bool) -> Grid:
    """A row per test set, the declared first: gap, interval, p, adjusted p, effect sizes, and the n they rest on."""
    holm = ("p (Holm)",) if corrected else ()
    header = ("", "gap", "95% interval", "p", *holm, "g", "g, 95%", "P(better)", "P, 95%", "n")
    of_declared = () if comparison.exploratory else comparison.declared.columns
    shown = {column: _gap_row(gap, block, corrected=corrected) for column, gap in comparison.gaps.items()}
    first = [shown.pop(column) for column in of_declared if column in shown]
    names = ", ".join(numbers.column_label(column, len(block.tasks)) for column in of_declared)
    told = {"declared": names or "none", "fixed": words.N_FIXED if comparison.kept else ""}
    title = words.GAPS.format(method=comparison.method, baseline=comparison.baseline, **told)
    return Grid(title, header, (*first, *shown.values()))


def _gap_row(gap: Gap, block: Block, *, corrected: bool) -> tuple[str, ...]:
    holm = (numbers.p_value(gap.holm),) if corrected else ()
    return (
        numbers.column_label(gap.column, len(block.tasks)),
        numbers.signed(gap.gap),
        numbers.bounds(gap.interval),
        numbers.p_value(gap.result.p if gap.result else None),
        *holm,
        f"{gap.effect.g:z.2f}" if gap.effect else DASH,
        numbers.bounds(gap.effect),
        f"{gap.improvement.value:.2f}" if gap.improvement else DASH,
        numbers.bounds(gap.improvement),
        str(gap.method.n) if gap.method.n == gap.baseline.n else f"{gap.method.n} / {gap.baseline.n}",
    )


def terminal(report: Report, *, notes: bool = False) -> RenderableType:
    """Verdict, tables and warnings for rich, and the notes where they are asked for; else how to get them."""
    parts: list[RenderableType] = []
    hidden = 0
    for block, said in zip(report.blocks, remarks(report), strict=True):
        parts += [part for text in said.verdict for part in (Text(text), "")]
        parts += [part for grid in grids(block, report.options) for part in (rich_table(grid), "")]
        for title, texts in (("Warnings", said.warnings), ("Notes", said.notes if notes else ())):
            if texts:
                listed = Table.grid(padding=(0, 1))
                for text in texts:
                    listed.add_row("-", Text(text))
                parts += [Text(title, style="bold"), listed, ""]
        hidden += 0 if notes else len(said.notes)
    return Group(*parts, *([Text(words.NOTES_HIDDEN.format(notes=numbers.plural(hidden, "note")))] if hidden else []))


def rich_table(grid: Grid) -> Table:
    """No lines between columns, mean and std on two lines, and what is no number wraps: 80 characters do."""
    table = Table(
        title=grid.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=0, show_edge=False
    )
    for i, name in enumerate(grid.header):
        cells = [row[i] for row in grid.rows]
        in_words = i == 0 or any(map(_WORDS.search, cells))
        table.add_column(
            re.sub(r"(?<=\w[._])(?=\w)", "\n", name) if "_" in name else name,  # of a field: part by part
            justify="left" if i == 0 else "right", no_wrap=not in_words and not any(" to " in cell for cell in cells),
            overflow="fold", min_width=min(NAME_WIDTH, max(map(len, cells), default=0)) if in_words else None,
        )  # fmt: skip
    for row in grid.rows:
        table.add_row(*(Text(cell.replace(" ± ", "\n±").replace(" (n", "\n(n")) for cell in row))
    return table


def markdown(report: Report) -> str:
    """GitHub Markdown: for each block the verdict, its tables, warnings and notes."""
    lines: list[str] = []
    for block, said in zip(report.blocks, remarks(report), strict=True):
        lines += [part for text in said.verdict for part in (_markdown_cell(text), "")]
        for grid in grids(block, report.options):
            lines += markdown_grid(grid)
        for title, texts in (("Warnings", said.warnings), ("Notes", said.notes)):
            if texts:
                lines += [f"**{title}**", "", *(f"- {_markdown_cell(text)}" for text in texts), ""]
    return "\n".join(lines)


def markdown_grid(grid: Grid) -> list[str]:
    """The lines of one table."""
    rule = ["---", *["---:"] * (len(grid.header) - 1)]
    rows = [grid.header, rule, *(map(_markdown_cell, row) for row in grid.rows)]
    return [f"**{grid.title}**", "", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _markdown_cell(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("<", "&lt;")


def latex(report: Report) -> str:
    """LaTeX tables for booktabs, std as a subscript as in the paper; all that is said of them as comments."""
    lines = ["% needs \\usepackage{booktabs}"]
    for block, said in zip(report.blocks, remarks(report), strict=True):
        lines += [f"% {text}" for text in (*said.verdict, *said.warnings, *said.notes)]
        for grid in grids(block, report.options):
            columns = "r" * (len(grid.header) - 1)
            header, *rows = (" & ".join(map(_tex, row)) + " \\\\" for row in (grid.header, *grid.rows))
            lines += ["\\begin{table*}[t]", "\\centering\\small", f"\\begin{{tabular}}{{l{columns}}}", "\\toprule"]
            lines += [header, "\\midrule", *rows, "\\bottomrule", "\\end{tabular}"]
            lines += [f"\\caption{{{_tex(grid.title)}}}", "\\end{table*}"]
        lines.append("")
    return "\n".join(lines)


def _tex(text: str) -> str:
    mean, sign, rest = text.partition(" ± ")
    if sign and mean.replace(".", "", 1).isdigit():
        std, gap, note = rest.partition(" ")
        return f"${mean}_{{\\pm {std}}}$" + (f" {_tex(note)}" if gap else "")
    if text[:1] in "+-" and text[1:].replace(".", "", 1).isdigit():
        return f"${text}$"
    if text.startswith("  "):
        return "\\quad " + _tex(text.strip())
    return re.sub('"([^"]*)"', r"``\1''", text.translate(_TEX))
