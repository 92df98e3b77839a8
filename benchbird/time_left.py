"""How long a run will still take: what was expected of its trials, corrected by what they took so far.

Owns the arithmetic; showing it is `progress.py`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

Trial = tuple[str, int]
"""Label and seed."""

TRUSTED_SHARE = 0.05
"""Of the work that must be done before its time says more than the estimate."""


class TimeLeft:
    """Keeps account of a run's trials.

    Args:
        expected_s: seconds that each trial which is left should take by itself.
        n_epochs: epochs of a trial.
        at_a_time: trials that run side by side.
    """

    def __init__(self, expected_s: Mapping[Trial, float], n_epochs: int, at_a_time: int = 1) -> None:
        self._expected_s = dict(expected_s)
        self._n_epochs = n_epochs
        self._at_a_time = at_a_time
        self._share = dict.fromkeys(self._expected_s, 0.0)
        self._first_epochs: dict[Trial, tuple[int, float]] = {}
        self._begun_at: float | None = None

    def start(self, trial: Trial, now: float) -> None:
        """A trial begins at `now`, seconds of any steady clock."""
        if self._begun_at is None:
            self._begun_at = now

    def epoch(self, trial: Trial, epoch: int, epoch_s: float) -> float:
        """An epoch of a trial has ended, counted from 1; the seconds that the trial's others will take."""
        first, total_s = self._first_epochs.get(trial, (epoch - 1, 0.0))
        total_s += epoch_s
        self._first_epochs[trial] = (first, total_s)
        # A resumed trial begins in its middle; only the rest is expected of it.
        done, to_be_done = epoch - first, max(self._n_epochs - first, 1)
        if trial in self._share:
            self._share[trial] = done / to_be_done
        return (self._n_epochs - epoch) * total_s / done

    def end(self, trial: Trial) -> None:
        """A trial has ended, however."""
        if trial in self._share:
            self._share[trial] = 1.0

    def run_s(self, now: float) -> float | None:
        """Seconds that the run will still take; None where nothing was expected."""
        total_s = sum(self._expected_s.values())
        if total_s <= 0:
            return None
        done_s = sum(self._expected_s[trial] * share for trial, share in self._share.items())
        rate = 1.0 / self._at_a_time
        if self._begun_at is not None and done_s >= TRUSTED_SHARE * total_s:
            rate = (now - self._begun_at) / done_s
        return (total_s - done_s) * rate
