"""Curves for looking at, whoever wrote them."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbird.report.curves import trial_curves
from benchbird.results import FoundRecord
from benchbird.trial_states import TrialState
from tests.record_factory import make_record


def line(epoch: object, loss: object = 0.5, score: object = 0.25) -> str:
    return json.dumps({"epoch": epoch, "train_loss": loss, "val_iou_pooled": score})


def found(folder: Path) -> FoundRecord:
    return FoundRecord(path=folder / "record.json", record=make_record(seed=3))


def test_a_curve_is_read_as_far_as_it_makes_sense(tmp_path: Path) -> None:
    lines = [line(1), line(2, float("nan"), None), line(3, 0.1, 7.0), line(3), line(4)]
    (tmp_path / "curve.jsonl").write_text("\n".join(lines))
    [curve] = trial_curves([found(tmp_path)], ())
    assert (curve.name, curve.epochs, curve.best_epoch) == ("seed 3", (1, 2, 3), 21)
    assert curve.loss == (0.5, None, 0.1) and curve.val_iou == (0.25, None, None)


def test_a_trial_under_way_is_shown_and_one_without_a_curve_is_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "curve.jsonl").write_text(line(1) + "\n" + line(2)[:12])
    states = [TrialState(folder=tmp_path / name, label="unet", seed="1", state="running") for name in ("a", "b")]
    [curve] = trial_curves([found(tmp_path)], states)
    assert (curve.name, curve.epochs, curve.best_epoch) == ("seed 1, running", (1,), None)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(line(1))
    (tmp_path / "curve.jsonl").symlink_to(tmp_path / "elsewhere")
    assert trial_curves([found(tmp_path)], ()) == ()


VALUES = st.none() | st.floats() | st.integers(-2, 5) | st.text(max_size=3)
LINES = st.lists(st.tuples(st.integers(-1, 6) | VALUES, VALUES, VALUES).map(lambda values: line(*values)), max_size=6)
TEXTS = (LINES | st.lists(st.text(max_size=60), max_size=5)).map(lambda lines: "\n".join(lines).encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXTS | st.binary(max_size=300))
def test_whatever_stands_there_nothing_fails(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "curve.jsonl").write_bytes(content)
    for curve in trial_curves([found(tmp_path)], ()):
        assert 1 <= len(curve.epochs) == len(curve.loss) == len(curve.val_iou)
        assert list(curve.epochs) == sorted(set(curve.epochs))
        assert all(score is None or 0 <= score <= 1 for score in curve.val_iou)
