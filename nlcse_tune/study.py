"""Studies: a method, its data, its baseline, its search space, its seeds; and how their names are found."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from nlcse_tune.config import AUTO, Frozen, RunConfig, StsTask
from nlcse_tune.config.fields import lacks, override, plain, searchable, validate, with_absolute_paths
from nlcse_tune.errors import ConfigError, all_of, nearest
from nlcse_tune.files import read_yaml
from nlcse_tune.names import MAX_SEED, TestName
from nlcse_tune.paths import shipped
from nlcse_tune.published import Published, published_of
from nlcse_tune.space import SearchSpace, load_space, parse_space

Kind = Literal["studies", "search_spaces"]
_PACKAGE = Path(__file__).parent
_OF_ONE_STUDY = ("name", "description", "published")  # what `extends:` does not bring
MAX_NAME = 100  # bytes: file systems take 255, and a study's name is a part of longer ones


def plain_name(name: str) -> str:
    """`name`, if it can be a folder's in any place; ValueError where not."""
    fits = name.isprintable() and len(name.encode()) <= MAX_NAME and name == name.strip() != ""
    if not fits or "/" in name or "\\" in name or name.startswith("."):
        raise ValueError(
            f"must be a plain file name of 1 to {MAX_NAME} bytes: no slash, no dot in front, no blank at an end, no "
            f"control character, got {name!r}"
        )
    return name


def distinct_seeds(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """`seeds`, if they are legal and differ; ValueError where not."""
    if wrong := [seed for seed in seeds if not 0 <= seed <= MAX_SEED]:
        raise ValueError(f"must be whole numbers from 0 to {MAX_SEED}, got {', '.join(map(str, wrong))}")
    if again := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise ValueError(f"must differ, got {', '.join(map(str, again))} more than once")
    return seeds


class Rounds(Frozen):
    """A stopping rule: seeds are added in rounds, from the first look to the last."""

    first: int = Field(5, ge=2, description="seeds per arm at the first look")
    maximum: int = Field(20, ge=2, description="seeds per arm at the last")


class Confirm(Frozen):
    """The test that a study's report is about, declared before its test sets are opened; all else is exploratory."""

    test: TestName | None = Field(
        None, description="null: paired where the arms differ in their side alone, else welch"
    )
    columns: tuple[StsTask | Literal["avg"], ...] = Field(
        ("avg",), min_length=1, description="test sets, or avg; several are one family under Holm's correction"
    )
    level: float = Field(0.05, gt=0, lt=0.5, description="of the test, and of each of the two of equivalence")
    margin: float = Field(0.5, gt=0, description="points below which a gap does not matter: equivalence is within it")
    seeds: int | None = Field(None, ge=2, description="seeds per arm; null: as many as `seeds` is first asked for")
    rule: Rounds | None = Field(None, description="adds seeds in rounds until decided, in place of a fixed number")

    @model_validator(mode="after")
    def _is_one_plan(self) -> Self:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"columns: must differ, got {', '.join(self.columns)}")
        if self.rule and self.seeds:
            raise ValueError(f"seeds: a stopping rule sets the number; leave out seeds or rule, got {self.seeds}")
        if self.rule and (self.columns != ("avg",) or self.test not in (None, "welch", "paired")):
            raise ValueError("rule: a stopping rule decides on the average, by welch or paired; leave out the other")
        return self


class Study(Frozen):
    """One YAML file in `studies/`."""

    name: Annotated[str, AfterValidator(plain_name)]
    description: str = ""
    baseline: str | None = Field(None, description="the study to compare with; null for a baseline itself")
    space: SearchSpace | None = Field(None, description="name of a file in search_spaces/, or the space itself")
    trials: int | None = Field(
        None, ge=1, description="points a search tries; null: the grid, of a large one two thirds, else 30"
    )
    search_seed: int = Field(42, ge=0, le=MAX_SEED, description="the seed of a search's runs; the paper's is 42")
    seeds: Annotated[tuple[int, ...], AfterValidator(distinct_seeds)] = Field(
        (1, 2, 3, 4, 5), min_length=1, description="seeds of a report"
    )
    confirm: Confirm = Confirm()
    config: RunConfig
    published: Published | None = None
    _written: RunConfig | None = PrivateAttr(None)

    @model_validator(mode="after")
    def _space_fits_config(self) -> Self:
        searched = self.space.parameters.get("train.precision") if self.space else None
        if searched and AUTO in (searched.listed() or ()):
            raise ValueError("space: train.precision: auto is no value of its own; list fp32, bf16 or fp16")
        if self.space and (why := _misfit(self.space, self.config)):
            raise ValueError(f"space: {why}")
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
        flat = searchable(self.config)
        return self.space.active(flat, flat) if self.space else {}

    def configure(self, values: Mapping[str, Any]) -> RunConfig:
        """The study's configuration with `values` (dotted fields) in place."""
        return override(self.config, values, where=f"{self.name}: a point of its search space")

    def with_overrides(self, values: Mapping[str, Any]) -> "Study":
        """A copy with dotted fields replaced and every path made absolute."""
        return self.copied(config=with_absolute_paths(override(self.config, values)))

    def with_precision(self, precision: str) -> "Study":
        """A copy with what `train.precision: auto` came to."""
        return self.copied(config=override(self.config, {"train.precision": precision}))

    @property
    def grid_size(self) -> int | None:
        """The number of points of its space; None where they are infinitely many, or it has none."""
        return self.space.size(searchable(self.config)) if self.space else None

    def baseline_study(self, values: Mapping[str, Any]) -> "Study | None":
        """The baseline under the same overrides, but for those of the side where it has none.

        A control is the method's alone. What `train.precision: auto` came to for the method holds for its baseline.
        """
        if self.baseline is None:
            return None
        baseline = find_study(self.baseline)
        shared = {
            field: value
            for field, value in values.items()
            if not lacks(baseline.config, field) and plain(field) != "side.control"
        }
        baseline = baseline.with_overrides(shared)
        is_auto = baseline.config.train.precision == AUTO
        return baseline.with_precision(self.config.train.precision) if is_auto else baseline


