"""A public data set fetched into a data root: downloaded, verified, unpacked, its layout checked.

Owns the composition. Downloads are `fetching.py`'s, archives `unpacking.py`'s, layouts `layouts.py`'s.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from pathlib import Path

from benchbird.data.faults import printable
from benchbird.data.fetching import PublicRecord, download
from benchbird.data.layouts import Layout, find_layout
from benchbird.data.new_root import refuse_occupied
from benchbird.data.unpacking import SPARE_BYTES, is_archive, unpack
from benchbird.durable import TEMPORARY_SUFFIX, make_folder
from benchbird.errors import DataError

Progress = Callable[[str, int, int], None]
"""Gets what is under way, bytes done, and bytes in all."""

_DEEPEST = 3
"""Folders in which an archive may wrap its data root."""


def fetch(record: PublicRecord, root: Path, downloads: Path, progress: Progress) -> Layout:
    """Fetch every file of a record and make a data root of it, whole or not at all.

    Args:
        record: from `ask_record`.
        root: folder to create; it may exist if it is empty.
        downloads: folder for what is downloaded; a later call goes on with what is there, and it goes at the end.
        progress: told as bytes come.

    Returns:
        What was found in the data root, with everything that is wrong by name.

    Raises:
        DataError: a download failed or isn't what the record says, an archive holds what it may not, there is no room,
            or no data root came of it.
    """
    refuse_occupied(root)
    _require_room(make_folder(downloads), record)
    files = [download(file, downloads, progress) for file in record.files]
    place = root.resolve()  # `.` has no name, and a link to an empty folder is none that could be replaced
    partial = place.parent / f".{place.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    make_folder(partial)
    try:
        for file in files:
            if is_archive(file):
                unpack(file, partial, _unpacking(progress, file.name))
            else:
                shutil.copyfile(file, partial / file.name)
        found = _data_root(partial)
        if place.exists():
            place.rmdir()
        found.rename(place)
    except OSError as error:
        raise DataError(
            f"{printable(root)}: could not be written: {error.strerror or error}; nothing was left"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(downloads, ignore_errors=True)
    return find_layout(place)


def _unpacking(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(f"unpack {name}", done, total)


def _require_room(downloads: Path, record: PublicRecord) -> None:
    there = sum(path.stat().st_size for path in downloads.iterdir() if path.is_file())
    free = shutil.disk_usage(downloads).free
    if record.size_bytes - there + SPARE_BYTES > free:
        raise DataError(
            f"{printable(downloads)}: {record.size_bytes - there} bytes are still to be downloaded, there are {free} "
            "on the disk; make room, or choose another folder by --cache"
        )


def _data_root(folder: Path) -> Path:
    """The folder with Train, Valid and Test, which an archive may have wrapped in others."""
    level = [folder]
    for _ in range(_DEEPEST + 1):
        for candidate in level:
            if not find_layout(candidate).structure:
                return candidate
        level = sorted(inner for outer in level for inner in outer.iterdir() if inner.is_dir())
    raise DataError("no folder with Train, Valid and Test, each with Images and Masks, is in what was downloaded")
