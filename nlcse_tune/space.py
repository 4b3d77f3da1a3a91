"""Search spaces: dotted RunConfig fields -> choices or ranges. Knows no search library."""

import itertools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import Field, RootModel, field_validator, model_validator

from nlcse_tune.config import Frozen
from nlcse_tune.config.fields import PATH_FIELDS, SPEED_FIELDS, TEST_FIELDS, check_field, known_fields, plain, validate
from nlcse_tune.errors import ConfigError, all_of
from nlcse_tune.files import read_yaml

Point = dict[str, Any]
LISTED = 10_000  # points up to which a finite space is listed
NOT_SEARCHED = {
    **dict.fromkeys(PATH_FIELDS, "inputs are not searched; make a study for each, so that their scores stay apart"),
    **dict.fromkeys(SPEED_FIELDS, "changes speed and memory, not scores, so there is nothing to search"),
    "side": "a study has a side or has none; search the side's fields",
    "side.control": "a control is a study of its own, so that its scores stay apart",
    "eval.language": "says what runs are judged by, which is one thing for all points of a search",
    **dict.fromkeys(TEST_FIELDS, "says how a finished run is tested, and a search sees no test scores"),
}


def number(value: Any) -> str:
    """Three significant digits, short: 3e-5 for 3e-05."""
    if isinstance(value, float):
        short = f"{value:.3g}" if value == 0 or abs(value) >= 0.01 else f"{value:.2e}"
        mantissa, e, exponent = short.partition("e")
        return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}" if e else short
    return "null" if value is None else str(value)


def spoken(values: Mapping[str, Any]) -> str:
    """`text.learning_rate=3e-5 side.learning_rate=1e-6`."""
    return " ".join(f"{name}={number(value)}" for name, value in values.items())


class ValueList(Frozen):
    """A finite set of values, in the order of the file; searched where other fields have the values of `when`."""

    values: tuple[Any, ...] = Field(min_length=1)
    when: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len({repr(v) for v in self.values}) < len(self.values):
            raise ValueError(f"values must differ, got {list(self.values)}")
        return self

    def contains(self, value: Any) -> bool:
        return value in self.values

    def listed(self) -> Sequence[Any]:
        return self.values


class Range(Frozen):
    """An interval of numbers; `log` searches it on a log scale, `integer` keeps whole numbers; `when` as above."""

    low: float
    high: float
    log: bool = False
    integer: bool = False
    when: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low must be below high={self.high}, got {self.low}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be above 0 on a log scale, got {self.low}")
        if self.integer and not (self.low.is_integer() and self.high.is_integer()):
            raise ValueError(f"low and high must be whole numbers, got {self.low} and {self.high}")
        return self

    def contains(self, value: Any) -> bool:
        fits = isinstance(value, int) or (isinstance(value, float) and not self.integer)
        return fits and self.low <= value <= self.high

    def listed(self) -> Sequence[Any] | None:
        """All its values; None where it has infinitely many."""
        return range(int(self.low), int(self.high) + 1) if self.integer else None


