"""What a folder allows: writing, hard links, how much room it has, and what its file system's clock says.

Owns the probe file, which is gone before anything is answered. Which of it is too little is the reader's to say.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchbird.durable import TEMPORARY_SUFFIX


@dataclass(frozen=True)
class FolderProbe:
    """What was found of a folder.

    Attributes:
        folder: the one that was probed: the one asked for, or the nearest above it that is there.
        refusal: the system's words where it can't be written to, else empty.
        has_links: whether it knows hard links; None where it can't be written to.
        free_bytes: room for this user; None where the system doesn't tell.
        clock_ahead_s: seconds by which its files' times are ahead of this machine's; None as `has_links`.
    """

    folder: Path
    refusal: str
    has_links: bool | None
    free_bytes: int | None
    clock_ahead_s: float | None


def probe_folder(folder: Path) -> FolderProbe:
    """Write a file of no bytes into a folder, link it, and remove both.

    Args:
        folder: it needn't be there, and isn't made: then what is above it is probed.
    """
    there = Path(os.path.abspath(folder))
    while not os.path.exists(there) and there != there.parent:
        there = there.parent
    free_bytes = None
    with contextlib.suppress(OSError):
        free_bytes = shutil.disk_usage(there).free
    path = there / f".probe.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}"
    try:
        before = time.time()
        with path.open("xb"):
            after = time.time()
        try:
            written = path.stat().st_mtime
            has_links = _can_link(path)
        finally:
            path.unlink()
    except OSError as error:
        return FolderProbe(there, error.strerror or str(error), None, free_bytes, None)
    return FolderProbe(there, "", has_links, free_bytes, written - min(max(written, before), after))


def _can_link(path: Path) -> bool:
    link = path.with_name(f".probe.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        os.link(path, link)
    except OSError:
        return False
    link.unlink()
    return True


def time_there(folder: Path) -> float:
    """Now, in seconds, by the clock that gives the files of a folder their times; this machine's where it can't tell.

    Raises nothing: who can't write there can't remove anything there either.
    """
    try:
        with tempfile.TemporaryFile(dir=folder) as stream:
            stream.write(b"\0")
            stream.flush()
            return os.fstat(stream.fileno()).st_mtime
    except OSError:
        return time.time()
