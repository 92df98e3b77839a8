"""A finding: one thing that a check of results has to say, with the file and the field it is about.

Owns the value, its wording and the comparisons that several checks share. It opens no file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from benchbird.plain_text import plain_text
from benchbird.records import Scores

Severity = Literal["failed", "incomplete", "notice"]
"""`failed`: something contradicts the record. `incomplete`: something that could show it isn't there."""

_SHOWN = 300


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing found.

    Attributes:
        severity: how grave.
        file: its name, relative to the trial's folder; empty for the folder itself.
        field: of the record, an array of the predictions, or a line; empty for the file as a whole.
        what: what was found and what was expected.
    """

    severity: Severity
    file: str
    field: str
    what: str

    def __str__(self) -> str:
        # Names and values come from files that anyone may have written.
        return ": ".join(plain_text(part, _SHOWN) for part in (self.file, self.field, self.what) if part)


def failed(file: str, field: str, what: str) -> Finding:
    """Something that contradicts the record."""
    return Finding(severity="failed", file=file, field=field, what=what)


def incomplete(file: str, field: str, what: str) -> Finding:
    """Something that is not there and so can't be checked."""
    return Finding(severity="incomplete", file=file, field=field, what=what)


def notice(file: str, field: str, what: str) -> Finding:
    """Something worth knowing that contradicts nothing."""
    return Finding(severity="notice", file=file, field=field, what=what)


def score_findings(file: str, where: str, said: Scores, computed: Scores) -> Iterator[Finding]:
    """Every score that isn't exactly what counts of pixels give.

    Args:
        file: that states the scores.
        where: the field they stand under, such as `scores.test`.
        said: what stands there.
        computed: from the predictions.
    """
    for field in dataclasses.fields(Scores):
        stated, given = getattr(said, field.name), getattr(computed, field.name)
        if stated != given:
            yield failed(file, f"{where}.{field.name}", f"the record says {stated}, the predictions give {given}")


def line_difference(found: bytes, expected: bytes) -> tuple[str, str] | None:
    """The first line that differs, as `line N`, and what is wrong with it; None where all bytes are equal."""
    if found == expected:
        return None
    ours, theirs = found.split(b"\n"), expected.split(b"\n")
    index = next((i for i, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]), None)
    if index is None:
        index = min(len(ours), len(theirs))
    here, there = (repr(lines[index][:80])[1:] if index < len(lines) else "nothing" for lines in (ours, theirs))
    return f"line {index + 1}", f"found {here}, expected {there}"
