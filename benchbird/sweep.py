"""A sweep: one key of a benchmark at several values, and the curve that their leaderboards make.

Owns what `--sweep KEY=A,B` means and which figures stand in the curve. Each value is a study of its own; running
and printing are the command's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchbird.errors import UsageError
from benchbird.standings import Estimate, Leaderboard

MOST_VALUES = 100


@dataclass(frozen=True)
class Sweep:
    """A key and the values it takes, as the command line spells them."""

    key: str
    values: tuple[str, ...]

    def override(self, value: str) -> str:
        """What `--set` would say for one value."""
        return f"{self.key}={value}"


def parse_sweep(text: str) -> Sweep:
    """Read `KEY=A,B,…`.

    Raises:
        UsageError: no key, fewer than two values, one twice, or too many.
    """
    key, equals, rest = text.partition("=")
    values = tuple(value.strip() for value in rest.split(","))
    if not equals or not key.strip() or not all(values) or len(values) < 2:
        raise UsageError(f"--sweep {text}: expected KEY=A,B,… with two values or more")
    if len(set(values)) < len(values) or len(values) > MOST_VALUES:
        raise UsageError(f"--sweep {text}: expected each value once, at most {MOST_VALUES}")
    return Sweep(key.strip(), values)


def curve(leaderboards: Sequence[Leaderboard]) -> tuple[tuple[str, ...], list[dict[str, Estimate]]]:
    """The labels that occur, in the order of their first leaderboard, and each leaderboard's scores by label."""
    labels = dict.fromkeys(row.label for leaderboard in leaderboards for row in leaderboard.rows)
    return tuple(labels), [{row.label: row.score for row in leaderboard.rows} for leaderboard in leaderboards]
