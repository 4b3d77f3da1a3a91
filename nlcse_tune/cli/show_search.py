"""What `search` prints: a line a finished run, the ranking, repetitions, and what a finished search teaches."""

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from nlcse_tune.cli.live import LiveView, to_go
from nlcse_tune.cli.show import (
    console,
    duration,
    following,
    outcome,
    score,
    table,
    vain,
    written,
)
from nlcse_tune.cli.show_runs import print_fitted
from nlcse_tune.errors import ConfigError, plural
from nlcse_tune.launch.spec import RunSpec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord
from nlcse_tune.report.figures import best_by_pair, write_search_figures
from nlcse_tune.search.state import Candidate, SearchState, View, last_choice, repetitions
from nlcse_tune.space import ValueList, number, spoken

if TYPE_CHECKING:
    from nlcse_tune.search.search import SearchResult

_BARS = "▁▂▃▄▅▆▇█"
MOST_ROWS = 100  # of a ranking
_COLUMNS = ("before", "best step", "steps", "curve", "time", "run")  # of the ranking, after rank, values and dev
_LEAST_NEEDED = ("curve", "best step", "steps", "time", "before", "run")


class SearchView(LiveView, View):
    """One line per finished run, above those under way."""

    def __init__(self, study: str) -> None:
        super().__init__(f"{study}: starting Ray (15 to 20 s)")
        self.study = study
        self.state: SearchState | None = None

    def started(self, state: SearchState, dashboard: str | None, at_a_time: int) -> None:
        self.state = state
        text, left = state.study.config.text, state.trials - len(state.done)
        negatives = text.batch_size * (2 if text.objective == "supervised" else 1) - 1
        known = f", {len(state.done)} already on record" if state.done else ""
        begun = f", {len(state.under_way)} to go on with" if state.under_way else ""
        runs = f"{plural(left, 'run')}{known}{begun}, {at_a_time} at a time"
        console.print(f"{self.study}: {state.study.config.method}, {runs}, seed {state.seed}")
        dev = "STS-B dev" + (f" in {language}" if (language := state.study.config.eval.language) else "")
        console.print(f"  {negatives} negatives per anchor at the study's own text batch; chosen on {dev}")
        if dashboard:
            console.print(f"  Ray dashboard {dashboard} (how to get in: `nlcse-tune dashboard`)")
        console.print(Text(f"  live: optuna-dashboard {state.paths.journal}"))  # which reads no store
        self.head = f"{self.study}: {to_go(len(state.done), state.trials)}"

    def note(self, text: str) -> None:
        console.print(text)

    def finished(self, candidate: Candidate, done: int, trials: int) -> None:
        record = candidate.record
        stopped = f", stopped at {record.share:.0%}" if record.status == "stopped" else ""
        print_fitted(f"  [{done}/{trials}]", spoken(candidate.point), f"{outcome(record)}{stopped}")
        self.head = f"{self.study}: {to_go(done, trials)}"

    def repeated(self, spec: RunSpec, record: RunRecord | None, done: int, runs: int) -> None:
        assert self.state is not None
        tried = spoken(self.state.point_of(spec.config))
        print_fitted(f"  [{done}/{runs}] seed {spec.seed}", tried, outcome(record))
        self.head = f"{self.study}: the best few again, with seed {spec.seed}: {to_go(done, runs)}"


def ranking(study: str, candidates: Sequence[Candidate]) -> None:
    """The runs of a search, best first, at most MOST_ROWS of them: `trials.csv` has all.

    A window that is too narrow for every column leaves out the least needed ones; where rank, values and dev alone
    are too wide for it, the values of a run stand one below the other.
    """
    runs, candidates = len(candidates), candidates[:MOST_ROWS]
    scores = [p.score for candidate in candidates for p in candidate.record.dev_curve] or [0.0]
    rows = [_cells(rank, candidate, min(scores), max(scores)) for rank, candidate in enumerate(candidates, start=1)]
    for stacked, n in product((False, True), range(len(_LEAST_NEEDED) + 1)):
        kept = [name for name in _COLUMNS if name not in _LEAST_NEEDED[:n]]
        shown = _ranking(candidates, rows, kept, stacked=stacked)
        if console.measure(shown, options=console.options.update_width(1000)).maximum <= console.width:
            break
    best = f"the best {MOST_ROWS} of " if runs > MOST_ROWS else ""
    shown.title = f"{study}: {best}{plural(runs, 'run')} by STS-B dev (Spearman x 100)"
    console.print(shown)


