"""What `search` prints: a line a finished run, the ranking, repetitions, and what a finished search teaches."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from nlcse_tune.cli.show import Watching, console, duration, number, outcome, point, score
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import Choice, RunRecord
from nlcse_tune.search.state import Candidate, SearchState, View, repetitions
from nlcse_tune.space import ValueList

if TYPE_CHECKING:
    from nlcse_tune.launch.spec import RunSpec
    from nlcse_tune.search.journal import Importances
    from nlcse_tune.search.search import SearchResult

_BARS = "▁▂▃▄▅▆▇█"


class SearchView(Watching, View):
    """One line a finished run under a spinner that says what is going on."""

    def __init__(self, study: str) -> None:
        super().__init__(f"{study}: starting Ray (15 to 20 s)")
        self.study = study
        self.state: SearchState | None = None

    def started(self, state: SearchState, dashboard: str | None, concurrent: int) -> None:
        """Says what is about to happen, once Ray is up."""
        self.state = state
        text = state.study.config.text
        negatives = text.batch_size * (2 if text.objective == "supervised" else 1) - 1
        left = state.trials - len(state.done)
        known = f", {len(state.done)} already on record" if state.done else ""
        begun = f", {len(state.under_way)} to go on with" if state.under_way else ""
        console.print(
            f"{self.study}: {state.study.config.method}, {left} runs{known}{begun}, {concurrent} side by side, "
            f"seed {state.seed}"
        )
        console.print(f"  {negatives} negatives an anchor at the study's own text batch; chosen on STS-B dev")
        if dashboard:
            console.print(f"  Ray dashboard {dashboard} (token: `ray get-auth-token`)")
        console.print(f"  live: optuna-dashboard {state.paths.journal}")
        self.status.update(f"{self.study}: {concurrent} of {left} runs training")

    def set_aside(self, folder: Path) -> None:
        """Where --fresh put what was there."""
        console.print(f"{self.study}: earlier runs moved to {folder}; nothing was deleted")

    def finished(self, candidate: Candidate, done: int, trials: int) -> None:
        """One line a run."""
        stopped = f", {stopped_at(candidate.record)}" if candidate.record.status == "stopped" else ""
        console.print(f"  [{done}/{trials}] {point(candidate.point)}  {outcome(candidate.record)}{stopped}")
        self.status.update(f"{self.study}: {trials - done} runs to go")

    def round(self, seed: int, runs: int) -> None:
        """A round of repetitions starts."""
        console.print(f"  the best {runs} so far again, with seed {seed}")

    def again(self, spec: "RunSpec") -> None:
        """A run for its checkpoint's sake."""
        console.print("  the winner's checkpoint was cleared by an earlier search, so it is trained again")

    def repeated(self, spec: "RunSpec", record: RunRecord | None, done: int, runs: int) -> None:
        """One line a repetition."""
        assert self.state is not None
        values = self.state.point_of(self.state.config({})) if record is None else self.state.point_of(record.config)
        console.print(f"  [{done}/{runs}] seed {spec.seed} {point(values)}  {outcome(record)}")


def stopped_at(record: RunRecord) -> str:
    """`stopped at 25%`."""
    return f"stopped at {record.steps / (record.total_steps or record.steps):.0%}"


def ranking(study: str, candidates: Sequence[Candidate]) -> None:
    """All runs of a search, best first."""
    fields = list(candidates[0].point)
    table = Table(title=f"{study}: {len(candidates)} runs by STS-B dev (Spearman x 100)", title_justify="left")
    table.add_column("rank", justify="right")
    for name in fields:
        table.add_column(name.replace(".", ".\n").replace("_", "_\n"), justify="right", no_wrap=True)
    for name in ("dev", "before", "best step", "steps", "curve", "time", "run"):
        table.add_column(name, justify="left" if name in ("curve", "run") else "right", no_wrap=True)
    low, high = _span(candidates)
    for rank, candidate in enumerate(candidates, start=1):
        record = candidate.record
        table.add_row(
            str(rank), *(number(candidate.point.get(name, "")) for name in fields), score(record.best_dev),
            score(record.dev_before), number(record.best_step), _steps(record), sparkline(record, low, high),
            duration(record.timings.total) if record.timings else "-", record.run_id,
        )  # fmt: skip
    console.print(table)


