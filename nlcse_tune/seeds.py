"""A seed study: one configuration and its baseline repeated with several seeds, judged on the test sets."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, islice
from typing import Any, Literal

import numpy as np

from nlcse_tune import report, stats
from nlcse_tune.config import RunConfig, digest, override
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.files import locked
from nlcse_tune.launch.cluster import concurrency, fit, ray_cluster
from nlcse_tune.launch.pool import ListedRuns, run_trials
from nlcse_tune.launch.spec import Launch, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import (
    KeptRule,
    RunRecord,
    configuration_id,
    configuration_key,
    is_whole,
    ledger,
    log_opening,
    read_choice,
    read_rule,
    read_test_record,
    searched_seeds,
    write_rule,
    write_test_record,
)
from nlcse_tune.run import is_tested
from nlcse_tune.stats import Decision
from nlcse_tune.study import Study

Origin = Literal["search", "study", "changed", "method"]


@dataclass(frozen=True)
class Side:
    """One side of the comparison: what is repeated, and where its configuration comes from."""

    study: Study
    paths: StudyPaths
    config: RunConfig
    origin: Origin  # its search; its YAML (not searched, or searched as another study); a baseline's: the method

    @cached_property
    def data(self) -> dict[str, str]:
        """Fingerprints of its inputs, read once: they can be gigabytes."""
        return fingerprints(self.config)

    @property
    def key(self) -> str:
        """The configuration's name in a report: `configuration_key` of its records."""
        return configuration_key(self.config, self.data)

    def records(self) -> Iterator[RunRecord]:
        """Its records at any seed, by whatever version of this code, oldest first."""
        return (record for record in ledger(self.paths) if record.key == self.key)

    def spec(self, seed: int) -> RunSpec:
        return run_spec(self.paths, self.config, seed, self.data)


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
    if (found := _searched(study, paths)) is not None:
        return Side(study, paths, found, "search")
    return Side(study, paths, study.config, "changed" if paths.search.is_file() else "study")


def _searched(study: Study, paths: StudyPaths) -> RunConfig | None:
    """The configuration that the study's search chose, if it searched the study as it stands."""
    if (choice := read_choice(paths)) is None:
        return None
    own = override(study.config, choice.point)  # how it is tested, or how fast it runs, may be another
    return own if digest(own, {}) == digest(choice.config, {}) else None


def missing_runs(both: Sequence[Side], seeds: Sequence[int], *, any_version: bool = False) -> list[RunSpec]:
    """Runs that are not yet trained, or not tested as asked, seed by seed so that an interrupted study stays paired.

    `any_version` counts what another version of this code trained and tested, too.
    """
    specs = []
    known = [_known(side) if any_version else set() for side in both]
    for seed in seeds:
        for side, old in zip(both, known, strict=True):
            spec = side.spec(seed)
            if seed not in old and not (spec.paths.record.is_file() and is_tested(spec.paths, side.config.eval)):
                specs.append(spec)
    return specs


def _known(side: Side) -> set[int]:
    """The seeds at which this configuration was trained, and tested as asked, by whatever version."""
    return {r.seed for r in side.records() if is_tested(side.paths.run(r.run_id), side.config.eval)}


def adopt_setting(side: Side) -> None:
    """Gives the test records of this configuration the setting that is asked for: they hold the scores of each."""
    setting = side.config.eval.setting
    for record in side.records():
        paths = side.paths.run(record.run_id)
        if (test := read_test_record(paths)) is not None and test.setting != setting:
            write_test_record(test.model_copy(update={"setting": setting}), paths)


def outdated(both: Sequence[Side], seeds: Sequence[int]) -> list[RunSpec]:
    """Runs at other seeds than these that were tested otherwise than is asked now: no report could join them."""
    found = []
    for side in both:
        for record in side.records():
            spec = side.spec(record.seed)
            if record.run_id != spec.run_id or record.seed in seeds or not spec.paths.test.is_file():
                continue
            if is_whole(record, spec.paths) and not is_tested(spec.paths, side.config.eval):
                found.append(spec)
    return found


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
        for side in both:
            adopt_setting(side)
        specs = [*missing_runs(both, seeds, any_version=any_version), *outdated(both, seeds)]
        if specs:
            dashboard = stack.enter_context(ray_cluster(launch.address))
            resources = fit(launch)
            side_by_side = concurrency(resources, launch.concurrent)
            on_start(len(specs), dashboard, side_by_side)
            for side in both:
                if runs := [spec.run_id for spec in specs if spec.study == side.study.name]:
                    log_opening(side.paths, runs, by="seeds")
            run_trials(ListedRuns(specs, on_run), resources, side_by_side, both[0].paths.ray, then_test=True)
    return time.perf_counter() - clock


