"""A seed study: one configuration and its baseline repeated with several seeds, judged on the test sets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import count, islice
from typing import Any, Literal

import numpy as np

from nlcse_tune import records, report, stats
from nlcse_tune.config import RunConfig
from nlcse_tune.config.fields import flatten, override, plain
from nlcse_tune.data.catalog import fingerprints
from nlcse_tune.data.check import check_inputs
from nlcse_tune.errors import ConfigError, RunError
from nlcse_tune.evaluation.tested import is_tested
from nlcse_tune.files import locked
from nlcse_tune.launch.call import Calling
from nlcse_tune.launch.driver import ListedRuns
from nlcse_tune.launch.events import SeedsView, Watcher, watched
from nlcse_tune.launch.pool import open_pool
from nlcse_tune.launch.spec import Launch, Needs, RunSpec, run_spec
from nlcse_tune.paths import StudyPaths
from nlcse_tune.records import KeptRule, RunRecord, split_run_id
from nlcse_tune.records.ledger import is_whole, kept_test, ledger, read_openings
from nlcse_tune.records.precision import HeldPrecision, held_precision, hold
from nlcse_tune.report.arms import searched
from nlcse_tune.study import Study

Origin = Literal["search", "study", "changed", "method", "baseline"]


@dataclass(frozen=True)
class PlannedArm:
    """What is to be repeated, the method or its baseline, and where its configuration comes from."""

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
        """The configuration's name in a report."""
        return records.configuration_key(self.config, self.data)

    def records(self) -> Iterator[RunRecord]:
        """Its records at any seed, by whatever version of this code, oldest first."""
        return (record for record in ledger(self.paths).runs if record.key == self.key)

    def spec(self, seed: int) -> RunSpec:
        return run_spec(self.paths, self.config, seed, self.data)

    def is_tested(self, run_id: str) -> bool:
        """Whether a run was tested as the configuration asks now."""
        return is_tested(self.paths.run(run_id), self.config.eval)


def planned_arms(study: Study, root: StudyPaths, values: dict[str, Any]) -> list[PlannedArm]:
    """The method and its baseline (a baseline study stands alone), each as it was searched or as its YAML says.

    One that was not searched itself takes the other's settings where the two should differ in their sides alone: SimCSE
    the text, encoder and training settings of a method with a side, a control all that its baseline's search chose.
    """
    method = _planned(study, root)
    if (other := study.baseline_study(values)) is None:
        return [method]
    baseline = _planned(other.copied(baseline=None), StudyPaths(root.root, other.name))
    if baseline.origin != "search" and study.config.side and not other.config.side:
        baseline = replace(baseline, config=override(method.config, {"side": None}), origin="method")
    elif method.origin != "search" and baseline.origin == "search" and (own := _control(study.config, other.config)):
        method = replace(method, config=override(baseline.config, own), origin="baseline")
    return [method, baseline]


def _planned(study: Study, paths: StudyPaths) -> PlannedArm:
    if (config := searched(study, paths)) is not None:
        return PlannedArm(study, paths, config, "search")
    return PlannedArm(study, paths, study.config, "changed" if paths.search.is_file() else "study")


def _control(config: RunConfig, baseline: RunConfig) -> dict[str, Any]:
    """The fields that make a configuration a control of its baseline; none where the two differ in others, too."""
    ours, theirs = flatten(config), flatten(baseline)
    differ = {field: value for field, value in ours.items() if theirs.get(field, ...) != value}
    kinds = {plain(field) for field in differ}
    is_control = "side.control" in kinds <= {"side.control", "side.loss"} and ours.keys() == theirs.keys()
    return differ if is_control else {}


def missing_runs(arms: Sequence[PlannedArm], seeds: Sequence[int], *, any_version: bool = False) -> list[RunSpec]:
    """Runs that are not yet trained, or not tested as asked, seed by seed so that an interrupted study stays paired.

    `any_version` counts what another version of this code trained and tested, too.
    """
    known = [{r.seed for r in arm.records() if arm.is_tested(r.run_id)} if any_version else set() for arm in arms]
    wanted = ((arm, seed) for seed in seeds for arm, tested in zip(arms, known, strict=True) if seed not in tested)
    specs = ((arm, arm.spec(seed)) for arm, seed in wanted)
    return [spec for arm, spec in specs if not arm.is_tested(spec.run_id)]


