"""A run's events as a person sees them: bars on a terminal, one line an epoch in a log. On stderr.

Owns wording and layout while a run is under way. What happens is `runner.py`'s.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from tqdm import tqdm

from benchbird.records import TrialRecord
from benchbird.time_left import TimeLeft

_BAR = "{desc}: {n_fmt}/{total_fmt} {bar:12} {postfix}"
"""Time left is said with the rest; tqdm's own would count the epochs of a resumed trial as of no time."""


@dataclass
class _Shown:
    """A trial under way, as far as it is shown.

    Attributes:
        title: names it.
        started: seconds of the monotonic clock.
        best: validation score of the best epoch so far.
        row: of its bar, from 0.
        bar: on a terminal alone.
    """

    title: str
    started: float
    row: int
    best: float | None = None
    bar: tqdm[Any] | None = None


class Progress:
    """Shows the events of `runner.run_trials`, of one trial or of several at a time.

    Args:
        n_trials: trials that are left to run.
        n_epochs: epochs of a trial with gradients.
        stream: where to write.
        expected_s: label and seed → seconds that the trial should take, where that is known.
        at_a_time: trials that run side by side.
    """

    def __init__(
        self,
        n_trials: int,
        n_epochs: int,
        stream: TextIO | None = None,
        *,
        expected_s: Mapping[tuple[str, int], float] | None = None,
        at_a_time: int = 1,
    ) -> None:
        self._n_trials = n_trials
        self._n_epochs = n_epochs
        self._time_left = TimeLeft(expected_s or {}, n_epochs, at_a_time)
        self._stream = stream if stream is not None else sys.stderr
        self._is_terminal = self._stream.isatty()
        self._shown: dict[tuple[str, int], _Shown] = {}
        self._begun = 0
        self._waiting = False

    def observe(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        kind = event["event"]
        if kind == "waiting":
            self._show_waiting(event["trials"])
        elif kind == "trial_started":
            self._show_start(event)
        elif kind == "trial_ended":
            self._show_end(event)
        elif kind == "epoch":
            self._show_epoch(event)
        elif kind in ("testing", "timing"):
            self._show_phase(event)
        elif kind == "notice":
            self._line(f"{self._shown[event['label'], event['seed']].title}: {event['text']}")
        elif kind == "claim_lost":
            self._show_loss(event)

    def close(self) -> None:
        """Take open bars away."""
        for shown in self._shown.values():
            if shown.bar is not None:
                shown.bar.close()
        self._shown.clear()

    def _begin(self, event: Mapping[str, Any]) -> _Shown:
        self._waiting = False
        self._begun += 1
        rows = {shown.row for shown in self._shown.values()}
        shown = _Shown(
            title=f"[{min(self._begun, self._n_trials)}/{self._n_trials}] {event['label']} seed {event['seed']}",
            started=time.monotonic(),
            row=next(row for row in range(len(rows) + 1) if row not in rows),
        )
        self._shown[event["label"], event["seed"]] = shown
        return shown

    def _show_start(self, event: Mapping[str, Any]) -> None:
        shown = self._begin(event)
        self._time_left.start((event["label"], event["seed"]), shown.started)
        if self._is_terminal:
            shown.bar = tqdm(total=self._n_epochs, desc=shown.title, unit="epoch", file=self._stream, leave=False,
                             position=shown.row, dynamic_ncols=True, bar_format=_BAR)  # fmt: skip
        else:
            self._line(f"{shown.title}: started")

    def _show_epoch(self, event: Mapping[str, Any]) -> None:
        shown = self._shown[event["label"], event["seed"]]
        score = event["val_iou_pooled"]
        if score is not None and event["best_epoch"] == event["epoch"]:
            shown.best = score
        best = f"best {_score(shown.best)} at {event['best_epoch']}"
        trial = (event["label"], event["seed"])
        trial_s = self._time_left.epoch(trial, event["epoch"], event["train_s"] + event["val_s"])
        speed = event["train_images"] / event["train_s"]
        left = f"{speed:.1f} images/s, {self._left(trial_s)}"
        if shown.bar is not None:
            # A resumed trial starts in the middle.
            shown.bar.n = event["epoch"]
            shown.bar.set_postfix_str(f"loss {event['train_loss']:.4f}, val IoU {_score(score)}, {best}, {left}")
        else:
            self._line(
                f"{shown.title}: epoch {event['epoch']}/{self._n_epochs}, loss {event['train_loss']:.4f}, "
                f"val IoU {_score(score)} ({best}), {left}"
            )

    def _left(self, trial_s: float) -> str:
        """Time left for a trial, and for the run where it can be told."""
        run_s = self._time_left.run_s(time.monotonic())
        own = f"{duration(trial_s)} left"
        return own if run_s is None else f"{own} (run {duration(max(run_s, trial_s))})"

    def _show_phase(self, event: Mapping[str, Any]) -> None:
        shown = self._shown[event["label"], event["seed"]]
        if shown.bar is not None:
            shown.bar.set_postfix_str(event["event"])

    def _show_end(self, event: Mapping[str, Any]) -> None:
        # One that another run has ended meanwhile was never begun here.
        shown = self._shown.get((event["label"], event["seed"])) or self._begin(event)
        if shown.bar is not None:
            shown.bar.close()
        del self._shown[event["label"], event["seed"]]
        self._time_left.end((event["label"], event["seed"]))
        record: TrialRecord = event["record"]
        if record.scores is not None:
            outcome = f"done, test IoU {_score(record.scores.test.iou_pooled)}"
        else:
            outcome = f"{record.status.replace('_', ' ')}: {record.reason}"
        self._line(f"{shown.title}: {outcome} ({duration(time.monotonic() - shown.started)})")

    def _show_loss(self, event: Mapping[str, Any]) -> None:
        shown = self._shown.pop((event["label"], event["seed"]))
        if shown.bar is not None:
            shown.bar.close()
        self._begun -= 1
        self._line(f"{shown.title}: left to another run, which has taken it over since this one was silent for long")

    def _show_waiting(self, trials: int) -> None:
        if not self._waiting:
            held = "a trial" if trials == 1 else f"{trials} trials"
            self._line(f"waiting for {held} that another run works on")
            self._waiting = True

    def _line(self, text: str) -> None:
        if self._is_terminal and self._shown:
            tqdm.write(text, file=self._stream)  # above the bars of other trials
        else:
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
