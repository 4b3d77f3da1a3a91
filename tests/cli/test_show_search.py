"""What a search prints of a repetition."""

from pathlib import Path

import pytest

from nlcse_tune.cli.show_search import SearchView
from nlcse_tune.paths import StudyPaths
from nlcse_tune.search.state import load_state
from nlcse_tune.study import Study


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