def _misfit(space: SearchSpace, config: RunConfig) -> str | None:
    """What a space says of sides that the configuration does not have so; None where it fits."""
    count, known = len(config.sides), searchable(config)
    has = f"side.0 to side.{count - 1}" if count > 1 else "one side" if count else "no side"
    for name in (*space.fields, *(name for parameter in space.parameters.values() for name in parameter.when or {})):
        if lacks(config, name):
            what = "cannot be searched" if name in space.fields else "is asked for"
            return f"{name} {what}: the study has {has}; choose another space"
        if name not in known and name.startswith("side."):
            own = f"which differ in it; write side.0{name[4:]} and its like" if count > 1 else f"write {plain(name)}"
            return f"{name}: the study has {has}, {own}"
        for field in space.fields:
            if field != name and plain(field) == plain(name) in (field, name):  # all sides, and one of them
                return f"{name} and {field} name one thing in two ways; write one of them"
    return None


def folders(kind: Kind) -> list[Path]:
    """Where names of studies or spaces are looked up: ./KIND, then what the package ships."""
    return [Path.cwd() / kind, shipped(kind, _PACKAGE.parent / kind)]


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
    raw = {"name": path.stem, **_read_extended(path, ())}
    if "published" not in raw and _is_shipped(path):
        raw["published"] = published_of(path.stem)
    space = raw.pop("space", None)
    whole, bare = partial(_space, space, path), partial(validate, Study, raw, where=str(path))
    space, study, _ = all_of([whole, bare, partial(_check_baseline, raw.get("baseline"), path)])
    return validate(Study, {**dict(study), "space": space}, where=str(path))


def _is_shipped(path: Path) -> bool:
    """Whether a study is the package's own, or a copy of it, which travels with a job."""
    own = folders("studies")[-1] / path.name
    return own.is_file() and own.read_bytes() == path.read_bytes()


def _space(written: Any, path: Path) -> Any:
    """The space of a study as its file has it: a name or the space itself."""
    if isinstance(written, str):
        return load_space(resolve("search_spaces", written))
    if isinstance(written, dict):
        return parse_space(written, name=f"{path.stem}-space", where=f"{path}: space")
    return written


def _check_baseline(baseline: Any, path: Path) -> None:
    """ConfigError where a baseline's name leads nowhere, or to the study itself."""
    if not isinstance(baseline, str):
        return
    try:
        found = resolve("studies", baseline)
    except ConfigError as error:
        raise ConfigError(f"{path}: baseline: {error}") from None
    if found.resolve() == path.resolve():
        raise ConfigError(f"{path}: baseline: a study is not its own, got {baseline!r}; write `baseline: null`")


def _read_extended(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"{path}: extends itself through {' -> '.join(p.stem for p in (*seen, path))}")
    raw = read_yaml(path)
    if (parent := raw.pop("extends", None)) is None:
        return raw
    inherited = _read_extended(_parent(path, parent), (*seen, path))
    return merge({key: value for key, value in inherited.items() if key not in _OF_ONE_STUDY}, raw)


def _parent(path: Path, name: Any) -> Path:
    """The file that a study extends."""
    beside = path.parent / f"{name}.yaml"
    return beside if beside.is_file() and beside != path else resolve("studies", str(name))


def rests_on(path: Path) -> list[tuple[Kind, Path]]:
    """The YAML files that a sound study is made of: its own, those that it extends, its baseline's, their spaces'."""
    found: dict[Path, Kind] = {}
    waiting = [path]
    while waiting:
        if (file := waiting.pop()) not in found:
            found[file] = "studies"
            raw = read_yaml(file)
            waiting += [_parent(file, raw["extends"])] if raw.get("extends") else []
            waiting += [resolve("studies", raw["baseline"])] if raw.get("baseline") else []
            if isinstance(space := raw.get("space"), str):
                found[resolve("search_spaces", space)] = "search_spaces"
    return [(kind, file) for file, kind in found.items()]


def merge(base: Mapping[str, Any], top: Mapping[str, Any]) -> dict[str, Any]:
    """`top` over `base`, key by key through nested mappings; a space is replaced whole.

    A mapping under `side:` over a list of sides is for each of them, as `--set side.x` is.
    """
    merged = dict(base)
    for key, value in top.items():
        if key == "side" and isinstance(value, dict) and isinstance(sides := merged.get(key), list):
            merged[key] = [merge(side, value) if isinstance(side, dict) else side for side in sides]
            continue
        deeper = isinstance(value, dict) and isinstance(merged.get(key), dict) and key != "space"
        merged[key] = merge(merged[key], value) if deeper else value
    return merged
