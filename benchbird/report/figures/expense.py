"""What the trials took: time and memory, of each and of all."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from benchbird.records import TrialRecord
from benchbird.report.figures.value import Table
from benchbird.report.texts import MISSING, amount, name, span

_MIB = 2**20


def expense_table(records: Sequence[TrialRecord], order: Mapping[str, int]) -> Table:
    """A row a segmenter: the time of a trial, its largest memory, the time of all its trials.

    Args:
        records: of ended trials.
        order: label → place of its segmenter; one without comes last.
    """
    rows = []
    for label in sorted({one.segmenter.label for one in records}, key=lambda one: (order.get(one, len(order)), one)):
        own = [one for one in records if one.segmenter.label == label]
        done = [one.duration_s for one in own if one.status == "done"]
        rows.append(
            (
                name(label),
                str(len(own)),
                amount(statistics.median(done)) if done else MISSING,
                _mebibytes(own),
                amount(sum(one.duration_s for one in own)),
            )
        )
    headings = ("segmenter", "trials", "time of a trial, s", "peak memory, MiB", "time of all trials, s")
    return Table(headings, tuple(rows))


def trial_table(records: Sequence[TrialRecord], order: Mapping[str, int]) -> Table:
    """A row a trial."""
    shown = sorted(records, key=lambda one: (order.get(one.segmenter.label, len(order)), one.segmenter.label, one.seed))
    rows = tuple(
        (
            name(one.segmenter.label),
            str(one.seed),
            one.status.replace("_", " "),
            amount(one.duration_s),
            _mebibytes([one]),
            str(one.attempts),
        )
        for one in shown
    )
    return Table(("segmenter", "seed", "state", "time, s", "peak memory, MiB", "attempts"), rows, texts=(0, 2))


def total_time(records: Sequence[TrialRecord]) -> str:
    """A sentence on the time of all trials together."""
    trials = "The trial" if len(records) == 1 else f"The {len(records)} trials together"
    return (
        f"{trials} took {span(sum(one.duration_s for one in records))} of wall-clock time: training, testing and "
        "timing. Of trials that ran side by side, each counts in full."
    )


def _mebibytes(records: Sequence[TrialRecord]) -> str:
    peaks = [one.timing.peak_memory_bytes for one in records if one.timing is not None]
    return amount(max(peaks) / _MIB) if peaks else MISSING