def _ranking(
    candidates: Sequence[Candidate], rows: Sequence[dict[str, str]], columns: Sequence[str], *, stacked: bool
) -> Table:
    """Rank, the searched values, dev, and those of the other columns that are named."""
    fields = list(dict.fromkeys(name for candidate in candidates for name in candidate.point))
    names = [f"{name}>".replace(".", ".\n").replace("_", "_\n") for name in fields]
    flush = [name if name in ("curve", "run") else f"{name}>" for name in columns]
    shown = table("rank>", *(["searched values"] if stacked else names), "dev>", *flush, wrap=False)
    for (values, _), row in zip(candidates, rows, strict=True):
        cells = [number(values[name]) if name in values else "" for name in fields]
        searched = [spoken(values).replace(" ", "\n")] if stacked else cells
        shown.add_row(row["rank"], *searched, row["dev"], *(row[name] for name in columns))
    return shown


def _cells(rank: int, candidate: Candidate, low: float, high: float) -> dict[str, str]:
    """One run's row of the ranking, less its searched values."""
    record = candidate.record
    return {
        "rank": str(rank),
        "dev": score(record.best_dev),
        "before": score(record.dev_before),
        "best step": number(record.best_step),
        "steps": f"{record.steps}/{record.total_steps}" if record.status == "stopped" else str(record.steps),
        "curve": sparkline(record, low, high),
        "time": duration(record.timings.total) if record.timings else "-",
        "run": record.run_id,
    }


def result(search: "SearchResult", paths: StudyPaths) -> None:
    """The ranking of a search, its repetitions, and where its winner lies."""
    ranking(paths.study, search.candidates)
    best, scores = search.best.record, search.scores
    if search.standings:
        _standings(search)
    seeds = f"{best.seed} to {best.seed + len(scores) - 1}" if len(scores) > 1 else f"{best.seed}"
    mean = score(sum(scores) / len(scores))
    console.print(f"best: dev {mean} (n={len(scores)}, seed {seeds}); {spoken(search.best.point)}")
    _vain(search.candidates, search.best)
    if search.unrepeated and not search.missing:
        console.print("  the best few are not repeated to the end yet: the same command goes on with them")
    elif len(scores) == 1 and len(search.candidates) > 1:
        console.print("  the best of many single runs is partly luck: --select-seeds 3 repeats the best few")
    path = paths.run(best.run_id).best
    console.print(f"checkpoint: {path}" if path.exists() else "no checkpoint yet: the same command makes it")
    console.print(f"as a study: {paths.best}; every run: {paths.trials}")
    trained = f"{search.trained} trained now, " if search.trained < len(search.candidates) else ""
    console.print(f"{trained}{duration(search.seconds)} in all; records in {paths.records}")
    if search.exhausted:
        console.print(f"the space has no further point ({len(search.candidates)} on record): more needs a larger space")
    if search.missing:
        errors = [run.error for run in paths.checkpoints() if run.error.exists() and not run.record.exists()]
        see = f"; see {max(errors, key=lambda path: path.stat().st_mtime)}" if errors else ""
        console.print(
            f"{plural(search.missing, 'run')} without a record yet (time was up, or a process died{see}): the same "
            "command goes on"
        )


def _vain(candidates: Sequence[Candidate], best: Candidate) -> None:
    """Says so where the winner, or even every run, is no better than no training."""
    every = not any(c.record.gained for c in candidates if c.record.best_dev is not None)
    vain("every run of this search is" if every else "the winner is", best.record)


def next_step(search: "SearchResult", command: str) -> None:
    """`command`, where the search is whole and what it chose is worth repeating."""
    if not (search.missing or search.unrepeated) and search.best.record.gained:
        following(command)


def _standings(search: "SearchResult") -> None:
    most, seed = len(search.scores), search.best.record.seed
    shown = table(
        "configuration", *(f"seed {seed + i}>" for i in range(most)), "mean>", "n>", title="the best few, repeated"
    )
    for candidate, standing in search.standings:
        cells = [score(s) for s in standing.scores] + ["-"] * (most - len(standing.scores))
        shown.add_row(spoken(candidate.point), *cells, score(standing.mean), str(len(standing.scores)))
    console.print(shown)
    leader, standing = max(search.standings, key=lambda item: item[1].scores[0])
    fate = "and stays the winner" if leader is search.best else "and is not the winner"
    console.print(
        f"{spoken(leader.point)} led with seed {seed}: dev {score(standing.scores[0])}, but {score(standing.fresh)} on "
        f"fresh seeds ({standing.fresh - standing.scores[0]:+.2f}), {fate}"
    )


