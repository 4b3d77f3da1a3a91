"""In what two runs, configurations or test records differ: what forbids an average or a comparison, by name."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlcse_tune.config import PATH_FIELDS, SPEED_FIELDS, TEST_FIELDS, RunConfig, flatten
from nlcse_tune.records import RunRecord, TestRecord
from nlcse_tune.study import Study


def differing(a: Mapping[str, Any], b: Mapping[str, Any], names: Iterable[str], what: str = "") -> list[str]:
    """`name: value against value` for those of `names` that the two do not share."""
    return [f"{what}{n}: {_value(a, n)} against {_value(b, n)}" for n in names if a.get(n, ...) != b.get(n, ...)]


def _value(values: Mapping[str, Any], name: str) -> str:
    return "absent" if name not in values else "null" if values[name] is None else f"{values[name]}"


def record_differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Each field, input or numerics version in which two runs differ."""
    inputs = differing(a.data, b.data, sorted(a.data.keys() | b.data.keys()), "data ")
    numerics = [f"{line} (--any-version joins them)" for line in numerics_differences(a, b)]
    return [*config_differences(a.config, b.config), *inputs, *numerics]


def numerics_differences(a: RunRecord, b: RunRecord) -> list[str]:
    """Whether two runs were made by other numerics of this tool: at most one line."""
    return differing(a.versions.model_dump(), b.versions.model_dump(), ["numerics"])


def test_differences(a: TestRecord, b: TestRecord) -> list[str]:
    """How two test records' setting, or the fingerprint of a test set that both used, differ."""
    setting = differing({"setting": a.setting}, {"setting": b.setting}, ["setting"])
    return setting + differing(a.data, b.data, sorted(a.data.keys() & b.data.keys()), "test data ")


test_differences.__test__ = False  # type: ignore[attr-defined]  # not a pytest function


def config_differences(a: RunConfig, b: RunConfig, *, parts: tuple[str, ...] = ()) -> list[str]:
    """Each field that decides a run's numbers and differs; `parts` keeps those of some parts of a configuration."""
    left, right = flatten(a), flatten(b)
    fields = [field for field in {**left, **right} if field not in {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS}]
    return differing(left, right, [field for field in fields if not parts or field.split(".")[0] in parts])


def published_differences(study: Study, config: RunConfig, setting: str) -> list[str]:
    """Fields in which tested runs are not the study as published, less what a search may change.

    Inputs count by the last part of their paths: the published ones lie in nobody's folder.
    """
    inputs = [field for field in PATH_FIELDS if field != "eval.data"]  # test sets have fingerprints of their own
    ours, theirs = (
        {field: Path(str(flat[field])).name if flat.get(field) else "none" for field in inputs}
        for flat in (flatten(config), flatten(study.written))
    )
    ours["eval.setting"], theirs["eval.setting"] = setting, study.written.eval.setting
    searched = study.space.fields if study.space else ()
    free = (*searched, "train.eval_every", "train.precision", "train.tf32")
    others = [line for line in config_differences(config, study.written) if line.split(":")[0] not in free]
    return differing(ours, theirs, ours) + others
