"""A run's events for programs: JSON Lines, one object a line, written as they happen.

Owns what each line holds. What people see of the same events is `progress.py`'s.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TextIO

from benchbird.records import TrialRecord


class EventLines:
    """Writes events to a stream, each flushed at once, so that whoever reads along is never behind.

    Args:
        stream: gets the lines.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def observe(self, event: Mapping[str, Any]) -> None:
        """Write one event; a record is told by its outcome, since `record.json` holds the rest."""
        values: dict[str, Any] = {}
        for name, value in event.items():
            if isinstance(value, TrialRecord):
                values |= outcome(value)
            else:
                values[name] = _plain(value)
        self._stream.write(json.dumps(values, allow_nan=False) + "\n")
        self._stream.flush()


def outcome(record: TrialRecord) -> dict[str, Any]:
    """How a trial ended, and its test scores where it has any."""
    scores = asdict(record.scores.test) if record.scores is not None else None
    return {
        "status": record.status,
        "reason": record.reason,
        "best_epoch": record.best_epoch,
        "test": scores,
        "duration_s": record.duration_s,
    }


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
