"""Archives of strangers: looked through to their end before anything is written, and refused for a single odd path."""

import lzma
import shutil
import tarfile
import zlib
from pathlib import Path, PurePosixPath

from nlcse_tune.data import bounds
from nlcse_tune.errors import DataError

NAME = 255  # bytes; file systems take no longer one
FETCH_AGAIN = "remove it and fetch it from another mirror"


def unpack(archive: Path, into: Path, most: int = bounds.UNPACKED_BYTES) -> None:
    """Unpacks a tar archive, compressed or not, below the folder `into`; DataError where `check_archive` refuses it."""
    check_archive(archive, most)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                target = into.joinpath(*_parts(member))
                if member.isdir():
                    target.mkdir(parents=True, exist_ok=True)
                elif (stream := tar.extractfile(member)) is not None:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with stream, target.open("wb") as copy:
                        shutil.copyfileobj(stream, copy)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{archive}: not a tar archive that can be unpacked: {error}") from None


def check_archive(archive: Path, most: int = bounds.UNPACKED_BYTES) -> None:
    """DataError for what is no whole archive, leads out of its folder, links, or unpacks to more than `most` bytes."""
    most = min(most, bounds.UNPACKED_RATIO * archive.stat().st_size)
    unpacked, files, folders = 0, set[PurePosixPath](), {PurePosixPath()}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                _check_member(archive, member)
                path = PurePosixPath(member.name)
                folders.update(path.parents, [path] if member.isdir() else [])
                files.update([] if member.isdir() else [path])
                unpacked += tarfile.BLOCKSIZE + member.size
                if unpacked > most:
                    raise DataError(
                        f"{archive}: unpacks to more than {most:,} bytes, and at most {bounds.UNPACKED_RATIO} times "
                        f"its size are unpacked; {FETCH_AGAIN}"
                    )
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DataError(f"{archive}: not a tar archive that can be read: {error}; {FETCH_AGAIN}") from None
    if clash := min(files & folders, default=None):
        raise DataError(f"{archive}: holds {str(clash)!r} as a file and as a folder; {FETCH_AGAIN}")


def _check_member(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or "\0" in member.name:
        raise DataError(f"{archive}: holds the path {member.name!r}, which leads out of its folder; {FETCH_AGAIN}")
    if any(len(part.encode(errors="surrogateescape")) > NAME for part in path.parts):
        raise DataError(f"{archive}: holds {member.name[:80]!r}..., a name of more than {NAME} bytes; {FETCH_AGAIN}")
    if not (member.isfile() or member.isdir()):
        kind = "a link" if member.issym() or member.islnk() else "neither file nor folder"
        raise DataError(f"{archive}: holds {member.name!r}, which is {kind}; {FETCH_AGAIN}")


def _parts(member: tarfile.TarInfo) -> tuple[str, ...]:
    return PurePosixPath(member.name).parts
