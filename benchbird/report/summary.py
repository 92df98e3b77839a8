"""The page's beginning: five questions that everybody has, answered in words.

Owns the sentences. What they say was decided elsewhere: by the verdict, the comparisons, the strata.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchbird.definitions import DEFINITIONS
from benchbird.literature import SYNTHETIC
from benchbird.plain_text import plain_text
from benchbird.report.figures import pareto
from benchbird.report.images import ImageScores, Stratification
from benchbird.report.texts import amount, column_name, interval, name, score
from benchbird.score_tables import ScoreRow
from benchbird.standings import Leaderboard, Row

LEAST_RECORDINGS = 5
"""A group of fewer says little of a segmenter."""
MOST_COLUMNS_TOLD = 3
MOST_NAMED = 5
"""Of a longer list, so many are named and the others counted."""


@dataclass(frozen=True)
class Answer:
    """One question with its answer, plain text.

    Attributes:
        question: as a reader would ask.
        sentences: the answer.
        anchor: identity of the section that shows it.
    """

    question: str
    sentences: tuple[str, ...]
    anchor: str


def answers(leaderboard: Leaderboard, scores: ImageScores | None) -> tuple[Answer, ...]:
    """Who wins, is it certain, at what cost, where does it fail; how to repeat it is the page's own section."""
    return (
        Answer("Who wins?", tuple(_winner(leaderboard)), "leaderboard"),
        Answer("Is it certain?", tuple(_certainty(leaderboard)), "certainty"),
        Answer("At what cost?", tuple(_cost(leaderboard)), "cost"),
        Answer("Where does it fail?", tuple(_failings(leaderboard, scores)), "failings"),
    )


def _winner(leaderboard: Leaderboard) -> Iterator[str]:
    if leaderboard.unranked:
        yield leaderboard.unranked
        return
    if not leaderboard.rows or (best := leaderboard.rows[0]).score.mean is None:
        yield "Nobody yet: no segmenter has a score."
        return
    title = DEFINITIONS[leaderboard.metric].title
    yield f"{name(best.label)} has the best mean {title} on test: {interval(best.score)}."
    if tied := _tied(leaderboard, best):
        yield f"It can't be told apart from {_listed(tied)}: the first place is shared."
    elif best.letters and (uncompared := _uncompared(leaderboard)):
        yield f"It is better than each of the others but {_listed(uncompared)}, of which nothing can be said."
    elif best.letters and len(leaderboard.rows) > 1:
        yield "It is better than each of the others."
    yield from _other_winners(leaderboard, best)
    if weak := [name(row.label) for row in leaderboard.rows if row.is_above_floor is False]:
        yield f"Not shown to be better than a floor, which learns nothing: {_listed(weak)}."
    if best.is_floor and len(leaderboard.rows) > 1:
        yield "It learns nothing by gradients: no network is shown to be better than that floor."


_OTHER_SCORES = {
    "iou_native": "IoU at the images' own size",
    "iou_image_mean": "IoU averaged over images",
    "iou_val_threshold": "IoU at each one's best threshold on validation",
}


def _other_winners(leaderboard: Leaderboard, best: Row) -> Iterator[str]:
    """What another score would say."""
    for key, words in _OTHER_SCORES.items():
        means = {row.label: getattr(row, key).mean for row in leaderboard.rows}
        known = {label: mean for label, mean in means.items() if mean is not None}
        if known and (first := max(known, key=lambda label: known[label])) != best.label:
            yield f"By {words}, {name(first)} is ahead ({score(known[first])})."


def _tied(leaderboard: Leaderboard, best: Row) -> list[str]:
    return [name(row.label) for row in leaderboard.rows if row is not best and set(row.letters) & set(best.letters)]


def _uncompared(leaderboard: Leaderboard) -> list[str]:
    """Those that no verdict is about where others have one: of a single seed, or without a score."""
    return [name(row.label) for row in leaderboard.rows if not row.letters]


