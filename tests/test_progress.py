"""What a person sees of a run: bars on a terminal, one line an epoch in a log."""

from __future__ import annotations

import io

import pytest

from benchbird.progress import Progress, duration
from tests.record_factory import make_record

EPOCH = {
    "event": "epoch", "label": "unet", "seed": 3, "epoch": 1, "best_epoch": 1, "train_loss": 0.5,
    "val_iou_pooled": 0.25, "train_images": 8, "train_s": 2.0, "val_s": 1.0,
}  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO) -> str:
    progress = Progress(2, 10, stream)
    place = {"label": "unet", "seed": 3}
    progress.observe({"event": "trial_started", **place})
    progress.observe(EPOCH)
    progress.observe({**EPOCH, "epoch": 2, "val_iou_pooled": None})
    progress.observe({"event": "testing", **place})
    progress.observe({"event": "trial_ended", **place, "record": make_record()})
    progress.observe({"event": "waiting", "trials": 1})
    progress.observe({"event": "waiting", "trials": 1})
    progress.close()
    return stream.getvalue()


def test_a_log_gets_one_line_an_epoch_without_control_characters() -> None:
    lines = shown(io.StringIO()).splitlines()
    assert (
        lines[1]
        == "[1/2] unet seed 3: epoch 1/10, loss 0.5000, val IoU 0.250 (best 0.250 at 1), 4.0 images/s, 27 s left"
    )
    assert lines[2].endswith("val IoU – (best 0.250 at 1), 4.0 images/s, 24 s left")
    assert lines[3].startswith("[1/2] unet seed 3: done, test IoU ")
    assert lines[4:] == ["waiting for a trial that another run works on"]


def test_a_terminal_gets_a_bar_and_keeps_only_the_outcome() -> None:
    text = shown(Terminal())
    assert "val IoU 0.250" in text
    assert "\r" in text
    assert "epoch 1/10" not in text


def test_trials_at_the_same_time_keep_their_numbers_and_best_scores() -> None:
    stream = io.StringIO()
    progress = Progress(2, 10, stream)
    other = {"label": "unet", "seed": 4}
    for event in (
        {"event": "trial_started", "label": "unet", "seed": 3},
        {"event": "trial_started", **other},
        EPOCH,
        {**EPOCH, **other, "val_iou_pooled": 0.75},
        {**EPOCH, "epoch": 2, "best_epoch": 1},
        {"event": "trial_ended", **other, "record": make_record()},
        {**EPOCH, "epoch": 3, "best_epoch": 3, "val_iou_pooled": 0.5},
    ):
        progress.observe(event)
    lines = stream.getvalue().splitlines()
    assert [line[:18] for line in lines] == ["[1/2] unet seed 3:", "[2/2] unet seed 4:"] * 2 + [
        "[1/2] unet seed 3:", "[2/2] unet seed 4:", "[1/2] unet seed 3:",
    ]  # fmt: skip
    assert "(best 0.250 at 1)" in lines[4]
    assert "(best 0.500 at 3)" in lines[6]


def test_a_trial_that_another_run_ended_is_told_once() -> None:
    stream = io.StringIO()
    Progress(1, 10, stream).observe({"event": "trial_ended", "label": "unet", "seed": 3, "record": make_record()})
    assert stream.getvalue().count("unet seed 3") == 1
    assert "started" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(8.4, "8 s"), (99, "99 s"), (100, "2 min"), (5_000, "83 min"), (12_000, "3 h 20 min"), (200_000, "2 days 7 h")],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_the_time_left_for_the_run_is_said_where_it_is_known() -> None:
    stream = io.StringIO()
    progress = Progress(2, 10, stream, expected_s={("unet", 3): 100.0, ("unet", 4): 500.0})
    progress.observe({"event": "trial_started", "label": "unet", "seed": 3})
    progress.observe(EPOCH)
    assert stream.getvalue().splitlines()[-1].endswith(" 27 s left (run 10 min)")
