"""Files that are whole or not there: temporary name in the same folder, flush, fsync, replace, fsync.

Owns how bytes reach the disk. What the bytes mean is for the modules above.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from pathlib import Path

from benchbird.errors import DiskRefused

TEMPORARY_SUFFIX = ".partial"


def write_durably(path: Path, content: bytes) -> None:
    """Replace `path` by a file that holds `content`, or leave what was there.

    Raises:
        DiskRefused: full, read-only, no permission; names path and bytes.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    before = "what was there before is unchanged"
    try:
        try:
            with temporary.open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            # A disk that refused to write may refuse this too; the first refusal is the one to tell.
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        before = "the new content is in place, but a power cut could still undo it"
        sync_folder(path.parent)
    except OSError as error:
        raise DiskRefused(
            f"{path}: could not write {len(content)} bytes: {error.strerror or error}; "
            f"{before}. Make room or choose another folder, then run again"
        ) from error


def write_json_durably(path: Path, value: object) -> None:
    """`write_durably` for a JSON document, as `json_bytes` spells it."""
    write_durably(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """A JSON document in UTF-8: two spaces of indent, keys as given, no NaN, a newline at the end."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A half surrogate (a file name that isn't UTF-8) has no bytes; its backslash form is JSON's own escape.
    return (text + "\n").encode(errors="backslashreplace")


def sync_folder(folder: Path) -> None:
    """Make renames within `folder` survive a power cut, where the system can (not on Windows)."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems can't sync a folder; then there is nothing that could be done.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> Path:
    """Create `folder` with its parents.

    Raises:
        DiskRefused: it can't be created or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DiskRefused(
            f"{folder}: could not create the folder: {error.strerror or error}; choose a folder that you may write to"
        ) from error
    return folder


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hex digits, read in constant memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
