"""What is tracked of a run."""

from pathlib import Path

from nlcse_tune.config.fields import override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.launch.spec import run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.study import find_study
from nlcse_tune.tracking.curves import Work


def test_a_searched_field_of_several_sides_is_among_a_runs_values(tmp_path: Path) -> None:
    study, paths = find_study("demo-visualaudiocse"), StudyPaths(tmp_path, "demo-visualaudiocse")
    assert study.space is not None
    work = Work(paths, "search", tuple(study.space.fields))
    config = override(study.config, {"side.learning_rate": 3e-4})
    spec = run_spec(paths, config, 7, fingerprints(config))
    assert work.values(spec) == {"text.learning_rate": 1e-3, "side.learning_rate": 3e-4, "seed": 7}