def result(found: "SearchResult", paths: StudyPaths) -> None:
    """The ranking of a search, its repetitions, and where its winner lies."""
    ranking(found.study, found.candidates)
    if found.standings:
        _standings(found)
    best = found.best.record
    seeds = len(found.standings[0][1].scores) if found.standings else 1
    mean = found.standings[0][1].mean if found.standings else best.best_dev
    console.print(f"best: dev {score(mean)} (n={seeds}, seed {_seeds(best.seed, seeds)}); {point(found.best.point)}")
    if found.unrepeated and not found.missing:
        console.print("  the best few are not repeated to the end yet: the same command goes on with them")
    elif seeds == 1 and len(found.candidates) > 1:
        console.print("  the best of many single runs is partly luck: --select-seeds 3 repeats the best few")
    path = paths.run(best.run_id).best
    console.print(f"checkpoint: {path}" if path.exists() else "no checkpoint yet: the same command makes it")
    trained = f"{found.trained} trained now, " if found.trained < len(found.candidates) else ""
    console.print(f"{trained}{duration(found.seconds)} in all; records in {paths.records}")
    if found.exhausted:
        console.print(f"the space has no further point ({len(found.candidates)} on record): more needs a larger space")
    if found.missing:
        console.print(
            f"{found.missing} runs have no record yet (time was up, or a process died{_last_error(paths)}): the same "
            "command goes on"
        )


def _last_error(paths: StudyPaths) -> str:
    """Where the newest error of a run without a record is told."""
    found = [
        path for path in paths.folder.glob("checkpoints/*/error.txt") if not paths.run(path.parent.name).record.exists()
    ]
    return f"; see {max(found, key=lambda path: path.stat().st_mtime)}" if found else ""


def _seeds(first: int, count: int) -> str:
    return str(first) if count == 1 else f"{first} to {first + count - 1}"


def _standings(found: "SearchResult") -> None:
    most = len(found.standings[0][1].scores)
    seed = found.best.record.seed
    table = Table(title="the best few, repeated", title_justify="left")
    for name in ("configuration", *(f"seed {seed + i}" for i in range(most)), "mean", "n"):
        table.add_column(name, justify="left" if name == "configuration" else "right")
    for candidate, standing in found.standings:
        cells = [score(s) for s in standing.scores] + ["-"] * (most - len(standing.scores))
        table.add_row(point(candidate.point), *cells, score(standing.mean), str(len(standing.scores)))
    console.print(table)
    leader, standing = max(found.standings, key=lambda item: item[1].scores[0])
    lost = standing.scores[0] - standing.fresh
    fate = "and stays the winner" if leader is found.best else "and is not the winner"
    console.print(
        f"{point(leader.point)} led with seed {seed}: dev {score(standing.scores[0])}, but {score(standing.fresh)} on "
        f"fresh seeds ({-lost:+.2f}), {fate}"
    )


def overview(
    state: SearchState, candidates: Sequence[Candidate], importances: "Importances", winner: Choice | None
) -> None:
    """`search --show`: ranking, winner, importances, heat map, cost."""
    ranking(state.study.name, candidates)
    if winner is not None:
        mean = sum(winner.dev_by_seed.values()) / len(winner.dev_by_seed)
        seeds = ", ".join(map(str, winner.dev_by_seed))
        console.print(f"winner of the last search: dev {score(mean)} (seed {seeds}); {point(winner.point)}")
    _importances(importances)
    if (fields := heat_fields(state)) is not None:
        _heat_map(state, candidates, *fields)
    _cost(state, candidates, repetitions(state, winner) if winner else ())


