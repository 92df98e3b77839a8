"""The store of trials on disk: where a trial lies, how its record is written, read and found.

Owns paths and the strict reading of records, which are not trusted. Claims and checkpoints belong to
execution; what a set of records means is for `leaderboard.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from benchbird.durable import make_folder, write_durably
from benchbird.errors import ResultsError
from benchbird.index import Index
from benchbird.protocol import canonical_digest
from benchbird.record_json import CHECK_VERSION, json_value, parse_checked_record, parse_record, record_bytes
from benchbird.records import SCHEMA_VERSION, SegmenterIdentity, TrialRecord

RECORD_FILE = "record.json"
"""Its presence means that the trial has ended."""

CURVE_FILE = "curve.jsonl"
"""One line an epoch, of a trial with gradients."""

LOG_FILE = "log.txt"
"""What a trial's process printed."""

STATUS_FILE = "status.json"
"""Of a trial that has begun and not ended: its attempts, its time, its epochs."""

CHECKPOINT_FOLDER = "checkpoint"
"""What a trial that hasn't ended goes on from."""

PUBLISHED_FOLDER = "published"
"""Directly below a results root: records kept for others to see, which are no results of one's own."""

NOISE_FOLDER = "noise"
"""Directly below a study: trials of a noise budget, which are never ranked."""

BENCHMARK_SUFFIXES = (".yaml", ".yml")
MAX_RECORD_BYTES = 4 * 2**20
MAX_DEPTH = 12
"""Folders below the one searched; a trial lies four below a results root."""

_MAX_NAME_BYTES = 150
_UNSAFE_IN_NAME = re.compile(r'[\x00-\x1f\x7f<>:"/\\|?*]')


@dataclass(frozen=True)
class FoundRecord:
    """A record and the file it was read from.

    Attributes:
        path: of the file; of pooled folds, where the file would be.
        record: what is in it; of pooled folds, what they say together.
        folds: the records that were pooled, empty for an ordinary trial.
    """

    path: Path
    record: TrialRecord
    folds: tuple[FoundRecord, ...] = ()


@dataclass(frozen=True)
class RecordFault:
    """A record file that can't be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class RecordScan:
    """What lies below a folder.

    Attributes:
        found: the readable records, by path.
        faults: record files that can't be used; they are left out, never fatal to the others.
        unended: folders of trials (`seed-<n>`) without a record: planned, running or interrupted.
    """

    found: tuple[FoundRecord, ...]
    faults: tuple[RecordFault, ...]
    unended: tuple[Path, ...]

    def require_whole(self) -> tuple[FoundRecord, ...]:
        """The records, where every one of them could be read.

        Raises:
            ResultsError: lists each path and reason.
        """
        if self.faults:
            raise ResultsError("\n".join(str(fault) for fault in self.faults))
        return self.found


@dataclass(frozen=True)
class ResultsStore:
    """Trials under `<root>/<benchmark>/<study>/<label>-<trial hash>/seed-<n>/`."""

    root: Path

    def trial_folder(self, benchmark: str, study: str, segmenter: SegmenterIdentity, seed: int) -> Path:
        """The folder of a trial; it need not exist.

        Raises:
            ResultsError: a name that can't be a folder's name, such as `../x`.
        """
        version = f"{folder_name('label', segmenter.label)}-{trial_hash(segmenter)}"
        study_folder = self.root / folder_name("benchmark", benchmark) / folder_name("study", study)
        return study_folder / version / f"seed-{seed}"

    def add(self, folder: Path, record: TrialRecord, *, replace: bool = False) -> Path:
        """`add_record`, for whoever holds a store."""
        return add_record(folder, record, replace=replace)


def add_record(folder: Path, record: TrialRecord, *, replace: bool = False) -> Path:
    """Write `record` as the last file of the trial in `folder`, whole or not at all; returns its path.

    Raises:
        ResultsError: there is a record already and `replace` is False, the record could not be read back,
            or the disk refused.
    """
    path = folder / RECORD_FILE
    if not replace and path.exists():
        raise ResultsError(f"{path}: the trial has ended already; its record is left as it is")
    try:
        content = record_bytes(record)
        parse_record(content)
    except (ValueError, TypeError) as error:
        raise ResultsError(f"{path}: not written, since it could not be read back: {error}") from error
    make_folder(folder)
    write_durably(path, content)
    return path


def folder_name(kind: str, name: str) -> str:
    r"""`name`, if a folder may be called so on every system.

    Raises:
        ResultsError: it is empty, too long, starts or ends with a dot or space, or holds `/`, `\`, a
            control character or one of `<>:"|?*`.
    """
    edges = name[:1] + name[-1:]
    is_safe = name.isprintable() and not _UNSAFE_IN_NAME.search(name) and len(name.encode()) <= _MAX_NAME_BYTES
    if not name or "." in edges or " " in edges or not is_safe:
        raise ResultsError(
            f"{kind} {name[:80]!r} can't name a folder: expected 1 to {_MAX_NAME_BYTES} bytes of printable "
            'text without / \\ < > : " | ? * and without a dot or space at either end'
        )
    return name


def trial_hash(segmenter: SegmenterIdentity) -> str:
    """Eight hex digits that change with the segmenter's name, any option or one byte of its source."""
    identity = {
        "name": segmenter.name,
        "options": json_value(segmenter.options),
        "source_sha256": segmenter.source_sha256,
    }
    return canonical_digest(identity)[:8]