def adopt_setting(arm: PlannedArm) -> None:
    """Gives the test records of this configuration the setting that is asked for: they hold the scores of each."""
    setting = arm.config.eval.setting
    for record in arm.records():
        run = arm.paths.run(record.run_id)
        if (test := kept_test(run, record)) is not None and test.setting != setting:
            test.model_copy(update={"setting": setting}).write(run.test)


def outdated(arms: Sequence[PlannedArm], seeds: Sequence[int]) -> list[RunSpec]:
    """Runs at other seeds than these that were tested otherwise than is asked now: no report could join them."""
    others = [(arm, r, arm.spec(r.seed)) for arm in arms for r in arm.records() if r.seed not in seeds]
    tested = [(arm, r, spec) for arm, r, spec in others if r.run_id == spec.run_id and spec.paths.test.is_file()]
    return [spec for arm, r, spec in tested if is_whole(r, spec.paths) and not arm.is_tested(r.run_id)]


def run_seeds(
    arms: Sequence[PlannedArm],
    seeds: Sequence[int],
    launch: Launch = Launch(),  # noqa: B008
    view: SeedsView = SeedsView(),  # noqa: B008
    *,
    any_version: bool = False,
    watchers: Sequence[Watcher] = (),
    found: HeldPrecision | None = None,
) -> None:
    """Trains and tests what is missing of `arms` at `seeds`; RunError where another process works on their folders.

    `watchers` are told what happens to runs. `found` is what the arms' precision came to, and holds from now on.
    """
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds: must differ, got {','.join(map(str, seeds))}")
    with ExitStack() as stack:
        for arm in arms:
            stack.enter_context(locked(arm.paths.lock, str(arm.paths.folder)))
        calling = stack.enter_context(Calling([arm.paths for arm in arms], "seeds"))
        for arm in arms:
            if found and (arm is arms[0] or held_precision(arm.paths) is None):
                hold(arm.paths, found)
            adopt_setting(arm)
        declare(arms, len(seeds))
        folders = [arm.paths for arm in arms]
        audience = stack.enter_context(watched([view, calling, *watchers], view.note, *folders))
        if specs := [*missing_runs(arms, seeds, any_version=any_version), *outdated(arms, seeds)]:
            check_inputs(arm.config for arm in arms)
            needs = Needs(tuple(arm.paths for arm in arms), tuple(arm.config for arm in arms), tests=True)
            pool = stack.enter_context(open_pool(launch, audience, needs))
            calling.say(dashboard=pool.dashboard, address=launch.address)
            view.started(len(specs), pool.at_a_time)
            audience.expected([len(specs)], pool.at_a_time)
            pool.run(ListedRuns(specs, view.finished), arms[0].paths.ray, then_test=True)


def declaration(arms: Sequence[PlannedArm], n: int) -> records.Declaration | None:
    """What is declared of a comparison that `n` seeds per arm, or its stopping rule, decide; None but for two arms."""
    if len(arms) != 2:
        return None
    method, baseline = arms
    keys, confirm = (method.key, baseline.key), method.study.confirm
    kept = KeptRule.read(method.paths.rule(keys))
    own = {records.configuration_id(method.config, method.data), *(r.configuration for r in method.records())}
    openings, _ = read_openings(method.paths)
    scored = [opening for opening in openings if own & {*map(_configuration, opening.runs)}]  # under any numerics
    return records.Declaration(
        keys=keys, time=records.now(), columns=confirm.columns, level=confirm.level, margin=confirm.margin,
        test=kept.rule.test if kept else report.declared_test(confirm, method.config, baseline.config),
        looks=kept.rule.looks if kept else (n,),
        openings=len(scored),
    )  # fmt: skip


def _configuration(run: str) -> str | None:
    parts = split_run_id(run)
    return parts.configuration if parts else None


def declare(arms: Sequence[PlannedArm], n: int) -> None:
    """Writes down what the comparison is about, beside what was declared before; nothing where that is the same."""
    if (new := declaration(arms, n)) is None:
        return
    path = arms[0].paths.declarations
    made = (records.Declarations.read(path) or records.Declarations()).made
    last = next((old for old in reversed(made) if old.keys == new.keys), None)
    if last is None or last != new.model_copy(update={"time": last.time, "openings": last.openings}):
        records.Declarations(made=(*made, new)).write(path)


