"""Archives from outside, unpacked into a folder and nowhere else: ZIP and TAR, by content, within limits.

Owns what an archive may hold: plain files and folders, none outside, none of them twice, not too many, too large or too
much more than the archive itself. Everything is looked at before anything is written.
"""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from benchbird.data.faults import os_reason, printable
from benchbird.errors import DataError

MOST_ENTRIES = 500_000
MOST_ENTRY_BYTES = 8 * 2**30
MOST_BYTES = 2**39
MOST_RATIO = 200
"""Times an archive's size; text and black pictures stay below."""
ROOMY_BYTES = 2**26
"""Up to so much, no ratio is too large."""

SPARE_BYTES = 2**30
"""Left free on the disk."""

_CHUNK_BYTES = 2**20
_JUNK = ("__MACOSX", ".DS_Store")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A plain file of an archive.

    Attributes:
        path: relative, without `..`.
        size_bytes: as the archive states it.
        open: gives its content.
    """

    path: PurePosixPath
    size_bytes: int
    open: Callable[[], IO[bytes]]


def is_archive(path: Path) -> bool:
    """Whether a file is a ZIP or TAR by content."""
    return zipfile.is_zipfile(path) or tarfile.is_tarfile(path)


def unpack(path: Path, folder: Path, progress: Callable[[int, int], None] = lambda done, total: None) -> int:
    """Unpack an archive into an existing folder.

    Args:
        path: of the archive.
        folder: gets its files.
        progress: gets bytes that were written, and all of them.

    Returns:
        Number of files.

    Raises:
        DataError: it is no archive, damaged, holds what it may not, or the disk has no room; names the entry.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _unpack(path, list(_zip_entries(path, archive)), folder, progress)
        with tarfile.open(path) as tar:
            return _unpack(path, list(_tar_entries(path, tar)), folder, progress)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{printable(path)}: could not be unpacked: {os_reason(error)}") from error
    except Exception as error:  # zipfile and tarfile answer damage with almost anything
        raise DataError(f"{printable(path)}: damaged, or of an unknown kind: {printable(str(error)[:200])}") from error


def _zip_entries(path: Path, archive: zipfile.ZipFile) -> Iterator[Entry]:
    for member in archive.infolist():
        if member.is_dir():
            continue
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise DataError(f"{printable(path)}: {printable(member.filename)}: a link or special file; not unpacked")
        if member.flag_bits & 1:
            raise DataError(f"{printable(path)}: {printable(member.filename)}: encrypted; not unpacked")
        yield Entry(
            path=_inside(path, member.filename),
            size_bytes=member.file_size,
            open=lambda member=member: archive.open(member),  # type: ignore[misc]
        )


def _tar_entries(path: Path, tar: tarfile.TarFile) -> Iterator[Entry]:
    for count, member in enumerate(tar):
        if count > MOST_ENTRIES:
            raise DataError(f"{printable(path)}: more than {MOST_ENTRIES} entries; not unpacked")
        if member.isdir():
            continue
        if not member.isreg():
            raise DataError(f"{printable(path)}: {printable(member.name)}: a link or special file; not unpacked")
        yield Entry(
            path=_inside(path, member.name),
            size_bytes=member.size,
            open=lambda member=member: _opened(tar, member),  # type: ignore[misc]
        )


def _opened(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    stream = tar.extractfile(member)
    assert stream is not None, "a plain file"
    return stream


def _inside(path: Path, name: str) -> PurePosixPath:
    """The entry's path, which must stay inside."""
    pure = PurePosixPath(name.replace("\\", "/"))
    is_drive = ":" in pure.parts[0] if pure.parts else True
    if pure.is_absolute() or is_drive or ".." in pure.parts or "\0" in name or len(name) > 1000:
        raise DataError(f"{printable(path)}: {printable(name[:200])}: leads out of the folder; nothing was unpacked")
    return pure


def _unpack(path: Path, entries: list[Entry], folder: Path, progress: Callable[[int, int], None]) -> int:
    entries = [entry for entry in entries if not set(_JUNK) & set(entry.path.parts)]
    total = _require_modest(path, entries)
    free = shutil.disk_usage(folder).free
    if total + SPARE_BYTES > free:
        raise DataError(f"{printable(path)}: unpacks to {total} bytes, there are {free} on the disk; make room")
    done = 0
    for entry in entries:
        target = folder.joinpath(*entry.path.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        written = 0
        with entry.open() as source, target.open("xb") as stream:
            while chunk := source.read(_CHUNK_BYTES):
                written += len(chunk)
                if written > entry.size_bytes:
                    raise DataError(
                        f"{printable(path)}: {printable(str(entry.path))}: larger than it says; not unpacked"
                    )
                stream.write(chunk)
        done += written
        progress(done, total)
    return len(entries)


def _require_modest(path: Path, entries: list[Entry]) -> int:
    """Bytes of all entries, after everything about them was found to be within the limits."""
    if len(entries) > MOST_ENTRIES:
        raise DataError(f"{printable(path)}: {len(entries)} entries, expected at most {MOST_ENTRIES}; not unpacked")
    seen: set[str] = set()
    for entry in entries:
        if entry.size_bytes > MOST_ENTRY_BYTES or entry.size_bytes < 0:
            raise DataError(
                f"{printable(path)}: {printable(str(entry.path))}: {entry.size_bytes} bytes, expected at most "
                f"{MOST_ENTRY_BYTES}; not unpacked"
            )
        key = str(entry.path).casefold()
        if key in seen:
            raise DataError(f"{printable(path)}: {printable(str(entry.path))}: there twice; not unpacked")
        seen.add(key)
    total = sum(entry.size_bytes for entry in entries)
    limit = min(MOST_BYTES, max(ROOMY_BYTES, MOST_RATIO * path.stat().st_size))
    if total > limit:
        raise DataError(f"{printable(path)}: unpacks to {total} bytes, expected at most {limit}; not unpacked")
    return total
