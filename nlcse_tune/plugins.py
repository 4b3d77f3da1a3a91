"""Losses and sides of one's own: an installed package announces them as entry points, and a study names them.

What there is, and of which version, is read from the packages' metadata. `Plugin.load` alone imports one, and only what
trains calls it.
"""

import hashlib
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import AfterValidator, ValidationInfo

from nlcse_tune.errors import ConfigError, RunError, first_line, nearest

Kind = Literal["side.loss", "side.modality"]
GROUPS: dict[Kind, str] = {"side.loss": "nlcse_tune.losses", "side.modality": "nlcse_tune.sides"}
_VALUE = re.compile(r"\w+(\.\w+)*\s*:\s*\w+(\.\w+)*\s*(\[.*\]\s*)?")  # of an entry point
RECORDED = {"recorded": True}  # context in which a file of this tool is read: what it names may be gone by now
_ours: dict[Kind, tuple[str, ...]] = {}  # names that this tool itself gives a meaning to: `or_installed` notes them


@dataclass(frozen=True)
class Plugin:
    """What a package announces under a name."""

    kind: Kind
    point: metadata.EntryPoint

    @property
    def package(self) -> str:
        """Name and version of the package."""
        return f"{self.point.dist.name} {self.point.dist.version}" if self.point.dist else self.point.module

    def __str__(self) -> str:
        return f"{self.kind} {self.point.name} ({self.package})"

    @cached_property
    def source(self) -> list[Path]:
        """The Python files of its top-level module, which is not imported."""
        spec = None
        with suppress(ImportError, ValueError):  # a module without a specification, as `__main__`
            spec = find_spec(self.point.module.partition(".")[0])
        if spec is None:
            return []
        if spec.submodule_search_locations is None:
            return [Path(spec.origin)] if spec.origin else []
        return sorted(file for folder in spec.submodule_search_locations for file in Path(folder).rglob("*.py"))

    @cached_property
    def fingerprint(self) -> str:
        """The package, and a digest of its source: one that is being worked on changes without a new version."""
        digest = hashlib.blake2b(digest_size=8)
        for file in self.source:
            digest.update(f"{file.name} {file.stat().st_size}\n".encode() + file.read_bytes())
        return f"{self.package} {digest.hexdigest()}"

    def load(self) -> Any:
        """What the entry point leads to; its package is imported. RunError where that fails."""
        with self.blamed():
            return self.point.load()

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """Around the plug-in's own code: whatever it raises becomes one RunError that names it."""
        try:
            yield
        except (Exception, SystemExit) as error:  # some modules end the process where something is missing
            frames, own = traceback.extract_tb(error.__traceback__), {str(file) for file in self.source}
            place = next((frame for frame in reversed(frames) if frame.filename in own), frames[-1])
            what = f"{type(error).__name__}: {first_line(error)}"
            raise RunError(f"{self}: {what} ({Path(place.filename).name}:{place.lineno})") from error

    def wrong(self, rule: str, got: object) -> RunError:
        """What to raise where the plug-in gives something else than it must."""
        return RunError(f"{self}: {rule}, got {got}; docs/own-method.md says what it must be")


@cache
def installed(kind: Kind) -> tuple[Plugin, ...]:
    """All that the packages at hand announce."""
    return tuple(Plugin(kind, point) for point in metadata.entry_points(group=GROUPS[kind]))


def find(kind: Kind, name: str) -> Plugin:
    """What is announced under a name. ConfigError where nothing or several are, with all that there is."""
    found = [plugin for plugin in installed(kind) if plugin.point.name == name]
    if len(found) == 1:
        if not _VALUE.fullmatch(value := found[0].point.value):
            rule = f"{found[0].package} must announce {name!r} as MODULE:NAME"
            raise ConfigError(f"{kind}: {rule}, got {value!r}; see docs/own-method.md, and install it anew")
        return found[0]
    if found:
        packages = ", ".join(plugin.package for plugin in found)
        raise ConfigError(f"{kind}: must be of one package, got {name!r} from {packages}; uninstall the others")
    own = _ours[kind]
    rule = f"{', '.join(map(repr, own[:-1]))} or {own[-1]!r}"
    known = ", ".join(f"{plugin.point.name!r} of {plugin.package}" for plugin in installed(kind)) or "none is installed"
    near = nearest(name, [*own, *(plugin.point.name for plugin in installed(kind))])
    what = f"must be {rule}, or one of an installed package ({known}; `pip install` brings it, see docs/own-method.md)"
    raise ConfigError(f"{kind}: {what}, got {name!r}{near}")


def or_installed(kind: Kind, own: tuple[str, ...]) -> AfterValidator:
    """Of a field: lets through this tool's `own` names and those that installed packages announce; of a file all."""
    _ours[kind] = own

    def check(name: str, info: ValidationInfo) -> str:
        if name not in own and info.context != RECORDED:
            try:
                find(kind, name)
            except ConfigError as error:
                raise ValueError(str(error).removeprefix(f"{kind}: ")) from None
        return name

    return AfterValidator(check)


class OwnSide(NamedTuple):
    """A side that a package announces: what makes its items of `side.data`, and the shape of what it gives."""

    plugin: Plugin
    make: Callable[[str], Any]
    shape: tuple[int, int, int]  # (C, H, W) of a view
    patch: int  # pixels: height and width of a patch


def own_side(modality: str) -> OwnSide:
    """The side of an installed package; it is imported. RunError where it does not say its shape."""
    plugin = find("side.modality", modality)
    made = plugin.load()
    shape: Any = getattr(made, "shape", ())
    patch: Any = getattr(made, "patch", None)
    sizes = [*shape, patch] if isinstance(shape, tuple) else []
    if len(sizes) != 4 or not all(isinstance(size, int) and size > 0 for size in sizes) or patch > min(shape[1:]):
        rule = "must have `shape`, (channels, height, width), and `patch`, no larger than a view; whole numbers"
        raise plugin.wrong(rule, f"{shape} and {patch}")
    return OwnSide(plugin, made, shape, patch)


def with_packages(data: Mapping[str, str], sides: Sequence[Any]) -> dict[str, str]:
    """Fingerprints of a run's inputs with those of the packages that its sides' fields name, and of no others.

    Two of one kind are one text, in the order of the sides.
    """
    found: dict[str, str] = {}
    for kind in GROUPS:
        names = dict.fromkeys(getattr(side, kind.removeprefix("side.")) for side in sides)
        if prints := [find(kind, name).fingerprint for name in names if name not in _ours[kind]]:
            found[kind] = ", ".join(prints)
    return {**{key: value for key, value in data.items() if key not in GROUPS}, **found}