def read_record(path: Path) -> TrialRecord:
    """Read a record that someone else may have written; nothing in it is trusted.

    Raises:
        ResultsError: not a plain file, too big, torn, of a newer schema, or not a record; names the path.
    """
    try:
        return parse_record(read_plain_file(path))
    except OSError as error:
        raise ResultsError(f"{path}: {_describe_os_error(error)}") from error
    except ValueError as error:
        raise ResultsError(f"{path}: {error}") from error


def target_folder(target: Path, results: Path) -> Path:
    """The folder that a command's target means.

    Args:
        target: a benchmark's YAML (meaning `results/<name>`), a results root, or any folder below one.
        results: the results root that a YAML's name is looked up in.

    Raises:
        ResultsError: there is none.
        ConfigError: the YAML can't be used.
    """
    if target.is_dir():
        return target
    if target.suffix.lower() in BENCHMARK_SUFFIXES:
        # Only a YAML needs the config reader, and pydantic with it.
        from benchbird.config.benchmark import load_benchmark

        folder = results / load_benchmark(target).name
        if not folder.is_dir():
            raise ResultsError(
                f"{folder}: no results of {target} there yet; `benchbird run {target}` makes them, "
                "--results DIR says where they lie"
            )
        return folder
    hint = f"; did you mean {results / target}?" if (results / target).is_dir() else ""
    raise ResultsError(
        f"{target}: no such folder, expected a benchmark's YAML, a results root, or a benchmark's or "
        f"study's folder below one{hint}"
    )


