"""The report as data: JSON with everything, CSV tidy, one line per score; absent is null or no line, never 0."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from nlcse_tune import stats
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.build import Block, Report
from nlcse_tune.report.comparison import Gap
from nlcse_tune.report.numbers import AVERAGE, Column
from nlcse_tune.report.remarks import Remarks, remarks
from nlcse_tune.report.tables import caption


def as_json(report: Report) -> str:
    """Every number of the report in full precision, with verdict, warnings and notes."""
    options = asdict(report.options)
    blocks = [_block(block, said, report) for block, said in zip(report.blocks, remarks(report), strict=True)]
    value = {"options": options, "tests": report.family, "blocks": blocks}
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _block(block: Block, said: Remarks, report: Report) -> dict[str, Any]:
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
        **asdict(said),
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
        "left_out": list(arm.left_out.lines),
        "search_runs": arm.left_out.search_runs,
        "published": published.model_dump(mode="json") if published else None,
        "openings": [opening.model_dump() for opening in arm.openings],
    }


def _gap(gap: Gap) -> dict[str, Any]:
    seeds = {"method": gap.seeds[0], "baseline": gap.seeds[1]}
    return {**asdict(gap), "gap": gap.gap, "seeds": seeds}


def seeds_csv(report: Report) -> str:
    """One line per run and column: study, method, seed, run_id, column, score, setting."""
    header = ("study", "method", "seed", "run_id", "column", "score", "setting", "opened")
    rows = [
        (
            arm.name, run.record.config.method, str(run.seed), run.record.run_id,
            _column_name(column, block), f"{scores[run.seed]:.4f}", run.test.setting, run.test.opened,
        )
        for block in report.blocks
        for arm in block.tested
        for column, scores in _columns(arm, block)
        for run in arm.runs
        if run.seed in scores
    ]  # fmt: skip
    return _csv([header, *dict.fromkeys(rows)])  # a study may be method in one block and baseline in the next


def summary_csv(report: Report) -> str:
    """One line per study and column: n, mean, std, and where there is a baseline the gap and its statistics."""
    header = (
        "study", "baseline", "column", "n", "mean", "std", "sem", "gap", "low", "high", "test", "n_compared",
        "n_baseline", "p", "p_holm", "g", "g_low", "g_high", "p_better", "p_better_low", "p_better_high",
    )  # fmt: skip
    rows: list[tuple[Any, ...]] = []
    for block in report.blocks:
        gaps = {(c.method.name, column): gap for c in block.comparisons for column, gap in c.gaps.items()}
        for arm in block.tested:
            for column, scores in _columns(arm, block):
                s, gap = stats.summarise(list(scores.values())), gaps.get((arm.name, column))
                baseline = block.baseline.name if gap and block.baseline else None
                own = (arm.name, baseline, _column_name(column, block), s.n, s.mean, s.std, s.sem)
                rows.append((*own, *_gap_cells(gap)))
    return _csv([header, *dict.fromkeys(rows)])


def _columns(arm: Arm, block: Block) -> Iterator[tuple[Column, dict[int, float]]]:
    """The columns in which the arm has scores, and these by seed."""
    for column in (*block.tasks, AVERAGE):
        if scores := arm.scores(column, block.tasks):
            yield column, scores


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


def _column_name(column: Column, block: Block) -> str:
    """`avg` alone is the seven tasks' average; of fewer the name says so."""
    return column if column != AVERAGE or len(block.tasks) == 7 else f"avg_of_{len(block.tasks)}"


def _csv(rows: Iterable[tuple[Any, ...]]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([["" if cell is None else _plain(cell) for cell in row] for row in rows])
    return stream.getvalue()


def _plain(cell: Any) -> str:
    return f"{cell:.6g}" if isinstance(cell, float) else str(cell)
