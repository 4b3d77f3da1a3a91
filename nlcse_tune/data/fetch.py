"""A data set in its place: there already, downloaded, or made of what one has; and what is recorded of it.

Licence and source are told before a byte is asked for. Downloads lie in `.downloads` of the data folder until the data
set is made of them: what was cut there is gone on with, what was whole is not asked for again.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from nlcse_tune.data.contents import Contents, contents_of
from nlcse_tune.data.download import MB, Progress, Remote, check_room, download, silent
from nlcse_tune.data.hub import cached_file, offline, remote_files
from nlcse_tune.data.manifest import Manifest, differences, record
from nlcse_tune.data.placing import check_free, recover, unfinished
from nlcse_tune.data.prepare import Recipe, check_given, make
from nlcse_tune.data.registry import DataSet, named
from nlcse_tune.errors import ConfigError, DataError, RunError, plural
from nlcse_tune.files import in_turn, locked, writing
from nlcse_tune.paths import data_folder, data_path

Say = Callable[[str], None]
MADE_HERE = "made on the spot, wherever a study says `synthetic`: nothing to fetch, prepare or verify"


class Verified(NamedTuple):
    """What was compared, in words, and what was not as it was made."""

    said: str
    problems: list[str]


def place_of(dataset: DataSet) -> Path:
    """Where a data set lies, or will: where studies find it from here, else in the data folder."""
    found = data_path(f"data/{dataset.place}")
    return found.absolute() if found.exists() else data_folder() / dataset.place


def fetch(
    name: str, to: Path | None = None, say: Say = lambda text: None, told: Progress = silent
) -> tuple[Path, Contents]:
    """Puts a data set at `to`, or in its place, unless it is there and sound; says where it is and what it holds.

    ConfigError for one that only people can get; RunError where it cannot be had, because this machine is offline or
    the server refuses; DataError where what came, or what lies there, is wrong; StorageError on a full disk.
    """
    dataset = named(name)
    if dataset.kind == "embedded":
        return Path(), Contents([MADE_HERE], [])
    target = _target(dataset, to)
    if (there := _sound(dataset, target)) is not None:
        _clear(dataset)
        return target, there
    if dataset.source is None:
        raise ConfigError(f"{name}: {dataset.by_hand}")
    with _alone(dataset):
        recover(target)
        if _sound(dataset, target) is None:  # another process may have brought it meanwhile
            _fetch(dataset, target, say, told)
    return target, contents_of(dataset, target) or Contents([], [])


def prepare(
    name: str,
    given: Path,
    recipe: Recipe = Recipe(),  # noqa: B008
    to: Path | None = None,
    told: Progress = silent,
) -> tuple[Path, Contents]:
    """Makes a data set of a file or folder of one's own; the rest as `fetch`.

    DataError where another one, or one that was made otherwise, lies in its place.
    """
    dataset = named(name)
    if dataset.kind == "embedded":
        return Path(), Contents([MADE_HERE], [])
    check_given(dataset, given)
    target = _target(dataset, to)
    with _alone(dataset):
        recover(target)
        if (there := _sound(dataset, target)) is not None:
            manifest = Manifest.read(target)
            made = manifest.recipe if manifest else "by another hand"
            drawn = dataset.kind in ("image", "audio") or recipe.words(dataset)
            if drawn and made != recipe.words(dataset):
                raise DataError(f"{target}: is there, made otherwise ({made}); move it away, or choose another --to")
            return target, there
        _make(dataset, given, target, recipe, {}, told)
    return target, contents_of(dataset, target) or Contents([], [])


def verify(name: str) -> Verified:
    """Compares a data set with what was recorded as it was made, byte by byte; without that, counts it."""
    dataset = named(name)
    if dataset.kind == "embedded":
        return Verified(MADE_HERE, [])
    place = place_of(dataset)
    manifest = Manifest.read(place)
    if manifest is None or not place.exists():
        if (contents := contents_of(dataset, place)) is None:
            return Verified("", [f"not there ({place}): run `{dataset.command}`"])
        return Verified(f"{place}: nothing is recorded of it: {'; '.join(contents.counts)}", contents.warnings)
    problems = differences(place, manifest, alone=dataset.kind in ("image", "audio"))
    said = f"{place}: {plural(manifest.files, 'file')} compared with what was recorded {manifest.made}"
    return Verified(said, problems)


def _target(dataset: DataSet, to: Path | None) -> Path:
    """Where to put it; StorageError where nothing can be, of a name that is too long."""
    target = to or place_of(dataset)
    with writing(target, "--to"):
        target.exists()
    return target


def about(dataset: DataSet) -> list[str]:
    """What to know of a data set before it is downloaded."""
    lines = [f"{dataset.name}: {dataset.what}", f"  source: {dataset.page}", f"  licence: {dataset.licence}"]
    return [*lines, f"  download: {dataset.size}"]


def _sound(dataset: DataSet, target: Path) -> Contents | None:
    """What there is; None where nothing is, or less than must be."""
    if unfinished(target):
        return None
    contents = contents_of(dataset, target)
    lacks = contents is not None and contents.warnings and dataset.joined
    return None if lacks else contents


def _downloads(dataset: DataSet) -> Path:
    return data_folder() / ".downloads" / dataset.name


def _lock(dataset: DataSet) -> Path:
    return data_folder() / ".downloads" / f"{dataset.name}.lock"


def _alone(dataset: DataSet) -> AbstractContextManager[None]:
    """Makes a second process that wants the same data set wait for the first."""
    return in_turn(_lock(dataset))


def _clear(dataset: DataSet) -> None:
    """Deletes the downloads of a call that was killed when all was made of them."""
    folder = _downloads(dataset)
    if folder.is_dir() and not any(folder.glob("*.part")):
        with suppress(RunError), locked(_lock(dataset), dataset.name):  # another process may need them at the moment
            shutil.rmtree(folder, ignore_errors=True)


def _fetch(dataset: DataSet, target: Path, say: Say, told: Progress) -> None:
    check_free(dataset, target)
    for line in about(dataset):
        say(line)
    if (cached := cached_file(dataset)) is not None:
        say(f"  from the hub's cache: {cached}")
        return _make(dataset, cached, target, Recipe(), {}, told)
    if offline():
        raise DataError(
            f"{dataset.name}: is not at {target}, and HF_HUB_OFFLINE says that this machine is offline: unset it, or "
            "fetch the data set on another machine and copy it there (with its .manifest.json and .sha256, for "
            "`nlcse-tune data verify`)"
        )
    folder = _downloads(dataset)
    _make(dataset, folder, target, Recipe(), _download_all(dataset, folder, target, say, told), told)
    shutil.rmtree(folder, ignore_errors=True)
    return None


def _download_all(dataset: DataSet, folder: Path, target: Path, say: Say, told: Progress) -> dict[str, str]:
    """The files of a data set in `folder`; their sha256 by address."""
    manifest = Manifest.read(target)
    known = manifest.downloads if manifest else {}
    remotes = [replace(one, sha256=one.sha256 or known.get(one.url)) for one in remote_files(dataset)]
    digests = {one.url: digest for one in remotes if (digest := _kept(one, folder / one.name)) is not None}
    missing = [one for one in remotes if one.url not in digests]
    check_room(folder, size := sum(one.size or 0 for one in missing))
    if missing and all(one.size for one in missing):
        say(f"  to come: {size / MB:,.1f} MB in {plural(len(missing), 'file')}")
    unknown = sum(one.sha256 is None for one in remotes)
    if unknown:
        say(f"  checksum: none is known of {plural(unknown, 'file')}: this download is trusted, and remembered")
    for one in missing:
        digests[one.url] = download(one, folder / one.name, told)
    return {one.url: digests[one.url] for one in remotes}


def _kept(remote: Remote, path: Path) -> str | None:
    """The sha256 of a file that an earlier call brought, whole; None where it did not."""
    if not path.is_file() or remote.size not in (None, path.stat().st_size):
        return None
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest if remote.sha256 in (None, digest) else None


def _make(
    dataset: DataSet, given: Path, target: Path, recipe: Recipe, downloads: Mapping[str, str], told: Progress
) -> None:
    def recorded(lies: Path, skipped: Sequence[str]) -> None:
        record(
            target,
            lies,
            name=dataset.name,
            source=tuple(downloads) or (str(given.absolute()),),
            licence=dataset.licence,
            recipe=recipe.words(dataset),
            made=datetime.now(UTC).isoformat(timespec="seconds"),
            downloads=dict(downloads),
            skipped=tuple(skipped),
        )

    make(dataset, given, target, recipe, recorded, told)
