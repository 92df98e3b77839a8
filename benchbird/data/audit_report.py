"""An audit told: as lines for people, as one document for machines.

Owns the wording. What is looked at, and what is wrong, is `audit.py`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from benchbird.data.audit import Audit, SplitSummary
from benchbird.data.faults import printable


def audit_document(found: Audit) -> dict[str, Any]:
    """An audit for machines, as JSON holds it."""
    return {
        "root": str(found.root),
        "good": found.is_good,
        "recording_rule": found.recording_rule,
        "splits": [dataclasses.asdict(split) for split in found.splits],
        "bad": [dataclasses.asdict(fault) for fault in found.faults],
        "warnings": [dataclasses.asdict(warning) for warning in found.warnings],
        "leaks": found.leaks,
        "duplicates": found.duplicates,
    }


def audit_lines(found: Audit) -> Iterable[str]:
    """An audit for people, line by line."""
    yield f"{printable(found.root)}"
    yield f"recording ids: {printable(found.recording_rule)}"
    if found.splits:
        yield ""
        yield from _table(found.splits)
    sections = (
        (_count(len(found.faults), "bad file or folder", "bad files and folders"), map(str, found.faults)),
        (
            _count(len(found.leaks), "recording in more than one split", "recordings in more than one split"),
            (f"{printable(recording)}: {', '.join(splits)}" for recording, splits in found.leaks.items()),
        ),
        (_count(len(found.warnings), "warning", "warnings"), map(str, found.warnings)),
        (
            _count(len(found.duplicates), "group of identical images", "groups of identical images"),
            (", ".join(map(printable, group)) for group in found.duplicates),
        ),
    )
    for title, lines in sections:
        if title:
            yield f"\n{title}:"
            yield from (f"  {line}" for line in lines)
    bad = [title for title, _ in sections[:2] if title]
    yield f"\nresult: {' and '.join(bad) if bad else 'good'}"


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}" if number else ""


def _table(splits: Sequence[SplitSummary]) -> Iterable[str]:
    heads = ("split", "images", "masks", "usable pairs", "recordings", "width x height", "empty masks",
             "bird min", "median", "max")  # fmt: skip
    rows = [heads]
    for split in splits:
        shares = ["-"] * 3 if split.bird_share is None else [f"{100 * s:.1f} %" for s in split.bird_share]
        counts = (split.n_images, split.n_masks, split.n_usable, split.n_recordings)
        size = f"{_range(split.widths)} x {_range(split.heights)}" if split.widths else "-"
        empty = str(split.n_empty_masks)
        rows.append((printable(split.name), *map(str, counts), size, empty, *shares))  # type: ignore[arg-type]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *numbers])


def _range(values: tuple[int, int] | None) -> str:
    if values is None:
        return "-"
    return str(values[0]) if values[0] == values[1] else f"{values[0]}…{values[1]}"