def _certainty(leaderboard: Leaderboard) -> Iterator[str]:
    best = leaderboard.rows[0] if leaderboard.rows else None
    if best is None or best.score.mean is None:
        yield "There is nothing to compare: no segmenter has a score."
        return
    if best.letters and not leaderboard.unranked and len(leaderboard.rows) > 1:
        if _tied(leaderboard, best):
            yield "No: the first place is undecided."
        elif uncompared := _uncompared(leaderboard):
            yield f"Only among those that could be compared, without {_listed(uncompared)}."
        else:
            yield "Yes: the first place is decided."
    if leaderboard.verdict:
        yield plain_text(leaderboard.verdict[0], 600)
    elif len(leaderboard.rows) < 2:
        yield "There is nothing to compare: it takes two segmenters."
    pairs = len(leaderboard.comparisons)
    if pairs > 1 and any(row.letters for row in leaderboard.rows):
        apart = sum(one.is_separable for one in leaderboard.comparisons)
        yield f"Of all {pairs} pairs of segmenters, {apart} can be told apart (paired, 0.05 after Holm)."
    seeds = sorted({len(row.seeds) for row in leaderboard.rows})
    if seeds:
        count = str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        noun = "seed" if seeds == [1] else "seeds"
        yield (
            f"It rests on {count} {noun} a segmenter and {leaderboard.n_recordings_test} test recordings "
            f"({leaderboard.n_test} images)."
        )
    if leaderboard.dataset == SYNTHETIC:
        yield "The data are generated: nothing of this is shown for real recordings."


def _cost(leaderboard: Leaderboard) -> Iterator[str]:
    machine = leaderboard.machines[0] if leaderboard.machines else ""
    timed = [
        row
        for row in leaderboard.rows
        if row.machine == machine and row.score.mean is not None and row.inference_images_per_s
    ]
    if not timed:
        yield "No segmenter has both a score and a timing."
        return
    best = pareto(
        {row.label: (row.inference_images_per_s or 0.0, row.score.mean or 0.0) for row in timed},
        higher_is_better=DEFINITIONS[leaderboard.metric].higher_is_better,
    )
    by_label = {row.label: row for row in timed}
    for label in reversed(best):
        row = by_label[label]
        latency = "" if row.latency_p50_ms is None else f", {amount(row.latency_p50_ms)} ms for an image alone"
        speed = f"{amount(row.inference_images_per_s or 0.0)} images/s"
        yield f"{name(label)}: {score(row.score.mean)} at {speed}{latency}{_size(row)}."
    beaten = [name(row.label) for row in timed if row.label not in best]
    if beaten:
        yield f"Neither faster nor better than some other one: {_listed(beaten)}."
    yield f"In inference, in batches of {leaderboard.inference_batch_size}, on {plain_text(machine, 120)}."


def _size(row: Row) -> str:
    if row.parameters is None:
        return ""
    return f", {row.parameters / 1e6:.3g} million parameters" if row.parameters else ", without parameters"


def _failings(leaderboard: Leaderboard, scores: ImageScores | None) -> Iterator[str]:
    if scores is None:
        yield "Unknown: the trials' predictions aren't at hand."
        return
    row = next((one for one in leaderboard.rows if one.label in scores.iou), None)
    if row is None:
        yield "Unknown: no segmenter's predictions are at hand."
        return
    missed = scores.missed_share[row.label]
    if missed is not None:
        yield (
            f"Of the pixels that {name(row.label)} gets wrong, {100 * missed:.0f}\u00a0% are bird that it misses, "
            f"{100 - round(100 * missed)}\u00a0% are false alarms."
        )
    told, unclear = 0, []
    for strata in scores.strata[:MOST_COLUMNS_TOLD]:
        worst, best = _extremes(strata, row.label)
        if worst is None or best is None:
            continue
        told += 1
        column = column_name(strata.column)
        low, high = (one.estimates[row.label] for one in (worst, best))
        if low.high is None or high.low is None or low.high >= high.low:
            unclear.append(column)
            continue
        yield (
            f"By {column}, its IoU is lowest on {plain_text(worst.name, 40)}, {interval(low)}, and highest on "
            f"{plain_text(best.name, 40)}, {interval(high)}."
        )
    if unclear:
        yield f"No clear difference by {_listed(unclear)} (groups of {LEAST_RECORDINGS} recordings and more)."
    if not told:
        yield "The data set knows nothing of its images by which they could be grouped."


def _extremes(strata: Stratification, label: str) -> tuple[ScoreRow | None, ScoreRow | None]:
    """The groups with the lowest and the highest score, of those with enough recordings."""
    known = [
        (mean, row)
        for row in strata.rows
        if row.n_recordings >= LEAST_RECORDINGS and (mean := row.estimates[label].mean) is not None
    ]
    if len(known) < 2:
        return None, None
    known.sort(key=lambda one: one[0])
    return known[0][1], known[-1][1]


def _listed(names: Sequence[str]) -> str:
    if len(names) > MOST_NAMED + 1:
        return f"{', '.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