def find_records(folder: Path, index: Index | None = None) -> RecordScan:
    """All records below `folder` (root, benchmark, study, segmenter or trial), by path.

    `published` directly below `folder` is left out, and so is any folder `noise` below it. Symbolic links below
    `folder` are not followed. A record that vanishes while we look is no fault.

    Args:
        folder: to look below.
        index: remembers which records, byte for byte, have passed all checks; None checks every one.
    """
    checked = _CheckedRecords(index or Index(None))
    found: list[FoundRecord] = []
    faults: list[RecordFault] = []
    unended: list[Path] = []
    files: dict[Path, bytes] = {}

    def parse_files() -> None:
        for path, record in checked.parse_all(files).items():
            if isinstance(record, ValueError):
                faults.append(RecordFault(path, str(record)))
            else:
                found.append(FoundRecord(path, _sharing(record, found[-1].record if found else None)))
        files.clear()

    for current, has_record in _trial_folders(folder, faults):
        path = current / RECORD_FILE
        if not has_record:
            unended.append(current)
            continue
        try:
            files[path] = read_plain_file(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            faults.append(RecordFault(path, _describe_os_error(error)))
        except ValueError as error:
            faults.append(RecordFault(path, str(error)))
        if len(files) == _AT_ONCE:
            parse_files()
    parse_files()
    checked.remember()
    return RecordScan(tuple(found), tuple(faults), tuple(unended))


_IN_COMMON = ("segmenter", "protocol", "data", "environment")
"""Parts of a record that those of a study mostly have in common."""


def _sharing(record: TrialRecord, before: TrialRecord | None) -> TrialRecord:
    """The record, with the parts of the one before it where they are equal: thousands take half of the memory."""
    if before is None:
        return record
    equal = {name: part for name in _IN_COMMON if (part := getattr(before, name)) == getattr(record, name)}
    return replace(record, **equal)


_AT_ONCE = 200
"""Records that are looked up in the index, and so are held as bytes, at a time."""


class _CheckedRecords:
    """The records that passed every check before, by the SHA-256 of their bytes."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._new: list[str] = []

    def parse_all(self, files: Mapping[Path, bytes]) -> dict[Path, TrialRecord | ValueError]:
        """Each file as `parse_record` takes it, or why not; bytes that it took before are not checked again."""
        keys = {path: self._key(content) for path, content in files.items()}
        known = self._index.get_all(list(keys.values()))
        return {path: self._parse(content, keys[path], keys[path] in known) for path, content in files.items()}

    def _parse(self, content: bytes, key: str, is_known: bool) -> TrialRecord | ValueError:
        if is_known:
            with contextlib.suppress(ValueError):  # then the index is wrong
                return parse_checked_record(content)
        try:
            record = parse_record(content)
        except ValueError as error:
            return error
        self._new.append(key)
        return record

    def _key(self, content: bytes) -> str:
        return f"record/{SCHEMA_VERSION}/{CHECK_VERSION}/{hashlib.sha256(content).hexdigest()}"

    def remember(self) -> None:
        """Put what has passed into the index."""
        if self._new:
            self._index.put_all(dict.fromkeys(self._new, b""))


def _trial_folders(folder: Path, faults: list[RecordFault]) -> Iterator[tuple[Path, bool]]:
    """Folders with a record, and those named `seed-<n>` without one."""

    def note(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            faults.append(RecordFault(Path(error.filename or folder), _describe_os_error(error)))

    for current, subfolders, files in os.walk(folder, onerror=note, followlinks=False):
        subfolders.sort()
        path = Path(current)
        if path == folder and PUBLISHED_FOLDER in subfolders:
            subfolders.remove(PUBLISHED_FOLDER)
        # At any depth, since `folder` may be a root, a benchmark or a study; no other folder can be called so.
        if NOISE_FOLDER in subfolders:
            subfolders.remove(NOISE_FOLDER)
        if len(path.parts) - len(folder.parts) >= MAX_DEPTH:
            subfolders.clear()
        if RECORD_FILE in files:
            yield path, True
        elif re.fullmatch(r"seed-\d+", path.name):
            yield path, False


def read_plain_file(path: Path) -> bytes:
    """The bytes of a record, or of another small file that anyone may have written.

    Raises:
        OSError: it can't be read.
        ValueError: it is no plain file, or larger than any record.
    """
    # A link may point anywhere, and a named pipe would block for ever: neither is opened.
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ValueError("found a link or special file, expected a plain file")
    with path.open("rb") as stream:
        content = stream.read(MAX_RECORD_BYTES + 1)
    if len(content) > MAX_RECORD_BYTES:
        raise ValueError(f"more than {MAX_RECORD_BYTES} bytes, which no record has")
    return content


def _describe_os_error(error: OSError) -> str:
    return f"could not be read: {error.strerror or error}"
