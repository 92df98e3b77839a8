"""Which recording a sample belongs to: the manifest's word, a pattern, or the stem without its channel.

Owns the rule of the recording id and the reading of `manifest.csv`. It never looks at pixels.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchbird.data.faults import DataFault, os_reason, printable
from benchbird.errors import DataError

MANIFEST_NAME = "manifest.csv"
CHANNEL_SUFFIX = re.compile(r"_(?:left|right)\Z")
PATTERN_GROUP = "recording"
MOST_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Manifest:
    """The rows of a `manifest.csv`, by name.

    Attributes:
        path: of the file.
        rows: name (NFC) → the rows with that name; more than one only where they are of different splits.
        has_recordings: whether there is a column `recording`.
    """

    path: Path
    rows: Mapping[str, tuple[Mapping[str, str], ...]] = field(repr=False)
    has_recordings: bool

    def row(self, stem: str, split: str) -> Mapping[str, str] | None:
        """The row of a sample; where a name occurs in several splits, the one of `split`."""
        rows = self.rows.get(stem, ())
        if len(rows) > 1:
            rows = tuple(row for row in rows if split_of(row.get("split", "")) == split)
        return rows[0] if len(rows) == 1 else None


SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
"""Folder name or manifest entry in lower case → split."""


def split_of(word: str) -> str | None:
    """The split that a folder name or a manifest entry means, in any letter case, or None."""
    return SPLIT_WORDS.get(word.strip().casefold())


def read_manifest(root: Path, *, allow_links: bool = False) -> Manifest | None:
    """Read `manifest.csv` in a data root; None where there is none or it has no column `name`.

    Args:
        root: the folder.
        allow_links: follow a link that leaves it.

    Raises:
        DataError: it can't be read as UTF-8 comma-separated text, or has a recording for no name.
    """
    path = root / MANIFEST_NAME
    if not path.is_file():
        return None
    if not allow_links and path.resolve().parent != root.resolve():
        raise DataError(
            f"{printable(path)}: a link that leaves the data root; put the file itself there, or set "
            "data.allow_links: true"
        )
    try:
        if path.stat().st_size > MOST_MANIFEST_BYTES:
            raise DataError(f"{printable(path)}: larger than {MOST_MANIFEST_BYTES >> 20} MiB")
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, strict=True)
            columns = list(reader.fieldnames or ())
            if "name" not in columns:
                if "recording" in columns:
                    raise DataError(f"{printable(path)}: has a column recording but no column name to join it by")
                return None
            return Manifest(path, _rows_by_name(path, reader), "recording" in columns)
    except OSError as error:
        raise DataError(f"{printable(path)}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{printable(path)}: not UTF-8 text: {error.reason} at byte {error.start}") from error
    except csv.Error as error:
        raise DataError(f"{printable(path)}: not comma-separated text: {error}") from error


def _rows_by_name(path: Path, reader: csv.DictReader[str]) -> dict[str, tuple[Mapping[str, str], ...]]:
    rows: dict[str, tuple[Mapping[str, str], ...]] = {}
    for row in reader:
        # DictReader puts surplus fields under None and fills missing ones with None.
        if None in row or None in row.values():
            raise DataError(f"{printable(path)}:{reader.line_num}: has more or fewer fields than the first line")
        name = unicodedata.normalize("NFC", row["name"])
        others = [split_of(other.get("split", "")) for other in rows.get(name, ())]
        if others and (split_of(row.get("split", "")) in others or None in others):
            raise DataError(
                f"{printable(path)}:{reader.line_num}: the name {printable(name)} is there twice; "
                "expected once, or once a split with a column split"
            )
        rows[name] = (*rows.get(name, ()), row)
    return rows


@dataclass(frozen=True)
class RecordingRule:
    """How the recording of a sample is known.

    Attributes:
        manifest: of the data root, or None.
        pattern: regular expression with a group `recording`, or None.
    """

    manifest: Manifest | None = None
    pattern: re.Pattern[str] | None = None

    @property
    def description(self) -> str:
        """Where recording ids come from, for people."""
        if self.manifest is not None and self.manifest.has_recordings:
            return f"column recording of {MANIFEST_NAME}"
        if self.pattern is not None:
            return f"recording pattern {self.pattern.pattern}"
        return "file names without a trailing _left or _right"

    def attributes(self, stem: str, split: str) -> Mapping[str, str]:
        """The manifest's other columns for a sample; empty without a manifest."""
        row = self.manifest.row(stem, split) if self.manifest is not None else None
        return {k: v for k, v in row.items() if k not in ("name", "recording")} if row else {}

    def recording(self, stem: str, split: str, path: str) -> str | DataFault:
        """The recording id of a sample, or what is wrong."""
        if self.manifest is not None and self.manifest.has_recordings:
            row = self.manifest.row(stem, split)
            if row is None:
                return DataFault(path, f"has no row in {MANIFEST_NAME}: expected one whose name is {stem}")
            return row["recording"] or DataFault(path, f"its row in {MANIFEST_NAME} has an empty recording")
        if self.pattern is not None:
            match = self.pattern.search(stem)
            found = match[PATTERN_GROUP] if match else None
            return found or DataFault(path, f"its name does not match the recording pattern {self.pattern.pattern}")
        return CHANNEL_SUFFIX.sub("", stem)


def recording_rule(root: Path, pattern: str | None, *, allow_links: bool = False) -> RecordingRule:
    """The rule that holds in a data root: manifest first, then the pattern, then the stem.

    Args:
        root: the folder.
        pattern: regular expression with a group `recording`, or None.
        allow_links: follow a manifest's link that leaves the root.

    Raises:
        DataError: the manifest can't be read, or the pattern isn't a regular expression with the group.
    """
    compiled = compiled_pattern(pattern) if pattern else None
    return RecordingRule(read_manifest(root, allow_links=allow_links), compiled)


def compiled_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern that finds a recording's id in a stem, as its group `recording`.

    Raises:
        DataError: it isn't a regular expression, or has no such group.
    """
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise DataError(f"recording pattern {printable(pattern)}: not a regular expression: {error}") from error
    if PATTERN_GROUP not in compiled.groupindex:
        raise DataError(
            f"recording pattern {printable(pattern)}: has no group named {PATTERN_GROUP}; "
            r"expected something like (?P<recording>XC\d+)"
        )
    return compiled