def report_options(arms: Sequence[PlannedArm], *, any_version: bool = False) -> report.ReportOptions:
    """A report over exactly these configurations, whatever else the studies' folders hold."""
    name = records.configuration_key if any_version else records.configuration_id
    return report.ReportOptions(choose={a.study.name: name(a.config, a.data) for a in arms}, any_version=any_version)


def until_decided(
    arms: Sequence[PlannedArm],
    first: int,
    maximum: int,
    *,
    launch: Callable[[Sequence[int]], None],
    view: SeedsView = SeedsView(),  # noqa: B008
    any_version: bool = False,
) -> stats.Decision:
    """Adds seeds in rounds until the rule, fixed and written down before the first look, says to stop.

    A comparison that was begun under a rule goes on under that rule, whatever `first` and `maximum` say now: another
    one after a look would not keep the error rate. For the same reason a new rule counts fresh seeds alone, none of
    which the method was tested with and none that a search chose by: with five seeds seen and then looks at 5 to 20
    under a rule, a true null hypothesis was rejected in 8.1% of simulated studies in place of 5% (LOG.md).
    """
    kept, new = _rule(arms, first, maximum)
    path = arms[0].paths.rule(kept.keys)
    if new:
        kept.write(path)
    view.rule(kept, new)
    options = report_options(arms, any_version=any_version)
    kept = kept.model_copy(update={"taken": ()})
    for n in kept.rule.looks:
        seeds = kept.seeds[:n]
        launch(seeds)
        # A look at n sees the rule's first n seeds, however many lie on disk already.
        look = replace(options, seeds=seeds, test=kept.rule.test)
        made = report.build([arm.study for arm in arms], arms[0].paths.root, look)
        decision = kept.rule.decide(n, _p_of_look(made, n))
        kept = kept.model_copy(update={"taken": (*kept.taken, decision)})
        kept.write(path)
        view.looked(kept)
        if decision.stop:
            break
    return decision


def _rule(arms: Sequence[PlannedArm], first: int, maximum: int) -> tuple[KeptRule, bool]:
    """The rule that this comparison goes by, and whether it is new."""
    if len(arms) < 2:
        raise ConfigError(f"{arms[0].study.name}: has no baseline to decide against; add `baseline:` to the study")
    method, baseline = arms
    keys, confirm = (method.key, baseline.key), method.study.confirm
    scored = f'the "{method.config.eval.setting}" average of {", ".join(method.config.eval.tasks)}'
    if (kept := KeptRule.read(method.paths.rule(keys))) is None:
        test = report.declared_test(confirm, method.config, baseline.config)
        if test not in ("welch", "paired") or confirm.columns != ("avg",):
            what = f"{test} on {', '.join(confirm.columns)}"
            raise ConfigError(
                f"--until-decided: {method.study.name} declares {what}; a stopping rule knows welch and paired, on avg"
            )
        looks, draws = stats.looks(first, maximum), np.random.default_rng(0)
        rule = stats.stopping_rule(looks, draws, paired=test == "paired", alpha=confirm.level)
        return KeptRule(keys=keys, scored=scored, seeds=_fresh_seeds(arms, maximum), rule=rule), True
    if kept.scored != scored:
        raise ConfigError(
            f"--until-decided: {method.study.name} was begun under a rule over {kept.scored}; {scored} would be a "
            "second look at the same seeds"
        )
    return kept, False


def _p_of_look(made: report.Report, n: int) -> float:
    """The p of the average's gap; RunError unless both arms have n scores."""
    gap = made.blocks[0].comparisons[0].gaps.get("avg") if made.blocks[0].comparisons else None
    if gap is None or gap.result is None or gap.method.n < n or gap.baseline.n < n:
        why = gap.why if gap is not None and gap.why else "some runs failed or lack a test set"
        raise RunError(f"the rule looks at {n} seeds per arm, and not all have scores: {why}")
    return gap.result.p


def _fresh_seeds(arms: Sequence[PlannedArm], n: int) -> tuple[int, ...]:
    """n seeds after all that the method's configuration was tested with, from 1 on, less those of searches."""
    method = arms[0]
    seen = {record.seed for record in method.records() if method.paths.run(record.run_id).test.is_file()}
    choices = [choice for arm in arms if (choice := records.Choice.read(arm.paths.search))]
    searched = {arm.study.search_seed for arm in arms} | {seed for choice in choices for seed in choice.search_seeds}
    fresh = (seed for seed in count(max(seen, default=0) + 1) if seed not in searched)
    return tuple(islice(fresh, n))