def overview(state: SearchState, *, figures: bool) -> None:
    """`search --show`: ranking, winner, importances, heat map, cost; ConfigError where nothing is on record."""
    study, candidates, winner = state.study.name, state.candidates(), last_choice(state)
    if not candidates:
        raise ConfigError(
            f"{study}: no run of this search is on record in {state.paths.folder}; pass the --set and --space options "
            "that it was searched with"
        )
    ranking(study, candidates)
    for line in state.left_out:
        console.print(f"not counted: {line}")
    _vain(candidates, next((c for c in candidates if winner and c.record.run_id == winner.run_id), candidates[0]))
    if winner is not None:
        mean = sum(winner.dev_by_seed.values()) / len(winner.dev_by_seed)
        seeds = ", ".join(map(str, winner.dev_by_seed))
        console.print(f"winner of the last search: dev {score(mean)} (seed {seeds}); {spoken(winner.point)}")
    _importances(state, candidates)
    if (fields := _heat_fields(state)) is not None:
        _heat_map(state, candidates, *fields)
    _cost(state, candidates, repetitions(state, winner.dev_by_seed) if winner else ())
    if figures:
        best = winner.run_id if winner else candidates[0].record.run_id
        written(write_search_figures(study, candidates, best, fields, state.paths.report))


def _importances(state: SearchState, candidates: Sequence[Candidate]) -> None:
    from nlcse_tune.search.journal import importances

    by_field, runs, share = importances(state, candidates)
    where = "at their end" if share == 1 else f"at {share:.0%} of a run, which all reached"
    parts = ", ".join(f"{name} {part:.0%}" for name, part in by_field.items())
    few = f"{runs or 'no'} {'run is' if runs == 1 else 'runs are'} too few to tell"
    why = few if runs < 4 else f"{runs} runs score all the same"
    console.print(
        f"importances (fANOVA over {runs} runs, their dev {where}): {parts}" if parts else f"importances: {why}"
    )


def _heat_fields(state: SearchState) -> tuple[str, str] | None:
    """The two fields of the heat map, rows then columns: side rate and text rate, else the first two with values."""
    listed = [name for name, parameter in state.space.parameters.items() if isinstance(parameter, ValueList)]
    if {"side.learning_rate", "text.learning_rate"} <= set(listed):
        return "side.learning_rate", "text.learning_rate"
    return (listed[0], listed[1]) if len(listed) > 1 else None


def _heat_map(state: SearchState, candidates: Sequence[Candidate], row: str, column: str) -> None:
    cells = best_by_pair(candidates, row, column)
    stopped = "; in brackets: stopped early" if any(record.status == "stopped" for record in cells.values()) else ""
    console.print(f"best dev by {row} (rows) and {column}{stopped}")
    rows, columns = (state.space.parameters[name].listed() or () for name in (row, column))
    shown = table(">", *(f"{number(value)}>" for value in columns), title=None)
    for value in rows:
        records = [cells.get((value, other)) for other in columns]
        texts = [score(record.best_dev if record else None) for record in records]
        marked = [f"({t})" if r and r.status == "stopped" else t for t, r in zip(texts, records, strict=True)]
        shown.add_row(number(value), *marked)
    console.print(shown)


def _cost(state: SearchState, candidates: Sequence[Candidate], again: Sequence[RunRecord]) -> None:
    timed = [(c.record, c.record.timings) for c in candidates if c.record.timings]
    total, evaluating = (sum(getattr(timings, part) for _, timings in timed) for part in ("total", "evaluate"))
    done = sum(record.steps for record, _ in timed)
    whole = sum(record.total_steps or record.steps for record, _ in timed)
    stopped = sum(record.status == "stopped" for record, _ in timed)
    saved = f"; {stopped} stopped early, which saved {1 - done / whole:.0%} of the steps" if stopped and whole else ""
    console.print(f"cost: {duration(total)} of run time, {duration(evaluating)} of it dev evaluations{saved}")
    if again:
        spent = duration(sum(record.timings.total for record in again if record.timings))
        console.print(f"  and {spent} for {plural(len(again), 'repetition')} of the best few with further seeds")
    left = state.trials - len(state.done)
    if left > 0:
        console.print(f"{left} of {plural(state.trials, 'run')} to go, {len(state.under_way)} of them begun")


def sparkline(record: RunRecord, low: float, high: float, width: int = 8) -> str:
    """The dev curve in block characters, all runs of a table on one scale."""
    curve = [p.score for p in record.dev_curve]
    picked = [curve[round(i * (len(curve) - 1) / (width - 1))] for i in range(width)] if len(curve) > width else curve
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in picked)