class SearchSpace(Frozen):
    """Named parameters; each is a dotted field of RunConfig, its values of that field's type and in its bounds."""

    name: str
    description: str = ""
    parameters: dict[str, ValueList | Range] = Field(min_length=1)

    @field_validator("parameters")
    @classmethod
    def _fit_their_fields(cls, parameters: dict[str, ValueList | Range]) -> dict[str, ValueList | Range]:
        try:
            fitting = all_of(partial(_fitting, field, parameter) for field, parameter in parameters.items())
        except ConfigError as error:
            raise ValueError(str(error)) from None
        return dict(zip(parameters, fitting, strict=True))

    @model_validator(mode="after")
    def _conditions_end(self) -> Self:
        try:
            self._order()
        except CycleError as error:
            raise ValueError(f"when: {' -> '.join(error.args[1])} depend on each other in a circle") from None
        return self

    def _order(self) -> tuple[str, ...]:
        """The fields, each after those that its condition asks for."""
        asked = {field: [name for name in p.when or {} if name in self.fields] for field, p in self.parameters.items()}
        return tuple(TopologicalSorter(asked).static_order())

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.parameters)

    def size(self, base: Mapping[str, Any] | None = None) -> int | None:
        """The number of distinct points; None where there are infinitely many, or more than LISTED to count."""
        sizes = [math.inf if (some := p.listed()) is None else len(some) for p in self.parameters.values()]
        return len(self.points(base)) if math.prod(sizes) <= LISTED else None

    def points(self, base: Mapping[str, Any] | None = None) -> list[Point]:
        """Every point of a finite space, once each, the last parameter varying fastest; `base` as in `active`."""
        choices = [parameter.listed() or () for parameter in self.parameters.values()]
        combined = (dict(zip(self.parameters, values, strict=True)) for values in itertools.product(*choices))
        points = (self.active(values, base) for values in combined)
        return list({repr(point): point for point in points}.values())

    def active(self, point: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Point:
        """`point` (or a flat configuration) less what is not searched, or whose `when` does not hold.

        A condition is about the run's configuration: `base` (the study's own, flat) with the active parameters in
        place. So a parameter that is itself left out counts with the study's value.
        """
        around, kept = dict(base or {}), set()
        for field in self._order():
            when = self.parameters[field].when or {}
            if field in point and all(around.get(other) == value for other, value in when.items()):
                around[field] = point[field]
                kept.add(field)
        return {field: point[field] for field in self.parameters if field in kept}

    def contains(self, point: Mapping[str, Any]) -> bool:
        """Whether every value of `point` is one that this space can propose."""
        return all(field in self.parameters and self.parameters[field].contains(v) for field, v in point.items())


def _fitting(field: str, parameter: ValueList | Range) -> ValueList | Range:
    """The parameter with its values, and those of its condition, as the fields take them; ConfigError where not."""
    if why := NOT_SEARCHED.get(plain(field)):
        raise ConfigError(f"{field}: {why}")
    check_field(field)
    annotation = known_fields()[plain(field)].annotation
    whole = int in (annotation, *get_args(annotation))
    if isinstance(parameter, Range) and parameter.integer and not whole:
        raise ConfigError(f"{field}: integer is for fields of whole numbers; list the values instead")
    own = parameter.values if isinstance(parameter, ValueList) else _ends(parameter, whole)
    asked = [*(parameter.when or {}).items(), *((field, value) for value in own)]
    checked = all_of(partial(_value, name, value) for name, value in asked)
    values = checked[len(asked) - len(own) :]
    when = dict(zip(parameter.when or {}, checked, strict=False)) or None
    if isinstance(parameter, ValueList):
        return validate(ValueList, {"values": values, "when": when}, where=field)  # 1 and 1.0 are one value
    return Range(low=parameter.low, high=parameter.high, log=parameter.log, integer=whole, when=when)


def _ends(parameter: Range, whole: bool) -> tuple[float, ...]:
    """Low and high, as whole numbers where the field takes those alone."""
    return tuple(int(end) if whole and end.is_integer() else end for end in (parameter.low, parameter.high))


def _value(field: str, value: Any) -> Any:
    """`value` as the field takes it: 1 becomes 1.0 where a number may have decimals."""
    check_field(field)
    if field == "side":
        return value
    info = known_fields()[plain(field)]
    kind: Any = Annotated[info.annotation, field, *info.metadata]
    return validate(RootModel[kind], value, where=field).root


def parse_space(raw: Mapping[str, Any], *, name: str, where: str) -> SearchSpace:
    """A space from YAML: lists become a ValueList, `{low:, high:}` a Range; each may have `when:`.

    One ConfigError lists every problem.
    """
    raw, specs = {"name": name, **raw}, raw.get("parameters")
    if not isinstance(specs, dict) or not specs:
        return validate(SearchSpace, raw, where=where)
    parsed: dict[str, ValueList | Range] = {}
    raw["parameters"] = parsed
    parse = [partial(_parse_parameter, parsed, str(field), spec, where) for field, spec in specs.items()]
    space: SearchSpace = all_of([*parse, lambda: validate(SearchSpace, raw, where=where) if parsed else None])[-1]
    return space


def _parse_parameter(parsed: dict[str, ValueList | Range], field: str, spec: Any, where: str) -> None:
    """Enters the parameter that `spec` describes into `parsed`."""
    spec = {"values": spec} if isinstance(spec, list) else spec
    if not isinstance(spec, dict):
        raise ConfigError(f"{where}: {field}: must be a list of values, or low and high, got {spec!r}")
    own = f"{where}: {field}"
    parameter = validate(ValueList, spec, where=own) if "values" in spec else validate(Range, spec, where=own)
    try:
        parsed[field] = _fitting(field, parameter)
    except ConfigError as error:
        raise ConfigError("\n".join(f"{where}: {problem}" for problem in str(error).splitlines())) from None


def load_space(path: Path) -> SearchSpace:
    """The space in a YAML file, named after the file."""
    return parse_space(read_yaml(path), name=path.stem, where=str(path))
