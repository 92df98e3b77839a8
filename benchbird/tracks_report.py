"""Two tracks of a benchmark as text and as a document.

Owns wording and layout; what is compared is `tracks.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from benchbird.definitions import DEFINITIONS
from benchbird.index import Index
from benchbird.ranking import rank_study
from benchbird.reporters.columns import MISSING, headline_text, score_text, shown_name
from benchbird.reporters.markdown import table
from benchbird.standings import Estimate, Leaderboard
from benchbird.tracks import TrackRow, Tracks, compare_tracks
from benchbird.tuning import TunedTrack

_CHOSEN = "✓"

_MOST_PAIRS = 10
"""Pairs that a sentence names; of more it says how many there are."""


def lay_side_by_side(track: TunedTrack, tuned: Leaderboard, index: Index) -> Tracks | None:
    """The tuned track beside the fixed one; None where nothing of the fixed one has ended, or no rate is chosen.

    Args:
        track: the tuned one.
        tuned: its leaderboard.
        index: where answers are remembered.

    Raises:
        ResultsError: as `rank_study`.
    """
    if not track.fixed or not track.choices:
        return None
    return compare_tracks(
        rank_study(track.fixed, index, tuned.metric).leaderboard,
        tuned,
        track.choices,
        seed=track.rule.tuning.seed,
        fixed_rate=track.rule.fixed_rate,
    )


def tracks_document(tracks: Tracks) -> dict[str, Any]:
    """Both tracks for a program."""
    rows = [
        {
            **asdict(replace(row, validation={})),
            "validation": [{"lr": rate, "score": score} for rate, score in row.validation.items()],
            "change": row.change,
        }
        for row in tracks.rows
    ]
    return {**asdict(replace(tracks, rows=())), "order_holds": tracks.order_holds, "rows": rows}


def tracks_text(tracks: Tracks, metric: str) -> str:
    """Both tracks in Markdown: scores and places, whether the order holds, and what each rate came to.

    Args:
        tracks: to be shown.
        metric: name of the score that ranks both.
    """
    lines = [tracks_summary(tracks)]
    if tracks.rows:
        validation = f"Validation scores of each rate, and which was chosen ({_CHOSEN}); these are no results:"
        tables = (tracks_cells(tracks, metric), validation_cells(tracks))
        both, rates = (table(headings, body) for headings, body in tables)
        verdict = tracks_verdict(tracks)
        lines += [both, *([" ".join(verdict)] if verdict else []), validation, rates]
    return "\n\n".join(lines) + "\n"


def tracks_summary(tracks: Tracks) -> str:
    """What the two tracks are, a sentence or two."""
    if not tracks.rows:
        return "Both tracks: no network's search for a learning rate is complete yet."
    return (
        f"Both tracks: every network at lr {tracks.fixed_rate:g} (fixed), and each at the one of "
        f"{len(tracks.rows[0].validation)} rates that seed {tracks.seed} found best on validation (tuned). "
        "Places are among the networks that have the same seeds in both."
    )


def tracks_cells(tracks: Tracks, metric: str) -> tuple[list[str], list[list[str]]]:
    """Headings, and the texts of each network: its rate, its place and score in either track, and what that changed."""
    title = DEFINITIONS[metric].title
    headings = ["segmenter", "lr", "fixed #", f"fixed {title}", "tuned #", f"tuned {title}", "change"]
    body = [
        [
            shown_name(row.label),
            _rate_text(row),
            _place_text(row.fixed_place),
            _score_text(row.fixed),
            _place_text(row.tuned_place),
            _score_text(row.tuned),
            MISSING if row.change is None else f"{row.change:+.3f}".replace("-", "−"),
        ]
        for row in tracks.rows
    ]
    return headings, body


def validation_cells(tracks: Tracks) -> tuple[list[str], list[list[str]]]:
    """Headings, and the validation score of each network with each rate, the chosen one marked."""
    rates = sorted({rate for row in tracks.rows for rate in row.validation})

    def text(row: TrackRow, rate: float) -> str:
        shown = score_text(row.validation.get(rate))
        return f"{_CHOSEN} {shown}" if rate == row.rate else shown

    body = [[shown_name(row.label), *(text(row, rate) for rate in rates)] for row in tracks.rows]
    return ["segmenter", *(f"{rate:g}" for rate in rates)], body


def _rate_text(row: TrackRow) -> str:
    if row.rate is None:
        return MISSING
    return f"{row.rate:g}{' (edge)' if row.is_at_edge else ''}"


def _place_text(place: int | None) -> str:
    return MISSING if place is None else str(place)


def _score_text(score: Estimate | None) -> str:
    return MISSING if score is None else headline_text(score)


def tracks_verdict(tracks: Tracks) -> list[str]:
    """Whether the order holds, and what the marks mean; a sentence each."""
    both = [row for row in tracks.rows if row.fixed_place is not None and row.tuned_place is not None]
    sentences = [tracks.unranked] if tracks.unranked else []
    if tracks.order_holds is not None:
        tau = "" if tracks.kendall_tau is None else f" (Kendall's τ {tracks.kendall_tau:.2f})"
        if tracks.order_holds:
            networks = "both networks" if len(both) == 2 else f"all {len(both)} networks"
            sentences.append(f"The order holds: {networks} have the same place in either track.")
        else:
            moved = sum(row.fixed_place != row.tuned_place for row in both)
            sentences.append(
                f"The order doesn't hold as it stands: {moved} of {len(both)} networks change their place{tau}."
            )
        sentences += _pair_sentences(tracks)
    apart = [row for row in tracks.rows if row.fixed is not None and row.tuned is not None and not row.has_same_seeds]
    if apart:
        sentences.append(f"Of other seeds in either track, so without place and change: {_listed(apart)}.")
    if lone := [row for row in tracks.rows if row.rate is not None and (row.fixed is None or row.tuned is None)]:
        sentences.append(f"Not in both tracks in one version: {_listed(lone)}.")
    if any(row.is_at_edge for row in tracks.rows):
        sentences.append("(edge): the smallest or largest rate that was tried; a better one may lie beyond.")
    if missing := [row for row in tracks.rows if row.rate is None]:
        sentences.append(f"No rate has a score on validation: {_listed(missing)}.")
    return sentences


def _listed(rows: Sequence[TrackRow]) -> str:
    return ", ".join(shown_name(row.label) for row in rows)


def _pair_sentences(tracks: Tracks) -> list[str]:
    if not tracks.is_tested:
        return ["No pair of networks was tested in both tracks, so whether places differ by more than noise is open."]
    sentences = []
    if tracks.reversed_pairs:
        pairs = _pairs_text(tracks.reversed_pairs)
        sentences.append(f"Reversed, and separable in both: {pairs} (the first one is better in the fixed track).")
    else:
        sentences.append("No pair that is separable in both tracks is reversed.")
    for found, where in ((tracks.newly_separable, "tuned"), (tracks.no_longer_separable, "fixed")):
        if found:
            sentences.append(f"Separable in the {where} track alone, the better one first: {_pairs_text(found)}.")
    return sentences


def _pairs_text(pairs: Sequence[tuple[str, str]]) -> str:
    if len(pairs) > _MOST_PAIRS:
        return f"{len(pairs)} pairs"
    return "; ".join(f"{shown_name(first)} and {shown_name(second)}" for first, second in pairs)
