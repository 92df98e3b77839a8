"""Learning curves in words: only trials of which something is known are named."""

from __future__ import annotations

from benchbird.report.curves import TrialCurve
from benchbird.report.figures import learning_figures


def test_a_trial_without_a_value_is_not_said_to_have_one() -> None:
    known = TrialCurve(label="unet", name="seed 0", epochs=(1, 2), loss=(0.5, 0.25), val_iou=(0.4, 0.3), best_epoch=1)
    unknown = TrialCurve(label="unet", name="seed 1", epochs=(1,), loss=(0.5,), val_iou=(None,), best_epoch=None)
    on_val, loss = learning_figures((known, unknown), {})
    assert on_val.summary == "Its best epoch has 0.400 (seed 0)."
    assert loss.summary == "They end at 0.2500 to 0.5000 (seed 0; seed 1)."
