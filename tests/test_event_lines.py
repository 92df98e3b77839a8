"""Events for programs: one object a line, whatever happens."""

from __future__ import annotations

import io
import json
import math
from pathlib import Path

from benchbird.event_lines import EventLines
from tests.record_factory import make_record


def test_each_event_is_a_line_of_plain_json() -> None:
    stream = io.StringIO()
    lines = EventLines(stream)
    place = {"label": "unet\n", "seed": 3, "folder": Path("a/b")}
    lines.observe({"event": "epoch", **place, "train_loss": math.nan, "val_iou_pooled": None})
    lines.observe({"event": "trial_ended", **place, "record": make_record(status="failed", reason="broken", seed=3)})
    lines.observe({"event": "trial_ended", **place, "record": make_record(iou=0.25, seed=3)})
    first, second, third = map(json.loads, stream.getvalue().splitlines())
    assert first == {"event": "epoch", "label": "unet\n", "seed": 3, "folder": "a/b", "train_loss": None,
                     "val_iou_pooled": None}  # fmt: skip
    assert (second["status"], second["reason"], second["test"]) == ("failed", "broken", None)
    assert third["test"]["iou_pooled"] == 0.25 and third["best_epoch"] == 21 and "record" not in third
