"""A run's fields by dotted names: overriding them, naming runs by them, and saying what is wrong with one."""

import hashlib
import json
import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, TypeVar, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nlcse_tune.config import AUTO, ONE, SCRATCH, SEVERAL, SYNTHETIC, RunConfig, SideConfig
from nlcse_tune.errors import ConfigError, all_of, nearest
from nlcse_tune.files import parse_yaml
from nlcse_tune.paths import data_path

# Fields that change where data lies, or how fast and in how much memory a run goes, but never its numbers.
PATH_FIELDS = ("encoder.checkpoint", "text.data", "side.data", "side.checkpoint", "eval.data")
SPEED_FIELDS = ("train.checkpoint_every", "train.compile", "train.micro_batch", "train.loader_threads")
TEST_FIELDS = ("eval.tasks", "eval.setting")  # what is done with a finished run
# Fields younger than the first records. At its default, which is what every run did before, each is left out of a
# digest, so that runs keep their ids.
LATER_FIELDS = (
    "train.optimizers", "eval.language", "side.dropout", "side.mixup", "side.normalise", "side.positions",
    "text.limit", "text.deletion", "text.insertions", "text.swaps", "text.uniformity", "side.control",
)  # fmt: skip
_INDEX = re.compile(r"^side\.(\d+)\.")  # of a field of one of several sides
_INDEX_WITHIN = re.compile(r"\bside\.\d+\.")  # the same below a study's `config`
# The fields of a side that its controls on text have; the others say nothing of such a run.
_OF_CONTROLS = {
    "again": {"control", "learning_rate", "weight", "warmup", "weight_decay"},
    "text": {"control", "learning_rate", "weight", "warmup", "weight_decay", "batch_size", "temperature", "loss"},
}


def plain(field: str) -> str:
    """`side.1.data` -> `side.data`: a field without its side's place in a list; others as they are."""
    return _INDEX.sub("side.", field)


