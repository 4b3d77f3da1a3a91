"""Search spaces: dotted RunConfig fields -> choices or ranges. Knows no search library."""

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field, model_validator

from nlcse_tune.config import Frozen, check_field, validate
from nlcse_tune.errors import ConfigError
from nlcse_tune.files import read_yaml

Point = dict[str, Any]


class Choice(Frozen):
    """A finite set of values, in the order of the file."""

    values: tuple[Any, ...] = Field(min_length=1)
    when: dict[str, Any] | None = Field(None, description="other fields' values under which this one is searched")

    @model_validator(mode="after")
    def _no_repeats(self) -> Self:
        if len({repr(v) for v in self.values}) < len(self.values):
            raise ValueError(f"values must differ, got {list(self.values)}")
        return self

    def contains(self, value: Any) -> bool:
        return value in self.values


class Range(Frozen):
    """An interval of numbers; `log` searches it on a log scale, `integer` keeps whole numbers."""

    low: float
    high: float
    log: bool = False
    integer: bool = False
    when: dict[str, Any] | None = Field(None, description="other fields' values under which this one is searched")

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
        return isinstance(value, int | float) and self.low <= value <= self.high


class SearchSpace(Frozen):
    """Named parameters; each is a dotted field of RunConfig."""

    name: str
    description: str = ""
    parameters: dict[str, Choice | Range] = Field(min_length=1)

    @model_validator(mode="after")
    def _fields_exist(self) -> Self:
        for field, parameter in self.parameters.items():
            for name in (field, *(parameter.when or {})):
                try:
                    check_field(name)
                except ConfigError as error:
                    raise ValueError(str(error)) from None
        return self

    @property
    def fields(self) -> tuple[str, ...]:
        return tuple(self.parameters)

    @property
    def grid_size(self) -> int | None:
        """The number of distinct points; None where a range makes it infinite."""
        if any(isinstance(parameter, Range) for parameter in self.parameters.values()):
            return None
        if not any(parameter.when for parameter in self.parameters.values()):
            return math.prod(len(p.values) for p in self.parameters.values() if isinstance(p, Choice))
        return sum(1 for _ in self.points())

    def points(self) -> Iterator[Point]:
        """Every point of a finite space, once each, the last parameter varying fastest."""
        choices = [p.values if isinstance(p, Choice) else () for p in self.parameters.values()]
        seen = set()
        for values in itertools.product(*choices):
            point = self.active(dict(zip(self.parameters, values, strict=True)))
            if repr(point) not in seen:
                seen.add(repr(point))
                yield point

    def active(self, point: Mapping[str, Any], base: Mapping[str, Any] | None = None) -> Point:
        """`point` without the parameters whose `when` does not hold in it (or in `base`, the study's own values)."""
        around = {**(base or {}), **point}

        def holds(field: str) -> bool:
            return all(around.get(other) == value for other, value in (self.parameters[field].when or {}).items())

        return {field: value for field, value in point.items() if holds(field)}

    def contains(self, point: Mapping[str, Any]) -> bool:
        """Whether every value of `point` is one that this space can propose."""
        return all(field in self.parameters and self.parameters[field].contains(v) for field, v in point.items())


def parse_space(raw: Mapping[str, Any], *, name: str, where: str) -> SearchSpace:
    """A space from YAML: a list is a Choice, `{low:, high:}` a Range, `{values:, when:}` a Choice under a condition."""
    raw = dict(raw)
    parameters = raw.get("parameters")
    if isinstance(parameters, dict):
        raw["parameters"] = {field: _parse_parameter(spec, f"{where}: {field}") for field, spec in parameters.items()}
    return validate(SearchSpace, {"name": name, **raw}, where=where)


def _parse_parameter(spec: Any, where: str) -> Choice | Range:
    if isinstance(spec, list):
        return validate(Choice, {"values": spec}, where=where)
    if isinstance(spec, dict):
        return validate(Choice, spec, where=where) if "values" in spec else validate(Range, spec, where=where)
    raise ConfigError(f"{where}: must be a list of values, or low and high, got {spec!r}")


def load_space(path: Path) -> SearchSpace:
    """The space in a YAML file, named after the file."""
    return parse_space(read_yaml(path), name=path.stem, where=str(path))