def parse_seeds(text: str) -> tuple[int, ...]:
    """`"7,8,9"` -> (7, 8, 9)."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--seeds {text}: must be whole numbers with commas between, for instance 7,8,9") from None


def report_options(both: Sequence[Side], *, any_version: bool = False) -> report.ReportOptions:
    """A report over exactly these configurations, whatever else the studies' folders hold."""
    name = configuration_key if any_version else configuration_id
    choose = {side.study.name: name(side.config, side.data) for side in both}
    return report.ReportOptions(choose=choose, any_version=any_version)


def until_decided(
    both: Sequence[Side],
    first: int,
    maximum: int,
    *,
    launch: Callable[[Sequence[int]], float],
    any_version: bool = False,
    on_rule: Callable[[KeptRule, bool], None] = lambda kept, new: None,
    on_look: Callable[[Decision], None] = lambda decision: None,
) -> Decision:
    """Adds seeds in rounds until the rule, fixed and written down before the first look, says to stop.

    A comparison that was begun under a rule goes on under that rule, whatever `first` and `maximum` say now: another
    one after a look would not keep the error rate. For the same reason a new rule counts fresh seeds alone, none of
    which the method was tested with and none that a search chose by: with five seeds seen and then looks at 5 to 20
    under a rule, a true null hypothesis was rejected in 8.1% of simulated studies in place of 5% (LOG.md).
    """
    if len(both) < 2:
        raise ConfigError(f"{both[0].study.name}: has no baseline to decide against; add `baseline:` to the study")
    method, baseline = both
    keys = method.key, baseline.key
    scored = report.score_words(method.config.eval.setting, method.config.eval.tasks)
    kept = read_rule(method.paths, keys)
    new = kept is None
    if kept is not None and kept.scored != scored:
        raise ConfigError(
            f"--until-decided: {method.study.name} was begun under a rule over {kept.scored}; {scored} would be a "
            "second look at the same seeds"
        )
    if kept is None:
        rule = stats.stopping_rule(stats.looks(first, maximum), np.random.default_rng(0))
        kept = KeptRule(keys=keys, scored=scored, seeds=fresh_seeds(both, maximum), rule=rule)
        write_rule(kept, method.paths)
    on_rule(kept, new)
    options, decisions = report_options(both, any_version=any_version), []
    for n in kept.rule.looks:
        seeds = kept.seeds[:n]
        launch(seeds)
        # A look at n sees the rule's first n seeds, however many lie on disk already.
        made = report.build([method.study, baseline.study], method.paths.root, replace(options, seeds=seeds))
        gap = made.blocks[0].comparisons[0].gaps.get("avg") if made.blocks[0].comparisons else None
        if gap is None or gap.result is None or gap.method.n < n or gap.baseline.n < n:
            why = gap.why if gap is not None and gap.why else "some runs failed or lack a test set"
            raise RunError(f"the rule looks at {n} seeds a side, and not all have scores: {why}")
        decisions.append(kept.rule.decide(n, gap.result.p))
        write_rule(kept.model_copy(update={"taken": tuple(decisions)}), method.paths)
        on_look(decisions[-1])
        if decisions[-1].stop:
            break
    return decisions[-1]


def fresh_seeds(both: Sequence[Side], n: int) -> tuple[int, ...]:
    """n seeds after all that the method's configuration was tested with, from 1 on, less those of searches."""
    method = both[0]
    seen = {record.seed for record in method.records() if method.paths.run(record.run_id).test.is_file()}
    searched = {seed for side in both for seed in (side.study.search_seed, *searched_seeds(side.paths))}
    fresh = (seed for seed in count(max(seen, default=0) + 1) if seed not in searched)
    return tuple(islice(fresh, n))
