"""Which content a sample has, as a hash, without reading the same file twice.

Owns the memo of file hashes in the cache folder. It decodes nothing.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from benchbird.contract import AnySample, GeneratedSample, Sample, Splits
from benchbird.data.workers import available_cores
from benchbird.durable import file_sha256, write_json_durably
from benchbird.errors import ResultsError

UNREADABLE = "unreadable"
"""Stands for the hash of a file that can't be read; preparing it will say why."""

_MEMO_NAME = "file-hashes.json"
_SETTLED_S = 2.0
"""A file changed within this time may change again without a new time stamp: it is not remembered."""

_Stamp = tuple[int, int, int]  # size in bytes, mtime in ns, inode

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class SampleIdentity:
    """What identifies a sample.

    Attributes:
        sample_id: unique within its split.
        recording_id: what must not straddle splits.
        content_sha256: of image and mask file, or of a generated sample's `content`.
    """

    sample_id: str
    recording_id: str
    content_sha256: str


def identify_splits(
    splits: Splits, cache_folder: Path, *, progress: bool = True
) -> dict[str, tuple[SampleIdentity, ...]]:
    """The identities of all samples by split, in the order given; files are hashed once and remembered."""
    files = [
        path
        for samples in splits.values()
        for sample in samples
        if isinstance(sample, Sample)
        for path in (sample.image, sample.mask)
    ]
    hashes = hash_files(files, cache_folder, progress=progress)
    return {
        name: tuple(
            SampleIdentity(sample.sample_id, sample.recording_id, _content(sample, hashes)) for sample in samples
        )
        for name, samples in splits.items()
    }


def _content(sample: AnySample, hashes: dict[Path, str]) -> str:
    if isinstance(sample, GeneratedSample):
        return hashlib.sha256(f"generated:{sample.content}".encode()).hexdigest()
    image, mask = hashes[sample.image], hashes[sample.mask]
    if UNREADABLE in (image, mask):
        return UNREADABLE
    return hashlib.sha256(f"files:{image}:{mask}".encode()).hexdigest()


def hash_files(paths: Iterable[Path], cache_folder: Path | None, *, progress: bool = True) -> dict[Path, str]:
    """SHA-256 of each file, `UNREADABLE` where it can't be read.

    Args:
        paths: regular files.
        cache_folder: where hashes are remembered by path, size, time and inode; None to read every file.
        progress: show a bar on stderr where that is a terminal.
    """
    memo = _read_memo(cache_folder) if cache_folder is not None else {}
    hashes: dict[Path, str] = {}
    stamps: dict[Path, _Stamp] = {}
    for path in paths:
        stamp = _stamp(path)
        remembered = memo.get(os.path.abspath(path))
        if stamp is None:
            hashes[path] = UNREADABLE
        elif remembered is not None and remembered[0] == stamp:
            hashes[path] = remembered[1]
        else:
            stamps[path] = stamp
    if not stamps:
        return hashes
    with ThreadPoolExecutor(available_cores()) as threads:
        read = tqdm(threads.map(_hash, stamps), "hash files", len(stamps), unit="", disable=None if progress else True)
        hashes |= dict(zip(stamps, read, strict=True))
    if cache_folder is not None:
        _remember(cache_folder, {path: (stamp, hashes[path]) for path, stamp in stamps.items()})
    return hashes


def _stamp(path: Path) -> _Stamp | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError:
        return UNREADABLE


def _read_memo(cache_folder: Path) -> dict[str, tuple[_Stamp, str]]:
    try:
        entries = json.loads((cache_folder / _MEMO_NAME).read_bytes())
        return {path: ((size, mtime, inode), sha) for path, (size, mtime, inode, sha) in entries.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        logger.info("%s can't be used (%s): files are hashed again", cache_folder / _MEMO_NAME, error)
        return {}


def _remember(cache_folder: Path, found: dict[Path, tuple[_Stamp, str]]) -> None:
    settled = (time.time() - _SETTLED_S) * 1e9
    new = {os.path.abspath(p): (stamp, sha) for p, (stamp, sha) in found.items() if stamp[1] < settled}
    # Read again: another run may have added to it. What is lost in a race is hashed again, no more.
    merged = _read_memo(cache_folder) | {path: v for path, v in new.items() if v[1] != UNREADABLE}
    try:
        cache_folder.mkdir(parents=True, exist_ok=True)
        write_json_durably(cache_folder / _MEMO_NAME, {p: [*stamp, sha] for p, (stamp, sha) in merged.items()})
    except (OSError, ResultsError) as error:
        logger.warning("file hashes could not be remembered: %s", error)
