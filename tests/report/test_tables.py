"""Tables for a terminal, Markdown and LaTeX."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from nlcse_tune import report
from nlcse_tune.report.numbers import p_value
from nlcse_tune.report.remarks import remarks
from nlcse_tune.report.tables import Grid, rich_table
from tests.report.made import BASELINE, METHOD, build, terminal, words
from tests.synthetic_records import make_study


def test_latex_is_balanced_and_escaped(root: Path) -> None:
    text = report.latex(build(root, correct="holm"))
    assert text.count("\\begin{tabular}") == text.count("\\end{tabular}") == text.count("\\toprule") == 2
    body = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert not re.search(r"(?<!\\)[%#]", body)
    assert "±" not in body
    assert "``all'' setting" in body
    widths = {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")}
    assert widths == {11, 9}  # name, 7 tasks, average, n, p, g; and a row a test set


def test_at_80_columns_names_and_words_go_on_below_and_nothing_is_cut() -> None:
    numbers = tuple(f"7{column}.12 ± 0.34" for column in range(8))
    names = ("SimCSE-RoBERTa-base", "SimCSE-RoBERTa-large")
    header = ("", *(f"STS{column}" for column in range(8)), "n", "against the paper")
    text = printed(Grid("t", header, tuple((name, *numbers, "5", "undecided") for name in names)))
    assert "…" not in text
    lines = [line.split() for line in text.splitlines() if "STS" not in line]
    first = "".join(line[0] for line in lines if line and line[0][0].isalpha() and line[0] not in ("t", "paper"))
    assert first.endswith("".join(names))
    fields = (
        "",
        "text.batch_size",
        "text.learning_rate",
        "side.batch_size",
        "side.learning_rate",
        "n",
        "against the paper",
    )
    text = printed(Grid("t", fields, ((names[0], "64", "3e-5", "48", "1e-6", "", "the same, as shipped"),)))
    assert "the same, as shipped" in text
    assert names[0] in text


def printed(grid: Grid) -> str:
    console = Console(width=80, file=io.StringIO())
    console.print(rich_table(grid))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_an_average_of_fewer_tasks_says_so(tmp_path: Path, rng: np.random.Generator) -> None:
    for study in (METHOD, BASELINE):
        make_study(tmp_path, study, range(1, 4), rng, tasks=["stsb", "sickr"])
    made = build(tmp_path)
    assert "Avg. of 2" in report.markdown(made)
    assert "published, seeds" not in report.markdown(made)  # of seven tasks
    assert "77.50" not in report.markdown(made)
    assert "over 2 tasks" in words(made)
    assert "avg_of_2" in report.summary_csv(made)


def test_a_p_value_is_never_zero(tmp_path: Path, rng: np.random.Generator) -> None:
    make_study(tmp_path, BASELINE, range(1, 6), rng, std=0.01)
    make_study(tmp_path, METHOD, range(1, 6), rng, shift=14, std=0.01)
    made = build(tmp_path)
    for text in (report.markdown(made), report.latex(made), words(made), terminal(made)):
        assert "0.0000" not in text
        assert "0.0001" in text
    assert p_value(0.0) == "< 0.0001"
    assert p_value(None) == "-"


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_cuts_no_number(root: Path, width: int) -> None:
    text = terminal(build(root), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert text.startswith("visualcse-bert against simcse-bert: +")
    assert "Notes" not in text
    assert "notes on tests, data and limits: `nlcse-tune report --notes`" in text


def test_markdown_and_latex_hold_every_sentence(root: Path) -> None:
    made = build(root)
    [said] = remarks(made)
    markdown, latex = report.markdown(made), report.latex(made)
    assert markdown.startswith(said.verdict[0])
    for text in (*said.warnings, *said.notes):
        assert f"- {text.replace('<', '&lt;')}\n" in markdown
        assert f"% {text}\n" in latex
