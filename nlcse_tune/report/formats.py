"""The report as data: JSON with everything, CSV tidy, one line per score; absent is null or no line, never 0."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import reduce
from typing import Any

from nlcse_tune import stats
from nlcse_tune.report.arms import Arm, ScoredArm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Gap
from nlcse_tune.report.numbers import AVERAGE
from nlcse_tune.report.remarks import remarks
from nlcse_tune.report.tables import caption

GAP_COLUMNS = {  # column of summary.csv -> where it lies in a Gap
    "gap": "gap", "low": "interval.low", "high": "interval.high", "test": "result.test", "n_compared": "method.n",
    "n_baseline": "baseline.n", "p": "result.p", "p_holm": "holm", "margin": "equivalence.margin",
    "p_equivalent": "equivalence.p", "g": "effect.g", "g_low": "effect.low",
    "g_high": "effect.high", "p_better": "improvement.value", "p_better_low": "improvement.low",
    "p_better_high": "improvement.high",
}  # fmt: skip


def as_json(report: Report) -> str:
    """Every number of the report in full precision, with verdict, warnings and notes."""
    blocks = [
        {
            "caption": caption(block, report.options),
            "setting": block.setting,
            "tasks": block.tasks,
            "arms": [_arm(arm, block) for arm in block.arms],
            "comparisons": [
                {
                    "method": c.method.name,
                    "baseline": c.baseline.name,
                    "test": c.test,
                    "declared": asdict(c.declared),
                    "rule": c.kept.model_dump(mode="json") if c.kept else None,
                    "look": asdict(c.look) if c.look else None,
                    "superseded": asdict(c.superseded) if c.superseded else None,
                    "columns": {column: asdict(gap) | {"gap": gap.gap} for column, gap in c.gaps.items()},
                }
                for c in block.comparisons
            ],
            **asdict(said),
        }
        for block, said in zip(report.blocks, remarks(report), strict=True)
    ]
    value = {"options": asdict(report.options), "tests": report.declared, "blocks": blocks}
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _arm(arm: ScoredArm, block: Block) -> dict[str, Any]:
    by_column = {column: arm.scores(column, block.tasks) for column in (*block.tasks, AVERAGE)}
    columns = {
        column: {"seeds": scores, "summary": asdict(stats.summarise([*scores.values()])) if scores else None}
        for column, scores in by_column.items()
    }
    return {"study": arm.name, "columns": columns, **(_of_records(arm) if isinstance(arm, Arm) else {})}


def _of_records(arm: Arm) -> dict[str, Any]:
    """What only runs of this tool have."""
    published = arm.study.published
    return {
        "config": arm.config.model_dump(mode="json") if arm.runs else None,
        "runs": [run.record.run_id for run in arm.runs],
        "left_out": arm.left_out.lines,
        "search_runs": arm.left_out.search_runs,
        "published": published.model_dump(mode="json") if published else None,
        "openings": [opening.model_dump() for opening in arm.openings],
    }


def seeds_csv(report: Report) -> str:
    """One line per run and column: study, method, seed, run_id, column, score, setting; of given scores their part."""
    header = ("study", "method", "seed", "run_id", "column", "score", "setting", "opened")
    rows: list[tuple[Any, ...]] = []
    for _, arm, column, scores, _ in _columns(report):
        runs = {run.seed: run for run in arm.runs} if isinstance(arm, Arm) else {}
        for seed, score in scores.items():
            run = runs.get(seed)
            method, name = (run.record.config.method, run.record.run_id) if run else (None, None)
            setting, opened = (run.test.setting, run.test.opened) if run else (None, None)
            rows.append((arm.name, method, seed, name, column, f"{score:.4f}", setting, opened))
    return _csv(header, rows)


def summary_csv(report: Report) -> str:
    """One line per study and column: n, mean, std, and where there is a baseline the gap and its statistics."""
    header = ("study", "baseline", "column", "n", "mean", "std", "sem", *GAP_COLUMNS)
    rows, paths = [], [path.split(".") for path in GAP_COLUMNS.values()]
    for block, arm, column, scores, gap in _columns(report):
        s, baseline = stats.summarise([*scores.values()]), block.baseline.name if gap and block.baseline else None
        cells = (reduce(lambda part, name: getattr(part, name, None), path, gap) for path in paths)  # None has nothing
        rows.append((arm.name, baseline, column, s.n, s.mean, s.std, s.sem, *cells))
    return _csv(header, rows)


def _columns(report: Report) -> Iterator[tuple[Block, ScoredArm, str, dict[int, float], Gap | None]]:
    """Each arm's columns with scores, these by seed, and the gap; `avg` alone is the seven tasks' average."""
    for block in report.blocks:
        gaps = {(c.method.name, column): gap for c in block.comparisons for column, gap in c.gaps.items()}
        average = AVERAGE if len(block.tasks) == 7 else f"avg_of_{len(block.tasks)}"
        for arm in block.tested:
            for column in (*block.tasks, AVERAGE):
                if scores := arm.scores(column, block.tasks):
                    name = average if column == AVERAGE else column
                    yield block, arm, name, scores, gaps.get((arm.name, column))


def _csv(header: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    # Each row once: a study may be method in one block and baseline in the next.
    cells = ([f"{cell:.6g}" if isinstance(cell, float) else cell for cell in row] for row in dict.fromkeys(rows))
    csv.writer(stream, lineterminator="\n").writerows([header, *cells])
    return stream.getvalue()
