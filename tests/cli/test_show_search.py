"""What a search prints: its ranking in windows of any width, its warnings, repetitions, what to run next."""

import os
import pty
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from nlcse_tune.cli import show
from nlcse_tune.cli.show_search import SearchView, next_step, overview, ranking, result
from nlcse_tune.paths import StudyPaths
from nlcse_tune.search.search import SearchOptions, search
from nlcse_tune.search.state import SearchState, load_state
from nlcse_tune.space import parse_space
from nlcse_tune.study import Study
from tests.search.test_state import leave_model, plan_of, points, put


def test_a_lost_repetition_prints_the_point_that_was_asked(
    tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its run left no record, so its point stands in its specification alone; the study's own is another."""
    state = load_state(tiny_study, StudyPaths(tmp_path, tiny_study.name), 3)
    asked = {**tiny_study.own_point, "text.learning_rate": 3e-3}
    assert asked != tiny_study.own_point
    view = SearchView(tiny_study.name)
    view.started(state, None, 1)
    view.repeated(state.spec(asked, 43), None, 1, 2)
    text = " ".join(capsys.readouterr().out.split())
    assert f"[1/2] seed 43 text.batch_size={asked['text.batch_size']} text.learning_rate=3e-3" in text
    assert "no record" in text


def searched(study: Study, root: Path, *, before: float | None = 40.0) -> SearchState:
    """Three runs on record, dev 51, 50 and 49, with their checkpoints."""
    plan = plan_of(study, root, 3)
    for i, point in enumerate(points(study)[:3]):
        record = put(plan, point, 51.0 - i).model_copy(update={"dev_before": before})
        record.write(plan.paths.run(record.run_id).record)
        leave_model(plan.paths.run(record.run_id))
    return plan_of(study, root, 3)


def test_what_is_left_out_is_named(tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = searched(tiny_study, tmp_path)
    torn = state.paths.run(state.candidates()[2].record.run_id).record
    torn.write_text(torn.read_text()[:100])
    overview(plan_of(tiny_study, tmp_path, 3), figures=False)
    text = " ".join(capsys.readouterr().out.split())
    assert "2 runs by STS-B dev" in text
    assert f"not counted: {torn}: not a readable RunRecord" in text.replace("/ ", "/")


@pytest.mark.parametrize(
    ("width", "kept", "dropped"),
    [(120, "before best steps curve time run", ""), (80, "before run", "curve time"), (50, "", "before run")],
)
def test_a_narrow_window_costs_the_least_needed_columns_alone(
    width: int, kept: str, dropped: str, tiny_study: Study, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(show.console, "width", width)
    state = searched(tiny_study, tmp_path)
    ranking("demo", state.candidates())
    lines = capsys.readouterr().out.splitlines()
    header = next(line for line in lines if "rank" in line).split()
    assert set(kept.split()) <= set(header)
    assert not set(dropped.split()) & set(header)
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in lines if line.startswith("│")]
    assert [row[:5] for row in rows] == [
        ["1", "32", "3e-4", "3e-5", "51.00"],
        ["2", "32", "3e-4", "1e-4", "50.00"],
        ["3", "32", "3e-4", "3e-4", "49.00"],
    ]
    assert "…" not in "".join(lines)
    assert max(map(len, lines)) <= width


def test_many_searched_values_are_stacked_rather_than_cut(
    tiny_study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fields = {
        "side.loss": ["supcon_as_released", "simclr"], "encoder.pooler": ["cls_before_pooler", "avg"],
        "text.batch_size": [32], "text.learning_rate": [0.000123, 0.001], "side.learning_rate": [0.000123],
        "text.temperature": [0.05], "side.temperature": [0.07], "text.warmup": [0.1],
    }  # fmt: skip
    study = tiny_study.copied(space=parse_space({"parameters": fields}, name="many", where="test"))
    monkeypatch.setattr(show.console, "width", 80)
    ranking("demo", searched(study, tmp_path).candidates())
    text = capsys.readouterr().out
    assert "…" not in text
    assert text.count("side.loss=supcon_as_released") == 3
    assert text.count("encoder.pooler=cls_before_pooler") == 2
    assert re.search(r"│ +1 │ side.loss=supcon_as_released +│ 51.00 │", text)


def test_a_search_no_better_than_no_training_says_so_and_proposes_no_seeds(
    tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    warning = "warning: every run of this search is no better than no training: best dev 51.00, 51.00 before the first"
    for before, vain in ((51.0, True), (50.99, False), (None, False)):
        state = searched(tiny_study, tmp_path, before=before)
        done = search(tiny_study, state.paths, SearchOptions(trials=3))
        capsys.readouterr()
        result(done, state.paths)
        next_step(done, "nlcse-tune seeds demo")
        text = " ".join(capsys.readouterr().out.split())
        assert (warning in text) is vain
        assert ("next: nlcse-tune seeds demo" in text) is not vain
        overview(state, figures=False)
        assert (warning in " ".join(capsys.readouterr().out.split())) is vain


def test_a_run_no_better_than_no_training_says_so(
    tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for before, vain in ((51.0, True), (50.0, False)):
        state = searched(tiny_study, tmp_path, before=before)
        record = state.candidates()[0].record
        show.run(record, state.paths)
        text = " ".join(capsys.readouterr().out.split())
        assert ("warning: this run is no better than no training: best dev 51.00, 51.00" in text) is vain
        assert ("; no better than before training (51.00)" in show.outcome(record)) is vain


def test_one_run_is_no_runs(tiny_study: Study, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = searched(tiny_study, tmp_path)
    view = SearchView("demo")
    for trials in (1, 3):
        view.finished(state.candidates()[0], 1, trials)
        assert view.head.endswith(f"1 of {trials} run{'s' if trials > 1 else ''} done")
    only = state.candidates()[:1]
    ranking("demo", only)
    state.done = {only[0].record.run_id: only[0].record}
    state.trials = 2
    overview(state, figures=False)
    text = capsys.readouterr().out
    assert "demo: 1 run by STS-B dev" in text
    assert "importances: 1 run is too few to tell" in text
    assert "1 of 2 runs to go" in text


def test_a_line_erases_the_spinner_that_it_takes_the_place_of() -> None:
    """In a terminal: what stands on the spinner's line is cleared before another line is written there."""
    code = (
        "import time; from nlcse_tune.cli.show_search import SearchView\n"
        "with SearchView('demo') as view: time.sleep(0.3); view.note('the first line')"
    )
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80"}
    with subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        written = b""
        with suppress(OSError):  # a terminal whose other end is closed
            while part := os.read(ours, 4096):
                written += part
    os.close(ours)
    assert process.returncode == 0, written.decode()
    spinning, _, rest = written.decode().partition("the first line")
    assert rest
    assert "starting Ray" in spinning
    assert "\x1b[2K" in spinning.rpartition("starting Ray")[2]
