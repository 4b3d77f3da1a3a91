"""Records -> tables and figures. Reads RunRecord and TestRecord only; trains nothing, imports no torch."""

from pathlib import Path

from nlcse_tune.files import write_text
from nlcse_tune.paths import StudyPaths
from nlcse_tune.report.arms import collect
from nlcse_tune.report.build import Report, build
from nlcse_tune.report.comparison import ReportOptions
from nlcse_tune.report.figures import write_block_figures
from nlcse_tune.report.formats import as_json, seeds_csv, summary_csv
from nlcse_tune.report.remarks import remarks
from nlcse_tune.report.tables import latex, markdown, terminal
from nlcse_tune.report.words import look_words, score_words

__all__ = [
    "Report",
    "ReportOptions",
    "as_json",
    "build",
    "collect",
    "latex",
    "look_words",
    "markdown",
    "remarks",
    "score_words",
    "seeds_csv",
    "summary_csv",
    "terminal",
    "write_report",
]


def write_report(report: Report, folder: Path | None = None, *, figures: bool = True) -> list[Path]:
    """Writes report.md, .tex, .json, summary.csv, seeds.csv and the figures; returns the files.

    `folder` defaults to the report folder of the first block's first method.
    """
    first = report.blocks[0].methods[0].paths
    folder = folder or StudyPaths(first.root, first.study).report
    texts = {
        "report.md": markdown(report),
        "report.tex": latex(report),
        "report.json": as_json(report),
        "summary.csv": summary_csv(report),
        "seeds.csv": seeds_csv(report),
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    written = [folder / name for name in texts]
    for block in report.blocks if figures else ():
        prefix = f"{block.arms[0].name}-" if len(report.blocks) > 1 else ""
        written += write_block_figures(block, folder, prefix=prefix)
    return written
