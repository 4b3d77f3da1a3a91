"""What is recorded of a data set that this tool made, beside it: where from, how, and the checksum of every file.

    <place>.manifest.json   source, licence, recipe, fingerprint, downloads with their sha256, files left out
    <place>.sha256          a line for each file, as `sha256sum -c` reads them

Both lie beside a folder, not in it: what is in it counts for its fingerprint.
"""

import hashlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from nlcse_tune.config import SYNTHETIC, Frozen, RunConfig
from nlcse_tune.config.fields import sides_read
from nlcse_tune.data.catalog import fingerprint
from nlcse_tune.data.sts import multilingual_folder
from nlcse_tune.errors import DataError, plural
from nlcse_tune.files import write_text

THREADS = 4
Told = Callable[[str, int, int], None]


class Manifest(Frozen):
    """The record of one data set."""

    name: str
    source: tuple[str, ...]
    licence: str
    recipe: str
    fingerprint: str
    made: str
    files: int
    sums: str  # sha256 of the list of checksums
    downloads: dict[str, str] = {}  # address -> sha256: the first download is trusted, later ones must equal it
    skipped: tuple[str, ...] = ()  # files that could not be read, and were left out because that was asked for

    @classmethod
    def read(cls, place: Path) -> Self | None:
        """That of what lies, or lay, at `place`; None where there is none."""
        path = manifest_path(place)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            raise DataError(f"{path}: not a readable manifest ({error}); remove it to go on without it") from None

    @property
    def brief(self) -> str:
        """As a run's record names it."""
        left_out = f"; {plural(len(self.skipped), 'broken file')} left out" if self.skipped else ""
        return f"{self.name} {self.fingerprint}{f' ({self.recipe})' if self.recipe else ''}{left_out}"


def manifest_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.manifest.json")


def sums_path(place: Path) -> Path:
    return place.with_name(f"{place.name}.sha256")


def record(place: Path, lies: Path, **what: Any) -> Manifest:
    """Writes the manifest and checksums of a data set whose place is `place`; by now it `lies` there, or elsewhere."""
    sums = checksums(lies, files_at(lies))
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items()))
    digest = hashlib.sha256(text.encode()).hexdigest()
    manifest = Manifest(files=len(sums), sums=digest, fingerprint=fingerprint(str(lies)), **what)
    write_text(sums_path(place), text)
    write_text(manifest_path(place), manifest.model_dump_json(indent=1) + "\n")
    return manifest


def files_at(place: Path) -> list[Path]:
    """The files of a data set that has its place to itself."""
    return [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())


def checksums(place: Path, files: Iterable[Path]) -> dict[str, str]:
    """sha256 by name, as seen from the folder that holds `place`."""
    files = list(files)
    with ThreadPoolExecutor(THREADS) as pool:
        digests = pool.map(_sha256, files)
        return {file.relative_to(place.parent).as_posix(): d for file, d in zip(files, digests, strict=True)}


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def differences(place: Path, manifest: Manifest, *, alone: bool) -> list[str]:
    """What is no longer as it was made; `alone`: further files in its folder count too."""
    lines = [line.split("  ", 1) for line in _kept_sums(place, manifest).splitlines()]
    kept = {name: digest for digest, name in lines}
    there = {name for name in kept if (place.parent / name).is_file()}
    now = checksums(place, [place.parent / name for name in sorted(there)])
    found = [f"{name}: missing" for name in sorted(kept.keys() - there)]
    found += [f"{name}: changed" for name in sorted(there) if now[name] != kept[name]]
    if alone and place.is_dir():
        names = {path.relative_to(place.parent).as_posix() for path in files_at(place)}
        found += [f"{name}: not of the data set" for name in sorted(names - kept.keys())]
    return found


def _kept_sums(place: Path, manifest: Manifest) -> str:
    path = sums_path(place)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); make the data set anew") from None
    if hashlib.sha256(content).hexdigest() != manifest.sums:
        raise DataError(f"{path}: is not the list that {manifest_path(place).name} names; make the data set anew")
    return content.decode(errors="surrogateescape")


def described(config: RunConfig, data: dict[str, str]) -> dict[str, str]:
    """Which data sets a run's inputs are, as far as they have manifests, by the names that `data` has fingerprints of.

    An input that was changed since it was made is none any more.
    """
    places = {"text": config.text.data, "dev": config.eval.data}
    if config.eval.language:
        places["dev"] = str(multilingual_folder(config.eval.data))
    places |= {place: side.data for place, side in sides_read(config).items()}
    found = {}
    for name, value in places.items():
        manifest = None
        if value != SYNTHETIC:
            with suppress(DataError):  # a run does not end for want of a name
                manifest = Manifest.read(Path(value))
        # `data` has the fingerprint of the one file that dev scores come from.
        if manifest and manifest.fingerprint == (fingerprint(value) if name == "dev" else data[name]):
            found[name] = manifest.brief
    return found
