"""A seed study: one configuration and its baseline repeated with several seeds, judged on the test sets."""

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from nlcse_tune import report, stats
from nlcse_tune.config import RunConfig, digest, override, validate
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, DataError, RunError
from nlcse_tune.files import locked
from nlcse_tune.launch.cluster import concurrency, fit, ray_cluster
from nlcse_tune.launch.spec import Launch, RunSpec
from nlcse_tune.launch.trials import Source, run_trials
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import RunRecord, ledger, now, run_id, tests_ledger
from nlcse_tune.stats import Decision
from nlcse_tune.study import Study

Origin = Literal["search", "study", "method"]


@dataclass(frozen=True)
class Side:
    """One side of the comparison: what is repeated, and where its configuration comes from."""

    study: Study
    paths: StudyPaths
    config: RunConfig
    origin: Origin  # its own search, its own YAML, or (a baseline) the method's text settings

    def spec(self, seed: int, data: dict[str, str]) -> RunSpec:
        return RunSpec(
            study=self.study.name,
            study_folder=str(self.paths.folder.resolve()),
            run_id=run_id(self.config, seed, data),
            seed=seed,
            config=self.config.model_dump(mode="json"),
        )


def sides(study: Study, root: StudyPaths, values: dict[str, Any]) -> list[Side]:
    """The method and its baseline (a baseline study stands alone), each as it was searched or as its YAML says.

    A baseline that was not searched itself takes the method's text, encoder and training settings, so that the two
    differ in the side alone.
    """
    method = _side(study, root)
    baseline = study.baseline_study(values)
    if baseline is None:
        return [method]
    paths = StudyPaths(root.root, baseline.name)
    if (found := _searched(baseline, paths)) is not None:
        return [method, Side(baseline, paths, found, "search")]
    return [method, Side(baseline, paths, override(method.config, {"side": None}), "method")]


def _side(study: Study, paths: StudyPaths) -> Side:
    found = _searched(study, paths)
    return Side(study, paths, study.config, "study") if found is None else Side(study, paths, found, "search")


