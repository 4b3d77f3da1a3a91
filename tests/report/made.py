"""Reports over synthetic records: what the tests of this folder build and look at."""

import io
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from nlcse_tune import report
from nlcse_tune.config import STS_TASKS
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import TestRecord
from nlcse_tune.report.remarks import remarks
from nlcse_tune.study import Study, find_study

METHOD, BASELINE = (find_study(name).with_precision("fp16") for name in ("visualcse-bert", "simcse-bert"))


def build(root: Path, **options: object) -> report.Report:
    return report.build([METHOD], root, report.ReportOptions(**options))  # type: ignore[arg-type]


def words(made: report.Report) -> str:
    """All that is said, the verdict first."""
    return "\n".join(text for said in remarks(made) for text in (*said.verdict, *said.warnings, *said.notes))


def warnings(made: report.Report) -> str:
    return "\n".join(text for said in remarks(made) for text in said.warnings)


def verdict(made: report.Report) -> str:
    return remarks(made)[0].verdict[0]


def terminal(made: report.Report, width: int = 120, *, notes: bool = False) -> str:
    console = Console(width=width, file=io.StringIO(), highlight=False)
    console.print(report.terminal(made, notes=notes))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def averages(root: Path, study: Study) -> dict[int, float]:
    """Average by seed, straight from the test records' files."""
    found = {}
    for path in StudyPaths(root, study.name).tests.glob("*.json"):
        scores = json.loads(path.read_text())["scores"]
        found[int(path.stem.rsplit("-s", 1)[1])] = sum(scores[task]["all"] for task in STS_TASKS) / 7
    return dict(sorted(found.items()))


def file_of(root: Path, study: Study, seed: int) -> Path:
    return next(StudyPaths(root, study.name).tests.glob(f"*-s{seed}.json"))


def read_test(root: Path, study: Study, seed: int) -> TestRecord:
    return TestRecord.model_validate_json(file_of(root, study, seed).read_bytes())


def change_test(root: Path, study: Study, seed: int, **changes: object) -> None:
    paths = StudyPaths(root, study.name)
    record = read_test(root, study, seed)
    record.model_copy(update=changes).write(paths.run(record.run_id).test)


def same_scores(root: Path, study: Study, seeds: Sequence[int]) -> None:
    """Gives these seeds the scores of the first."""
    first = read_test(root, study, seeds[0])
    for seed in seeds[1:]:
        change_test(root, study, seed, scores=first.scores)
