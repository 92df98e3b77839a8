"""What is wrong with a file of a data set, and how that is said on a terminal.

Owns the wording of lists of faults. What counts as a fault is decided where it is found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchbird.errors import DataError


@dataclass(frozen=True, order=True)
class DataFault:
    """One file or folder that can't be used, and why.

    Attributes:
        path: as the user would find it; may hold any character, see `printable`.
        reason: what was found and what was expected, one line.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {printable(self.reason)}"


def printable(text: str | Path) -> str:
    """`text` with every character that could steer a terminal, or that can't be encoded, escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in os.fspath(text)
    )


def data_error(summary: str, faults: Iterable[DataFault], advice: str) -> DataError:
    """One error for all faults: the summary, a line for each fault in order of path, the advice."""
    lines = [f"  {fault}" for fault in sorted(set(faults))]
    return DataError("\n".join([f"{summary}:", *lines, advice]))


def os_reason(error: OSError) -> str:
    """The system's words for an error, without the path that it repeats."""
    return (error.strerror or str(error) or type(error).__name__).lower()