def _searched(study: Study, paths: StudyPaths) -> RunConfig | None:
    """The configuration that the study's search chose, if it searched the study as it stands."""
    if not paths.search.is_file():
        return None
    try:
        choice = json.loads(paths.search.read_text(encoding="utf-8"))
        config = validate(RunConfig, choice["config"], where=str(paths.search))
        point = choice["point"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{paths.search}: not a search's result ({error}); search again or move it away") from None
    return config if override(study.config, point) == config else None


class SeedSource(Source):
    """A list of runs; reports each as it ends."""

    def __init__(self, specs: Sequence[RunSpec], on_run: Callable[[RunSpec, RunRecord | None, int, int], None]) -> None:
        self.left, self.total, self.on_run = list(specs), len(specs), on_run
        self.ended = 0

    def next(self) -> RunSpec | None:
        return self.left.pop(0) if self.left else None

    def done(self, spec: RunSpec, record: RunRecord | None) -> None:
        self.ended += 1
        self.on_run(spec, record, self.ended, self.total)


def missing_runs(both: Sequence[Side], seeds: Sequence[int], *, any_version: bool = False) -> list[RunSpec]:
    """Runs that are not yet trained or not yet tested, seed by seed so that an interrupted study stays paired.

    `any_version` counts what another version of this code trained and tested, too.
    """
    specs = []
    prints = [fingerprints(side.config) for side in both]
    known = [_known(side, data) if any_version else set() for side, data in zip(both, prints, strict=True)]
    for seed in seeds:
        for side, data, old in zip(both, prints, known, strict=True):
            spec = side.spec(seed, data)
            if seed not in old and not (spec.paths.record.is_file() and spec.paths.test.is_file()):
                specs.append(spec)
    return specs


def _known(side: Side, data: dict[str, str]) -> set[int]:
    """The seeds at which this configuration was trained and tested, by whatever version."""
    own, tested = digest(side.config, data), tests_ledger(side.paths)
    return {
        record.seed
        for record in ledger(side.paths)
        if record.run_id in tested and digest(record.config, record.data) == own
    }


def run_seeds(
    both: Sequence[Side],
    seeds: Sequence[int],
    launch: Launch = Launch(),  # noqa: B008
    *,
    any_version: bool = False,
    on_start: Callable[[int, str | None, int], None] = lambda runs, dashboard, concurrent: None,
    on_run: Callable[[RunSpec, RunRecord | None, int, int], None] = lambda spec, record, done, total: None,
) -> float:
    """Trains and tests what is missing of `both` at `seeds`; returns the seconds it took.

    Raises RunError where another process works on one of the folders.
    """
    clock = time.perf_counter()
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds: must differ, got {','.join(map(str, seeds))}")
    with ExitStack() as stack:
        for side in both:
            stack.enter_context(locked(side.paths.lock, str(side.paths.folder)))
        if specs := missing_runs(both, seeds, any_version=any_version):
            dashboard = stack.enter_context(ray_cluster(launch.address))
            resources = fit(launch)
            side_by_side = concurrency(resources, launch.concurrent)
            on_start(len(specs), dashboard, side_by_side)
            _log_opening(both, specs)
            run_trials(SeedSource(specs, on_run), resources, side_by_side, both[0].paths.ray, then_test=True)
    return time.perf_counter() - clock


def _log_opening(both: Sequence[Side], specs: Sequence[RunSpec]) -> None:
    """One line for each study whose test sets are about to be scored; never rewritten."""
    for side in both:
        runs = [spec.run_id for spec in specs if spec.study == side.study.name]
        if runs:
            side.paths.folder.mkdir(parents=True, exist_ok=True)
            line = {"time": now(), "command": "nlcse-tune " + " ".join(sys.argv[1:]), "runs": runs}
            with side.paths.openings.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")


def last_searched(root: StudyPaths) -> str | None:
    """The study searched last under this folder."""
    found = sorted(root.root.glob("*/search.json"), key=lambda path: path.stat().st_mtime)
    return found[-1].parent.name if found else None


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"7,8,9"` -> (7, 8, 9)."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds {text}: must be whole numbers with commas between, for instance 7,8,9") from None


def report_options(both: Sequence[Side], seed: int = 1, *, any_version: bool = False) -> report.Options:
    """A report over exactly these configurations, whatever else the studies' folders hold.

    With `any_version` over all that was tested: an older version names the same configuration otherwise.
    """
    if any_version:
        return report.Options(any_version=True)
    start = {side.study.name: side.spec(seed, fingerprints(side.config)).run_id.split("-")[0] for side in both}
    return report.Options(choose=start)


def until_decided(
    both: Sequence[Side],
    first: int,
    maximum: int,
    *,
    launch: Callable[[Sequence[int]], float],
    on_look: Callable[[Decision], None] = lambda decision: None,
) -> Decision:
    """Adds seeds in rounds until the rule, fixed and written down before the first look, says to stop.

    A study that was begun under a rule goes on under that rule, whatever `first` and `maximum` say now: another one
    after a look would not keep the error rate.
    """
    if len(both) < 2:
        raise ConfigError(f"{both[0].study.name}: has no baseline to decide against; add `baseline:` to the study")
    method, baseline = both
    options = report_options(both)
    kept = report.read_rule(method.paths)
    if kept is not None and kept[0] == baseline.study.name:
        rule = kept[1]
    else:
        rule = stats.stopping_rule(stats.looks(first, maximum), np.random.default_rng(0))
        report.write_rule(method.paths, baseline.study.name, rule)
    decisions: list[Decision] = []
    for n in rule.looks:
        launch(range(1, n + 1))
        # A look at n sees the first n seeds, however many lie on disk already.
        seen = replace(options, seeds=tuple(range(1, n + 1)))
        made = report.build([method.study], method.paths.root, seen)
        gap = made.blocks[0].comparisons[0].gaps["avg"]
        if gap.result is None or gap.method.n < n or gap.baseline.n < n:
            raise RunError(
                f"the rule looks at {n} seeds a side, and not all have scores: {gap.why or 'some runs failed'}"
            )
        decisions.append(rule.decide(n, gap.result.p))
        report.write_rule(method.paths, baseline.study.name, rule, decisions)
        on_look(decisions[-1])
        if decisions[-1].stop:
            break
    return decisions[-1]
