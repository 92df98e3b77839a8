"""A record made flat: every name once, nothing undefined, no path."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from benchbird.results import CURVE_FILE
from benchbird.trial_summary import summarise_trial
from tests.record_factory import make_record


def test_a_done_trial_has_parameters_scores_and_curves(tmp_path: Path) -> None:
    folder = tmp_path / "unet-0123abcd" / "seed-3"
    folder.mkdir(parents=True)
    lines = [{"epoch": 1, "train_loss": 0.5, "val_iou_pooled": None, "train_images": 8},
             {"epoch": 2, "train_loss": 0.25, "val_iou_pooled": 0.75, "train_images": 8}]  # fmt: skip
    (folder / CURVE_FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    record = make_record(seed=3)
    trial = summarise_trial(record, folder)
    assert trial.name == f"{record.benchmark}/{record.study}/unet-0123abcd/seed-3"
    assert trial.curves == {"epoch/train_loss": ((1, 0.5), (2, 0.25)), "epoch/val_iou_pooled": ((2, 0.75),)}
    assert (
        trial.parameters["seed"] == 3
        and trial.parameters["protocol.optimizer.lr"] == record.protocol["optimizer"]["lr"]
    )
    assert "reason" not in trial.parameters
    assert record.scores is not None and record.timing is not None
    assert trial.scores["test/iou_pooled"] == record.scores.test.iou_pooled
    assert trial.scores["timing/latency_p50_ms"] == record.timing.latency_ms.p50
    assert all(isinstance(value, int | float) for value in trial.scores.values())
    assert str(tmp_path) not in repr(trial)


def test_a_failed_trial_has_its_reason_and_no_score(tmp_path: Path) -> None:
    done = make_record()
    failed = replace(
        done, status="failed", reason="it broke", scores=None, last_epoch=None, timing=None, best_epoch=None
    )
    trial = summarise_trial(failed, tmp_path)
    assert (trial.status, trial.parameters["reason"], trial.scores, trial.curves) == ("failed", "it broke", {}, {})


def test_what_is_undefined_or_no_number_is_left_out(tmp_path: Path) -> None:
    record = make_record()
    assert record.scores is not None
    undefined = replace(record.scores.test, iou_native=None, undefined={"iou_native": "no bird"})
    trial = summarise_trial(replace(record, scores=replace(record.scores, test=undefined)), tmp_path)
    assert "test/iou_native" not in trial.scores and "test/undefined" not in trial.scores
