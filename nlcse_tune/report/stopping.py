"""The stopping rule of `seeds --until-decided`, kept beside the records so that a report can say what it saw."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nlcse_tune.errors import DataError
from nlcse_tune.files import write_json
from nlcse_tune.paths import StudyPaths
from nlcse_tune.report.arms import Arm
from nlcse_tune.report.numbers import TEST_LABELS, p_equals
from nlcse_tune.stats import Decision, StoppingRule


def rule_file(paths: StudyPaths) -> Path:
    """Where a study's stopping rule and its looks are kept."""
    return paths.folder / "stopping-rule.json"


def write_rule(paths: StudyPaths, baseline: str, rule: StoppingRule, decisions: Sequence[Decision] = ()) -> None:
    """Keeps the rule (write it before the first look) and the looks taken so far."""
    write_json(
        rule_file(paths),
        {"baseline": baseline, "rule": asdict(rule), "looks": [asdict(decision) for decision in decisions]},
    )


def read_rule(paths: StudyPaths) -> tuple[str, StoppingRule, tuple[Decision, ...]] | None:
    """(baseline, rule, looks taken); None where the study was never run under a rule."""
    path = rule_file(paths)
    if not path.is_file():
        return None
    try:
        raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rule = StoppingRule(
            **{**raw["rule"], "looks": tuple(raw["rule"]["looks"]), "bounds": tuple(raw["rule"]["bounds"])}
        )
        return str(raw["baseline"]), rule, tuple(Decision(**look) for look in raw["looks"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not a stopping rule: {error}; move it away to report without it") from None


def stopping_words(method: Arm, baseline: Arm) -> Iterator[str]:
    """What the rule decided, and why the ordinary p and interval must not be read in its place."""
    found = read_rule(method.paths)
    if found is None or found[0] != baseline.name:
        return
    _, rule, taken = found
    looked = (
        "; ".join(f"n = {d.n}: {p_equals(d.p)} against a bound of {d.bound:.5f}" for d in taken) or "none taken yet"
    )
    last = taken[-1] if taken else None
    verdict = (
        "no decision yet"
        if last is None or not last.stop
        else "the rule found a difference"
        if last.significant
        else "the rule ended without one"
    )
    yield (
        f"Seeds were added in rounds under a rule fixed beforehand ({TEST_LABELS[rule.test]}, {rule.spending} "
        "spending, looks at "
        f"{', '.join(map(str, rule.looks))} seeds, error rate {rule.alpha:g} over all looks): {looked}; {verdict}. "
        "This is the valid verdict on the average: the p and 95% interval above take n as fixed and are too "
        "optimistic after such looks."
    )
