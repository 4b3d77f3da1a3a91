"""The report as data: JSON with everything, CSV tidy, one line a score; absent is null or no line, never 0."""

import csv
import io
import json
from dataclasses import asdict
from typing import Any

from nlcse_tune import stats
from nlcse_tune.records import read_openings
from nlcse_tune.report.arms import AVERAGE, Arm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Gap
from nlcse_tune.report.words import block_words, caption


def as_json(report: Report) -> str:
    """Every number of the report in full precision, with the text that belongs under it."""
    options = asdict(report.options)
    value = {"options": options, "tests": report.family, "blocks": [_block(block, report) for block in report.blocks]}
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _block(block: Block, report: Report) -> dict[str, Any]:
    return {
        "caption": caption(block, report.options),
        "setting": block.setting,
        "tasks": list(block.tasks),
        "arms": [_arm(arm, block) for arm in block.arms],
        "comparisons": [
            {
                "method": c.method.name,
                "baseline": c.baseline.name,
                "columns": {column: _gap(gap) for column, gap in c.gaps.items()},
            }
            for c in block.comparisons
        ],
        "text": block_words(block, report),
    }


def _arm(arm: Arm, block: Block) -> dict[str, Any]:
    columns = {}
    for column in (*block.tasks, AVERAGE):
        scores = arm.scores(column, block.tasks)
        summary = asdict(stats.summarise(list(scores.values()))) if scores else None
        columns[column] = {"seeds": scores, "summary": summary}
    published = arm.study.published
    return {
        "study": arm.name,
        "config": arm.config.model_dump(mode="json") if arm.config else None,
        "runs": [run.record.run_id for run in arm.runs],
        "columns": columns,
        "left_out": list(arm.left_out),
        "search_runs": arm.search_runs,
        "published": published.model_dump(mode="json") if published else None,
        "openings": [opening.model_dump() for opening in read_openings(arm.paths)],
    }


def _gap(gap: Gap) -> dict[str, Any]:
    found = asdict(gap)
    found["gap"] = gap.gap
    found["seeds"] = {"method": list(gap.seeds[0]), "baseline": list(gap.seeds[1])}
    return found


def seeds_csv(report: Report) -> str:
    """One line a run and column: study, method, seed, run_id, column, score, setting."""
    rows = [("study", "method", "seed", "run_id", "column", "score", "setting", "opened")]
    seen = set()
    for block in report.blocks:
        for arm in block.tested:
            ids = {run.seed: run for run in arm.runs}
            for column in (*block.tasks, AVERAGE):
                for seed, score in arm.scores(column, block.tasks).items():
                    run = ids[seed]
                    row = (
                        arm.name, run.record.config.method, str(seed), run.record.run_id,
                        _column_name(column, block), f"{score:.4f}", run.test.setting, run.test.opened,
                    )  # fmt: skip
                    if row not in seen:  # a baseline of two blocks
                        seen.add(row)
                        rows.append(row)
    return _csv(rows)


def summary_csv(report: Report) -> str:
    """One line a study and column: n, mean, std, and where there is a baseline the gap and its statistics."""
    header = (
        "study", "baseline", "column", "n", "mean", "std", "sem", "gap", "low", "high", "test", "n_compared",
        "n_baseline", "p", "p_holm", "g", "g_low", "g_high", "p_better", "p_better_low", "p_better_high",
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = [header]
    for block in report.blocks:
        gaps = {(c.method.name, column): gap for c in block.comparisons for column, gap in c.gaps.items()}
        for arm in block.arms:
            for column in (*block.tasks, AVERAGE):
                if scores := list(arm.scores(column, block.tasks).values()):
                    s = stats.summarise(scores)
                    gap = gaps.get((arm.name, column))
                    name = block.baseline.name if gap and block.baseline else None
                    line = (arm.name, name, _column_name(column, block), s.n, s.mean, s.std, s.sem, *_gap_cells(gap))
                    if line not in rows:
                        rows.append(line)
    return _csv(rows)


def _gap_cells(gap: Gap | None) -> tuple[Any, ...]:
    if gap is None:
        return (None,) * 14
    interval, result, effect, better = gap.interval, gap.result, gap.effect, gap.improvement
    return (
        gap.gap,
        *((interval.low, interval.high) if interval else (None, None)),
        result.test if result else None,
        gap.method.n,
        gap.baseline.n,
        result.p if result else None,
        gap.holm,
        *((effect.g, effect.low, effect.high) if effect else (None,) * 3),
        *((better.value, better.low, better.high) if better else (None,) * 3),
    )


def _column_name(column: str, block: Block) -> str:
    """`avg` alone is the seven tasks' average; of fewer the name says so."""
    return column if column != AVERAGE or len(block.tasks) == 7 else f"avg_of_{len(block.tasks)}"


def _csv(rows: list[Any]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([["" if cell is None else _plain(cell) for cell in row] for row in rows])
    return stream.getvalue()


def _plain(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