def _importances(found: "Importances") -> None:
    if not found.by_field:
        why = "are too few to tell" if found.runs < 4 else "score all the same"
        console.print(f"importances: {found.runs} runs {why}")
        return
    parts = ", ".join(f"{name} {share:.0%}" for name, share in found.by_field.items())
    where = "at their end" if found.share == 1 else f"at {found.share:.0%} of a run, which all reached"
    console.print(f"importances (fANOVA over {found.runs} runs, their dev {where}): {parts}")


def heat_fields(state: SearchState) -> tuple[str, str] | None:
    """The two fields of the heat map, rows then columns: side rate and text rate, else the first two with values."""
    finite = [name for name, parameter in state.space.parameters.items() if isinstance(parameter, ValueList)]
    if {"side.learning_rate", "text.learning_rate"} <= set(finite):
        return "side.learning_rate", "text.learning_rate"
    return (finite[0], finite[1]) if len(finite) > 1 else None


def best_cells(candidates: Sequence[Candidate], row: str, column: str) -> dict[tuple[Any, Any], Candidate]:
    """The best candidate of each pair of values; candidates come best first."""
    cells: dict[tuple[Any, Any], Candidate] = {}
    for candidate in candidates:
        if candidate.record.best_dev is not None and row in candidate.point and column in candidate.point:
            cells.setdefault((candidate.point[row], candidate.point[column]), candidate)
    return cells


def _heat_map(state: SearchState, candidates: Sequence[Candidate], row: str, column: str) -> None:
    cells = best_cells(candidates, row, column)
    console.print(f"best dev by {row} (rows) and {column}; (stopped early)")
    table = Table()
    table.add_column("", justify="right")
    columns, rows = ([*_values(state, name)] for name in (column, row))
    for value in columns:
        table.add_column(number(value), justify="right")
    for value in rows:
        table.add_row(number(value), *(_cell(cells.get((value, other))) for other in columns))
    console.print(table)


def _values(state: SearchState, name: str) -> tuple[Any, ...]:
    parameter = state.space.parameters[name]
    return parameter.values if isinstance(parameter, ValueList) else ()


def _cell(candidate: Candidate | None) -> str:
    if candidate is None:
        return "-"
    text = score(candidate.record.best_dev)
    return f"({text})" if candidate.record.status == "stopped" else text


def _cost(state: SearchState, candidates: Sequence[Candidate], repetitions: Sequence[RunRecord]) -> None:
    timed = [candidate.record for candidate in candidates if candidate.record.timings]
    total = sum(record.timings.total for record in timed if record.timings)
    evaluating = sum(record.timings.evaluate for record in timed if record.timings)
    done = sum(record.steps for record in timed)
    whole = sum(record.total_steps or record.steps for record in timed)
    stopped = sum(record.status == "stopped" for record in timed)
    saved = f"; {stopped} stopped early, which saved {1 - done / whole:.0%} of the steps" if stopped and whole else ""
    console.print(f"cost: {duration(total)} of run time, {duration(evaluating)} of it dev evaluations{saved}")
    if repetitions:
        spent = sum(record.timings.total for record in repetitions if record.timings)
        console.print(f"  and {duration(spent)} for {len(repetitions)} repetitions of the best few with further seeds")
    left = state.trials - len(state.done)
    if left > 0:
        console.print(f"{left} of {state.trials} runs to go, {len(state.under_way)} of them begun")


def _steps(record: RunRecord) -> str:
    return f"{record.steps}/{record.total_steps}" if record.status == "stopped" else str(record.steps)


def _span(candidates: Sequence[Candidate]) -> tuple[float, float]:
    scores = [p.score for candidate in candidates for p in candidate.record.dev_curve]
    return (min(scores), max(scores)) if scores else (0.0, 1.0)


def sparkline(record: RunRecord, low: float, high: float, width: int = 8) -> str:
    """The dev curve in block characters, all runs of a table on one scale."""
    curve = [p.score for p in record.dev_curve]
    picked = [curve[round(i * (len(curve) - 1) / (width - 1))] for i in range(width)] if len(curve) > width else curve
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in picked)
