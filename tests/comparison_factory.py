"""Two made-up studies to compare, and what a command said of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from benchbird.cli import main
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


def first_study(folder: Path) -> Path:
    """What `after` is compared with."""
    return write_study(folder / "before", {"unet": 0.70, "atrous_segnet": 0.68}, seeds=SEEDS)


def compare_command(capsys: pytest.CaptureFixture[str], cache: Path) -> Callable[..., Said]:
    """`benchbird compare` in this process."""

    def run(*arguments: str | Path) -> Said:
        with pytest.raises(SystemExit) as ended:
            main(["compare", *map(str, arguments), "--cache", str(cache)])
        code = ended.value.code
        assert isinstance(code, int)
        return Said(code, *capsys.readouterr())

    return run