def flatten(config: RunConfig | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"text.learning_rate": 3e-05, ...}`; an absent side is the single entry `"side": None`.

    Fields of several sides have their place: `side.0.learning_rate`.
    """
    flat: dict[str, Any] = {}
    for key, value in (config.model_dump(mode="json") if isinstance(config, RunConfig) else config).items():
        if key == "side" and isinstance(value, list):
            value = {str(place): side for place, side in enumerate(value)}
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def searchable(config: RunConfig) -> dict[str, Any]:
    """As `flatten`, and `side.learning_rate` too where several sides agree on it: what a search space may name."""
    flat = flatten(config)
    placed = [field for field in flat if plain(field) != field]
    shared: dict[str, list[Any]] = {}
    for field in placed:
        shared.setdefault(plain(field), []).append(flat[field])
    return flat | {field: values[0] for field, values in shared.items() if all(v == values[0] for v in values)}


def sides_of(config: RunConfig) -> dict[str, SideConfig]:
    """A run's sides by the names that their fields begin with: `side` alone, or `side.0`, `side.1`."""
    several = len(config.sides) > 1
    return {f"side.{place}" if several else "side": side for place, side in enumerate(config.sides)}


def sides_read(config: RunConfig) -> dict[str, SideConfig]:
    """As `sides_of`, without those that read nothing of their own."""
    return {name: side for name, side in sides_of(config).items() if side.reads_data}


def inputs(config: RunConfig) -> dict[str, str]:
    """The files, folders and hub names that a run reads, by their fields."""
    read, flat = (*sides_read(config), "encoder", "text", "eval"), flatten(config)
    return {
        field: value
        for field, value in flat.items()
        if plain(field) in PATH_FIELDS and value is not None and field.rpartition(".")[0] in read
    }


def digest(config: RunConfig, data: Mapping[str, str], *, without: tuple[str, ...] = ()) -> str:
    """Hex digest of what decides a run's numbers: the configuration less paths and speed, plus data fingerprints.

    `without` leaves out further dotted fields: a search leaves out those of its space, so that all its points
    share one digest. Without a side there is one gradient, and `train.optimizers` says nothing.
    """
    flat = flatten(config)
    if flat["train.precision"] == AUTO:
        raise ConfigError("train.precision: auto stands for no run before it is found out; give fp32, bf16 or fp16")
    left_out = {*PATH_FIELDS, *SPEED_FIELDS, *TEST_FIELDS, *without, *(() if config.side else ("train.optimizers",))}
    unread = {
        f"{name}.{field}"
        for name, side in sides_of(config).items()
        for field in set(SideConfig.model_fields) - _OF_CONTROLS.get(side.control or "", set(SideConfig.model_fields))
    }
    kept = {
        key: value
        for key, value in flat.items()
        if not {key, plain(key)} & left_out
        and key not in unread
        and not (plain(key) in LATER_FIELDS and value == known_fields()[plain(key)].default)
    }
    return hashlib.sha256(json.dumps({"config": kept, "data": dict(data)}, sort_keys=True).encode()).hexdigest()


@cache
def known_fields(model: type[BaseModel] = RunConfig, prefix: str = "") -> Mapping[str, Any]:
    """Every dotted field (leaves only) of RunConfig, or of another model, with its pydantic FieldInfo."""
    fields: dict[str, Any] = {}
    for name, info in model.model_fields.items():
        inner = next((kind for kind in _kinds(info.annotation) if issubclass(kind, BaseModel)), None)
        fields |= known_fields(inner, f"{prefix}{name}.") if inner else {prefix + name: info}
    return fields


def _kinds(annotation: Any) -> Iterator[type]:
    """The classes that an annotation is made of, from the outside to the inside."""
    if isinstance(annotation, type):
        yield annotation
    for part in get_args(annotation) if get_origin(annotation) is not dict else ():
        yield from _kinds(part)


def check_field(field: str) -> None:
    """Raises ConfigError, naming the nearest known field, unless `field` is a dotted field of RunConfig."""
    if field != "side" and plain(field) not in known_fields():
        raise ConfigError(f"{field}: no such field{nearest(field, known_fields())}")


def lacks(config: RunConfig, field: str) -> bool:
    """Whether `field` is one of a side that a run does not have."""
    place = _INDEX.match(field)
    needed = int(place[1]) + 1 if place else int(field.startswith("side."))
    return len(config.sides) < needed


def override(config: RunConfig, values: Mapping[str, Any], *, where: str = "--set") -> RunConfig:
    """`config` with dotted fields replaced (`side=None` removes the side), checked anew; every problem in one error.

    With several sides `side.batch_size` is that of each, `side.1.batch_size` of the second.
    """
    raw = config.model_dump(mode="json")
    put = [partial(_put, raw, field, value) for field, value in values.items()]
    changed: RunConfig = all_of([*put, partial(validate, RunConfig, raw, where=where)])[-1]
    return changed


def _put(raw: dict[str, Any], field: str, value: Any) -> None:
    """Puts a dotted field's value into a configuration's nested mapping."""
    check_field(field)
    if field == "side" and value is not None:
        raise ConfigError(f"side: can only be set to null; set its fields instead, got {value!r}")
    *parents, leaf = plain(field).split(".")
    nodes = _sides(raw, field) if parents == ["side"] else [raw]
    for node in nodes:
        for parent in parents if parents != ["side"] else ():
            node = node[parent]
        node[leaf] = value


def _sides(raw: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """The mappings of the sides that `field` is one of. ConfigError where the run has no such side."""
    written, place = raw["side"], _INDEX.match(field)
    sides: list[dict[str, Any]] = written if isinstance(written, list) else [written] if written else []
    if not sides:
        raise ConfigError(f"{field}: this run has no side (SimCSE), so there is nothing to set")
    if place is None:
        return sides
    if int(place[1]) >= len(sides):
        has = f"its sides are side.0 to side.{len(sides) - 1}" if len(sides) > 1 else f"set {plain(field)}"
        raise ConfigError(f"{field}: this run has no such side; {has}")
    return [sides[int(place[1])]]


def assign(values: dict[str, Any], text: str) -> None:
    """Enters `text.learning_rate=2e-5` into `values`; what follows the sign is read as YAML."""
    field, sign, value = text.partition("=")
    if not sign or not field.strip():
        raise ConfigError(f"--set {text}: must look like field=value, for instance text.learning_rate=2e-5")
    values[field.strip()] = parse_yaml(value, where=f"--set {text}")


def assignments(texts: Iterable[str]) -> dict[str, Any]:
    """`["text.learning_rate=2e-5"]` -> `{"text.learning_rate": 2e-05}`; every problem in one error."""
    values: dict[str, Any] = {}
    all_of(partial(assign, values, text) for text in texts)
    return values


def with_absolute_paths(config: RunConfig) -> RunConfig:
    """Paths made absolute: Ray's workers run in folders of their own (docs/ray.md, point 17). Hub names stay."""
    changes = {}
    for field, value in inputs(config).items():
        if value not in (SYNTHETIC, SCRATCH):
            path = data_path(value)
            changes[field] = value if field.endswith("checkpoint") and not path.exists() else str(path.resolve())
    return override(config, changes)


Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], raw: Any, *, where: str) -> Model:
    """`raw` as `model`; one ConfigError lists every problem as `where: key: rule, got value`."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        problems = error.errors(include_url=False)
        raise ConfigError("\n".join(_describe(problem, model, where) for problem in problems)) from None


_SHORT = reprlib.Repr()  # a file can hold a value that takes minutes to print whole
_SHORT.maxstring = _SHORT.maxother = 100
_SHORT.maxlevel = 2


def _describe(problem: Any, model: type[BaseModel], where: str) -> str:
    key = ".".join(str(part) for part in problem["loc"] if part not in (ONE, SEVERAL))
    if problem["type"] == "extra_forbidden":
        unknown = str(problem["loc"][-1])
        parent = _INDEX_WITHIN.sub("side.", key.removesuffix(unknown))
        below = (field.removeprefix(parent) for field in known_fields(model) if field.startswith(parent))
        near = nearest(unknown, dict.fromkeys(name.split(".")[0] for name in below))
        return f"{where}: {key}: unknown key{_place(unknown, model) or near}"
    if problem["type"] == "missing":
        return f"{where}: {key}: must be given"
    rule = problem["msg"].removeprefix("Value error, ").replace("Input should", "must", 1)
    whole = not key and isinstance(problem["input"], dict)  # of the file: nobody wants to read it here
    told = whole or (problem["type"] == "value_error" and ", got " in rule)
    return f"{where}: {key + ': ' if key else ''}{rule}" + ("" if told else f", got {_SHORT.repr(problem['input'])}")


def _place(key: str, model: type[BaseModel]) -> str:
    """`"; it belongs under `config:`"`: where the model has a key of this name, empty where nowhere."""
    paths = [field.split(".") for field in known_fields(model)]
    parents = dict.fromkeys(".".join(path[:i]) for path in paths for i, name in enumerate(path) if name == key)
    named = [f"under `{parent}:`" if parent else "at the top" for parent in parents]
    return f"; it belongs {' or '.join(named)}" if named else ""
