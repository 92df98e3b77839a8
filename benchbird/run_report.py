"""What a run came to, as text and as a document: leaderboard, further test sets, the curve of a sweep.

Owns wording and layout; printing is the command's, ranking `ranking.py`'s.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchbird.further_results import FurtherRow, FurtherTable
from benchbird.ranking import Ranking
from benchbird.registry import REPORTERS, load_registry
from benchbird.reporters.columns import MISSING, headline_text, interval_text
from benchbird.reporters.markdown import table
from benchbird.reporters.rendering import find_reporter, render_leaderboard
from benchbird.sweep import Sweep, curve
from benchbird.tracks import Tracks
from benchbird.tracks_report import tracks_document, tracks_text


@dataclass(frozen=True)
class Outcome:
    """What one benchmark's run came to.

    Attributes:
        code: exit code.
        document: what `--json` says of it.
        ranking: its leaderboard; None after a dry run.
        folder: where its study lies; the benchmark's folder for pooled folds.
        further: the ranked study's scores on further test sets.
        report: the page that was written; None where none was.
        fixed: of a tuned track, what the fixed one came to.
        tracks: of a tuned track, both of them side by side.
    """

    code: int
    document: dict[str, Any]
    ranking: Ranking | None
    folder: Path
    further: FurtherTable = field(default_factory=FurtherTable)
    report: Path | None = None
    fixed: Outcome | None = None
    tracks: Tracks | None = None

    @property
    def notices(self) -> tuple[str, ...]:
        """Lines for stderr."""
        before = self.fixed.notices if self.fixed is not None else ()
        return (*before, *(self.ranking.notices if self.ranking is not None else ()), *self.further.faults)


def outcome_document(outcome: Outcome) -> dict[str, Any]:
    """What `--json` says of one benchmark's run."""
    if outcome.ranking is None:
        return outcome.document
    further = [asdict(row) for row in outcome.further.rows]
    leaderboard = json.loads(_rendered(outcome.ranking, "json"))
    report = None if outcome.report is None else str(outcome.report)
    document = {**outcome.document, "report": report, "leaderboard": leaderboard, "further_tests": further}
    if outcome.fixed is not None:
        document["fixed"] = outcome_document(outcome.fixed)
    if outcome.tracks is not None:
        document["tracks"] = tracks_document(outcome.tracks)
    return document


def outcome_text(outcome: Outcome) -> str:
    """The leaderboard as Markdown, with the further test sets below it, of two tracks both; empty after a dry run."""
    if outcome.ranking is None:
        return ""
    text = _rendered(outcome.ranking, "markdown") + _further_text(outcome.further)
    if outcome.fixed is not None:
        text = f"# Fixed track\n\n{outcome_text(outcome.fixed)}\n# Tuned track\n\n{text}"
    if outcome.tracks is not None:
        text += f"\n# Both tracks\n\n{tracks_text(outcome.tracks, outcome.ranking.leaderboard.metric)}"
    return text


def _rendered(ranking: Ranking, reporter: str) -> str:
    offer = find_reporter(load_registry(groups={REPORTERS}), reporter)
    return render_leaderboard(offer, ranking.leaderboard)


def _further_text(further: FurtherTable) -> str:
    if not further.rows:
        return ""

    def number(value: float | None) -> str:
        return MISSING if value is None else f"{value:.3f}"

    def name(row: FurtherRow) -> str:
        return f"{row.test} (leaks)" if row.is_leaking else row.test

    body = [[name(row), row.label, number(row.mean), number(row.sd), str(row.n)] for row in further.rows]
    headings = ["test set", "segmenter", "mean", "sd", "n"]
    shown = table(headings, body, [False, False, True, True, True])
    leaking = any(row.is_leaking for row in further.rows)
    note = "\n(leaks): recordings of the set are trained or selected on, so its scores flatter.\n" if leaking else ""
    return f"\nThe same weights on further test sets, IoU pooled:\n\n{shown}\n{note}"


def sweep_document(sweep: Sweep, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What `--json` says of a sweep."""
    runs = [{"value": value, **outcome_document(one)} for value, one in zip(sweep.values, outcomes, strict=True)]
    return {"sweep": sweep.key, "runs": runs}


def sweep_text(sweep: Sweep, outcomes: Sequence[Outcome]) -> str:
    """The leaderboard of each value, then the curve: one line a value, one column a segmenter."""
    parts = [
        f"{sweep.override(value)}\n\n{outcome_text(one)}\n" for value, one in zip(sweep.values, outcomes, strict=True)
    ]
    leaderboards = [one.ranking.leaderboard for one in outcomes if one.ranking is not None]
    labels, points = curve(leaderboards)
    body = []
    for value, point in zip(sweep.values, points, strict=True):
        shown = [point.get(label) for label in labels]
        texts = [f"{headline_text(one)}, {interval_text(one)}" if one is not None else MISSING for one in shown]
        body.append([value, *texts])
    note = f"{leaderboards[0].metric} on test with its 95 % interval; each line is a study of its own.\n"
    return "".join(parts) + table([sweep.key, *labels], body) + "\n\n" + note
