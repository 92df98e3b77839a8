"""Two made-up studies to compare, and what a command said of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchbird.comparison import StudyComparison, compare
from benchbird.index import Index
from benchbird.matches import Match
from benchbird.protocol import OptimizerSettings
from benchbird.results import find_records
from tests.predictions_factory import write_study
from tests.record_factory import PROTOCOL

OTHER_PROTOCOL = replace(PROTOCOL, optimizer=OptimizerSettings(lr=1e-4))
SEEDS = (0, 1, 2, 3, 4)


def compared(before: Path, after: Path, metric: str = "iou_pooled") -> StudyComparison:
    return compare(find_records(before).found, find_records(after).found, Index(None), metric)


def one_match(before: Path, after: Path, metric: str = "iou_pooled") -> Match:
    [match] = compared(before, after, metric).matches
    return match


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


def after(tmp_path: Path, levels: dict[str, float], **study: Any) -> Path:
    return write_study(tmp_path / "after", levels, **{"seeds": SEEDS, "protocol": OTHER_PROTOCOL, **study})
