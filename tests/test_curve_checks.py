"""A curve against its record: which epoch is selected, by which score, under each rule."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from benchbird.curve_checks import curve_findings, read_curve
from benchbird.records import TrialRecord
from tests.record_factory import PROTOCOL, make_record

SCORES: tuple[float | None, ...] = (None, 0.25, 0.5, 0.5, 0.125)


def write_curve(folder: Path, pooled: Sequence[float | None], means: Sequence[float | None] | None = None) -> None:
    lines = [
        {"epoch": number, "val_iou_pooled": one, "val_iou_batch_mean": mean}
        for number, (one, mean) in enumerate(zip(pooled, means or pooled, strict=True), start=1)
    ]
    (folder / "curve.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def record_with(best_epoch: int | None, best: float | None, last: float | None, **protocol: object) -> TrialRecord:
    record = make_record(protocol=replace(PROTOCOL, epochs=len(SCORES), **protocol))  # type: ignore[arg-type]
    scores, ended = record.scores, record.last_epoch
    assert scores is not None and ended is not None
    return replace(
        record,
        best_epoch=best_epoch,
        scores=replace(scores, val=replace(scores.val, iou_pooled=best, iou_batch_mean=best)),
        last_epoch=replace(ended, val=replace(ended.val, iou_pooled=last, iou_batch_mean=last)),
        files={"curve.jsonl": "0" * 64},
    )


def found(record: TrialRecord, folder: Path) -> list[tuple[str, str]]:
    return [(finding.severity, finding.field) for finding in curve_findings(record, folder)]


def test_the_first_of_the_best_epochs_is_the_selected_one(tmp_path: Path) -> None:
    write_curve(tmp_path, SCORES)
    assert found(record_with(3, 0.5, 0.125), tmp_path) == []
    assert found(record_with(4, 0.5, 0.125), tmp_path) == [("failed", "best_epoch")]
    assert found(record_with(3, 0.5 + 1e-9, 0.125), tmp_path) == [("failed", "scores.val.iou_pooled")]
    assert found(record_with(3, None, 0.125), tmp_path) == [("failed", "scores.val.iou_pooled")]
    assert found(record_with(3, 0.5, 0.25), tmp_path) == [("failed", "last_epoch.val.iou_pooled")]


def test_other_rules_of_selection(tmp_path: Path) -> None:
    write_curve(tmp_path, SCORES, [0.1, 0.9, 0.2, 0.2, 0.3])
    assert found(record_with(2, 0.9, 0.3, selection="best_val_iou_batch_mean"), tmp_path) == []
    assert found(record_with(5, 0.125, 0.125, selection="last_epoch"), tmp_path) == []
    assert found(record_with(3, 0.5, 0.125, selection="last_epoch"), tmp_path) == [("failed", "best_epoch")]


def test_without_any_score_the_first_epoch_stays_selected(tmp_path: Path) -> None:
    write_curve(tmp_path, [None] * 5)
    assert found(record_with(1, None, None), tmp_path) == []


def test_a_protocol_that_promises_no_repetition_only_gives_a_notice(tmp_path: Path) -> None:
    write_curve(tmp_path, SCORES)
    assert found(record_with(3, 0.5001, 0.125, deterministic=False), tmp_path) == [("notice", "scores.val.iou_pooled")]


def test_another_number_of_epochs(tmp_path: Path) -> None:
    write_curve(tmp_path, SCORES[:4])
    assert found(record_with(3, 0.5, 0.5), tmp_path) == [("failed", "epoch")]


def test_a_trial_without_gradients_has_no_curve(tmp_path: Path) -> None:
    assert found(replace(record_with(3, 0.5, 0.125), best_epoch=None, files={}), tmp_path) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]\n",
        "1\n",
        '{"epoch": 2}\n',
        '{"epoch": 1}\n',
        '{"epoch": 1, "val_iou_pooled": "high", "val_iou_batch_mean": 0}\n',
        '{"epoch": 1, "val_iou_pooled": NaN, "val_iou_batch_mean": 0}\n',
        '{"epoch": 1, "val_iou_pooled": 2, "val_iou_batch_mean": 0}\n',
        "[" * 100_000,
    ],
)
def test_what_is_no_curve(tmp_path: Path, content: str) -> None:
    (tmp_path / "curve.jsonl").write_text(content)
    with pytest.raises((ValueError, KeyError, TypeError, RecursionError)):
        read_curve(tmp_path / "curve.jsonl")
    assert found(record_with(1, 0.5, 0.5), tmp_path) == [("failed", "files.curve.jsonl")]
