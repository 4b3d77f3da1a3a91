"""In what two runs, configurations or test records differ: what forbids an average or a comparison, by name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlcse_tune.config import PATH_FIELDS, SPEED_FIELDS, TEST_FIELDS, RunConfig, flatten
from nlcse_tune.records import RunRecord, TestRecord
from nlcse_tune.study import Study


def record_differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Each field, input or numerics version in which two runs differ, as `name: value against value`."""
    return [
        *config_differences(a.config, b.config),
        *data_differences("data", a.data, b.data, a.data.keys() | b.data.keys()),
        *numerics_differences(a, b, " (--any-version joins them)"),
    ]


def data_differences(what: str, a: Mapping[str, str], b: Mapping[str, str], keys: set[str]) -> list[str]:
    """Those of the inputs in `keys` whose fingerprints differ."""
    return [
        f"{what} {key}: {a.get(key, 'absent')} against {b.get(key, 'absent')}"
        for key in sorted(keys)
        if a.get(key) != b.get(key)
    ]


def numerics_differences(a: RunRecord, b: RunRecord, hint: str = "") -> list[str]:
    """Whether two runs were made by other numerics of this tool: at most one line."""
    left, right = a.versions.numerics, b.versions.numerics
    return [f"numerics: {left} against {right}{hint}"] if left != right else []


def test_differences(a: TestRecord, b: TestRecord) -> list[str]:
    """How two test records' setting, or the fingerprint of a test set that both used, differ."""
    setting = [f"setting: {a.setting} against {b.setting}"] if a.setting != b.setting else []
    return setting + data_differences("test data", a.data, b.data, a.data.keys() & b.data.keys())


test_differences.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def config_differences(a: RunConfig, b: RunConfig, *, parts: tuple[str, ...] = ()) -> list[str]:
    """Each field that decides a run's numbers and differs, as `field: value against value`; `parts` keeps some."""
    left, right = flatten(a), flatten(b)
    skipped = {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS}
    return [
        f"{field}: {_value(left, field)} against {_value(right, field)}"
        for field in {**left, **right}
        if field not in skipped
        and left.get(field, ...) != right.get(field, ...)
        and (not parts or field.split(".")[0] in parts)
    ]


def _value(flat: Mapping[str, Any], field: str) -> str:
    return "absent" if field not in flat else "null" if flat[field] is None else f"{flat[field]}"


def published_differences(study: Study, config: RunConfig, setting: str) -> list[str]:
    """Fields in which tested runs are not the study as published, less what a search may change.

    Inputs count by the last part of their paths: the published ones lie in nobody's folder.
    """
    ours, theirs = flatten(config), flatten(study.written)
    names = {
        field: tuple(Path(str(flat[field])).name if flat.get(field) else "none" for flat in (ours, theirs))
        for field in PATH_FIELDS
        if field != "eval.data"  # test sets have fingerprints of their own
    }
    differences = [f"{field}: {mine} against {other}" for field, (mine, other) in names.items() if mine != other]
    if setting != study.written.eval.setting:
        differences.append(f"eval.setting: {setting} against {study.written.eval.setting}")
    searched = study.space.fields if study.space else ()
    free = (*searched, "train.eval_every", "train.precision", "train.tf32")
    return differences + [d for d in config_differences(config, study.written) if d.split(":")[0] not in free]
