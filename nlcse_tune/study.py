"""Studies: a method, its data, its baseline, its search space, its seeds; and how their names are found."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr, model_validator

from nlcse_tune.config import Frozen, RunConfig, StsTask, flatten, override, validate, with_absolute_paths
from nlcse_tune.errors import ConfigError, nearest
from nlcse_tune.files import read_yaml
from nlcse_tune.space import SearchSpace, load_space, parse_space

Kind = Literal["studies", "search_spaces"]
_PACKAGE = Path(__file__).parent
_OF_ONE_STUDY = ("name", "description", "published", "baseline")  # what `extends:` does not bring


class SeedScores(Frozen):
    """A published mean ± sample std of the average score over n seeds."""

    mean: float
    std: float = Field(ge=0)
    n: int = Field(ge=2)


class Published(Frozen):
    """What a paper reports for a study, to stand beside one's own numbers."""

    source: str
    scores: dict[StsTask | Literal["avg"], float] = {}
    seeds: SeedScores | None = None


class Study(Frozen):
    """One YAML file in `studies/`."""

    name: str
    description: str = ""
    baseline: str | None = Field(None, description="the study to compare with; null for a baseline itself")
    space: SearchSpace | None = Field(None, description="name of a file in search_spaces/, or the space itself")
    trials: int | None = Field(
        None, ge=1, description="points a search tries; null: the grid, of a large one two thirds, else 30"
    )
    search_seed: int = Field(42, ge=0, description="the seed of a search's runs; the paper's is 42")
    seeds: tuple[int, ...] = Field((1, 2, 3, 4, 5), min_length=1, description="seeds of a report")
    config: RunConfig
    published: Published | None = None
    _written: RunConfig | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _space_fits_config(self) -> Self:
        fields = self.space.fields if self.space and self.config.side is None else ()
        if stray := [field for field in fields if field.startswith("side.")]:
            raise ValueError(f"space: {stray[0]} cannot be searched: the study has no side; choose another space")
        return self

    def copied(self, **update: Any) -> "Study":
        """A copy with some fields replaced, checked anew."""
        copy = validate(Study, {**dict(self), **update}, where=self.name)
        copy._written = self.written
        return copy

    @property
    def written(self) -> RunConfig:
        """The configuration as the YAML has it, whatever was overridden since."""
        return self._written or self.config

    @property
    def own_point(self) -> dict[str, Any]:
        """The study's own values of its space's fields: the first point a search tries."""
        flat = flatten(self.config)
        return self.space.active(flat, flat) if self.space else {}

    def configure(self, values: Mapping[str, Any]) -> RunConfig:
        """The study's configuration with `values` (dotted fields) in place."""
        return override(self.config, values, where=f"{self.name}: a point of its search space")

    def with_overrides(self, values: Mapping[str, Any]) -> "Study":
        """A copy with dotted fields replaced and every path made absolute."""
        return self.copied(config=with_absolute_paths(override(self.config, values)))

    @property
    def grid_size(self) -> int | None:
        """The number of points of its space; None where they are infinitely many, or it has none."""
        return self.space.size(flatten(self.config)) if self.space else None

    def baseline_study(self, values: Mapping[str, Any]) -> "Study | None":
        """The baseline under the same overrides, but for those of the side where it has none."""
        if self.baseline is None:
            return None
        baseline = find_study(self.baseline)
        shared = {
            field: value for field, value in values.items() if baseline.config.side or field.split(".")[0] != "side"
        }
        return baseline.with_overrides(shared)


def folders(kind: Kind) -> list[Path]:
    """Where names of studies or spaces are looked up: ./KIND, then what the package ships."""
    shipped = _PACKAGE / "_shipped" / kind  # in an installed wheel
    beside = _PACKAGE.parent / kind  # in a checkout
    return [Path.cwd() / kind, shipped if shipped.is_dir() else beside]


def names(kind: Kind) -> list[str]:
    """Every known name, sorted."""
    return sorted({path.stem for folder in folders(kind) for path in folder.glob("*.yaml")})


def resolve(kind: Kind, name: str) -> Path:
    """The file of a study or space: a name in ./KIND, then a packaged one, then a path."""
    for folder in folders(kind):
        if (path := folder / f"{name}.yaml").is_file():
            return path
    if (path := Path(name)).is_file():
        return path
    singular = {"studies": "study", "search_spaces": "search space"}[kind]
    known = ", ".join(names(kind)) or "none"
    raise ConfigError(f"{name}: no such {singular}{nearest(name, names(kind))}; known: {known} (or give a path)")


def find_study(name: str) -> Study:
    """The study that `name` resolves to, with what it `extends:` underneath; one error lists every problem."""
    path = resolve("studies", name)
    raw = _read_extended(path, ())
    raw.setdefault("name", path.stem)
    if isinstance(space := raw.get("space"), str):
        raw["space"] = load_space(resolve("search_spaces", space))
    elif isinstance(space, dict):
        raw["space"] = parse_space(space, name=f"{path.stem}-space", where=f"{path}: space")
    return validate(Study, raw, where=str(path))


def _read_extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"{path}: extends itself through {' -> '.join(p.stem for p in (*seen, path))}")
    raw = read_yaml(path)
    if (parent := raw.pop("extends", None)) is None:
        return raw
    beside = path.parent / f"{parent}.yaml"
    parent_path = beside if beside.is_file() and beside != path else resolve("studies", str(parent))
    inherited = _read_extended(parent_path, (*seen, path))
    return merge({key: value for key, value in inherited.items() if key not in _OF_ONE_STUDY}, raw)


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, key by key through nested mappings; a space is replaced whole."""
    merged = dict(base)
    for key, value in top.items():
        deeper = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "space"
        merged[key] = merge(merged[key], value) if deeper else value
    return merged
