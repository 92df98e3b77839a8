"""A run's events as a person sees them: bars on a terminal, one line an epoch in a log. On stderr.

Owns wording and layout while a run is under way. What happens is `runner.py`'s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from tqdm import tqdm

from benchbird.records import TrialRecord


class Progress:
    """Shows the events of `runner.run_trials`.

    Args:
        n_trials: trials that are left to run.
        n_epochs: epochs of a trial with gradients.
        stream: where to write.
    """

    def __init__(self, n_trials: int, n_epochs: int, stream: TextIO | None = None) -> None:
        self._n_trials = n_trials
        self._n_epochs = n_epochs
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty()
        self._bar: tqdm[Any] | None = None
        self._ended = 0
        self._started = 0.0
        self._best: float | None = None
        self._waiting = False

    def observe(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        show = {
            "trial_started": self._show_start,
            "epoch": self._show_epoch,
            "testing": self._show_phase,
            "timing": self._show_phase,
            "trial_ended": self._show_end,
            "waiting": self._show_waiting,
        }.get(event["event"])
        if show is not None:
            show(event)

    def close(self) -> None:
        """Take an open bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _title(self, event: Mapping[str, Any]) -> str:
        number = min(self._ended + 1, self._n_trials)
        return f"[{number}/{self._n_trials}] {event['label']} seed {event['seed']}"

    def _show_start(self, event: Mapping[str, Any]) -> None:
        self._started = time.monotonic()
        self._best = None
        self._waiting = False
        if self._is_terminal:
            self._bar = tqdm(
                total=self._n_epochs, desc=self._title(event), unit="epoch", file=self._stream, leave=False
            )
        else:
            self._line(f"{self._title(event)}: started")

    def _show_epoch(self, event: Mapping[str, Any]) -> None:
        score = event["val_iou_pooled"]
        if score is not None and event["best_epoch"] == event["epoch"]:
            self._best = score
        best = f"best {_score(self._best)} at {event['best_epoch']}"
        if self._bar is not None:
            # A resumed trial starts in the middle.
            self._bar.n = event["epoch"]
            self._bar.set_postfix_str(f"loss {event['train_loss']:.4f}, val IoU {_score(score)}, {best}")
        else:
            speed = event["train_images"] / event["train_s"]
            self._line(
                f"{self._title(event)}: epoch {event['epoch']}/{self._n_epochs}, loss {event['train_loss']:.4f}, "
                f"val IoU {_score(score)} ({best}), {speed:.1f} images/s"
            )

    def _show_phase(self, event: Mapping[str, Any]) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(event["event"])

    def _show_end(self, event: Mapping[str, Any]) -> None:
        self.close()
        record: TrialRecord = event["record"]
        if record.scores is not None:
            outcome = f"done, test IoU {_score(record.scores.test.iou_pooled)}"
        else:
            outcome = f"{record.status.replace('_', ' ')}: {record.reason}"
        self._line(f"{self._title(event)}: {outcome} ({duration(time.monotonic() - self._started)})")
        self._ended += 1

    def _show_waiting(self, event: Mapping[str, Any]) -> None:
        if not self._waiting:
            trials = "a trial" if event["trials"] == 1 else f"{event['trials']} trials"
            self._line(f"waiting for {trials} that another run works on")
            self._waiting = True

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def duration(seconds: float) -> str:
    """A time span in words: `8 s`, `12 min`, `3 h 20 min`, `4 days 2 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} days {hours} h"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
