"""Records -> tables and figures. Reads RunRecord and TestRecord only; trains nothing, imports no torch."""

from pathlib import Path

from nlcse_tune.files import write_text
from nlcse_tune.report.build import Report, build
from nlcse_tune.report.comparison import ReportOptions
from nlcse_tune.report.declared import declared_test
from nlcse_tune.report.figures import write_block_figures
from nlcse_tune.report.formats import as_json, seeds_csv, summary_csv
from nlcse_tune.report.given import build_given
from nlcse_tune.report.remarks import next_command
from nlcse_tune.report.score_files import read_pair, read_scores
from nlcse_tune.report.tables import latex, markdown, terminal

FILES = {
    "report.md": markdown,
    "report.tex": latex,
    "report.json": as_json,
    "summary.csv": summary_csv,
    "seeds.csv": seeds_csv,
}


def write_report(report: Report, *, figures: bool = True) -> list[Path]:
    """Writes `FILES` and the figures to the folder of the report; returns the files."""
    folder = report.folder
    for name, render in FILES.items():
        write_text(folder / name, render(report))
    written = [folder / name for name in FILES]
    for block in report.blocks if figures else ():
        prefix = f"{block.arms[0].name}-" if len(report.blocks) > 1 else ""
        written += write_block_figures(block, folder, prefix=prefix)
    return written
