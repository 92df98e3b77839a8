"""The verdict in words: who is better, who isn't separable, and what it would take.

Owns the sentences, plain text of one line each. What they say is decided in `assessment.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from benchbird.plain_text import plain_text
from benchbird.standings import Comparison
from benchbird.statistics.difference import Difference
from benchbird.statistics.jackknife import MIN_RECORDINGS
from benchbird.statistics.planning import recordings_needed, seeds_needed

MOST_FOR_ALL_PAIRS = 5
"""With more segmenters, each is compared with the best in words, and rank intervals say the rest."""

GAP_OF_INTEREST = 0.02
"""Differences that papers report as progress: two points."""

MOST_SEEDS = 100


def verdict(
    labels: Sequence[str],
    comparisons: Sequence[Comparison],
    differences: Sequence[Difference],
    *,
    is_decided: bool,
    alpha: float,
) -> tuple[str, ...]:
    """What can be said of the ranking.

    Args:
        labels: the ranked segmenters, best first.
        comparisons: every pair with common seeds.
        differences: of the same pairs, as the planning of further seeds needs them.
        is_decided: whether every pair has seeds and recordings accounted for.
        alpha: share of studies of equal segmenters that may find any two of them separable.
    """
    if len(labels) < 2:
        return ()
    if not comparisons:
        return ("No verdict: no two segmenters have a seed in common; run all of them with the same --seeds.",)
    if not is_decided:
        return (_why_none(labels, comparisons),)
    pairs = zip(comparisons, differences, strict=True)
    return tuple(_sentence(one, how, alpha / len(comparisons)) for one, how in pairs if _is_told(one, labels))


def of_one_seed(label: str) -> str:
    """What is said of a segmenter with one seed among others with several."""
    return f"{plain_text(label, 60)} has one seed and is compared with nobody; run it with the seeds of the others."


def _is_told(comparison: Comparison, labels: Sequence[str]) -> bool:
    # As sets: on the common seeds a pair may stand the other way round than in the ranking.
    pair = {comparison.first, comparison.second}
    if len(labels) > MOST_FOR_ALL_PAIRS:
        return labels[0] in pair
    return not comparison.is_separable or pair in map(set, pairwise(labels))


def _why_none(labels: Sequence[str], comparisons: Sequence[Comparison]) -> str:
    if len(comparisons) < len(labels) * (len(labels) - 1) // 2:
        return "No verdict: some segmenters have no seed in common; run all of them with the same --seeds."
    seeds = min(one.n_seeds for one in comparisons)
    recordings = min(one.n_recordings for one in comparisons)
    if recordings == 0:
        reasons = sorted({plain_text(one.reason, 200).rstrip(".") for one in comparisons if not one.n_recordings})
        return f"No verdict. {'. '.join(reasons)}."
    if recordings < MIN_RECORDINGS:
        there = f"there {'is' if recordings == 1 else 'are'} {recordings}"
        seeds_too = " and at least 2 common seeds, better 3 or more (--seeds 0,1,2)" if seeds < 2 else ""
        return f"No verdict: it takes at least {MIN_RECORDINGS} test recordings ({there}){seeds_too}."
    several = any(one.n_seeds > 1 for one in comparisons)
    return (
        f"No verdict: with one seed{' in common' if several else ''} nobody knows how much a second one would differ. "
        "Such an interval covers the test recordings alone and speaks of these trained weights, not of the "
        "segmenters; run --seeds 0,1,2 or more."
    )


def _sentence(comparison: Comparison, difference: Difference, alpha: float) -> str:
    first, second = (plain_text(label, 60) for label in (comparison.first, comparison.second))
    gap = f"{points(comparison.difference)} points"
    if comparison.low is not None and comparison.high is not None:
        gap += f", 95 % interval {points(comparison.low)} to {points(comparison.high)}"
    if comparison.probability is not None:
        gap += f", {first} scores higher on {100 * comparison.probability:.0f} % of recordings"
    design = f"{_count(comparison.n_recordings, 'recording')} with {_count(comparison.n_seeds, 'seed')}"
    if comparison.is_separable:
        return f"{first} is better than {second} on {design} ({gap}; {p_text(comparison.p_adjusted)} after Holm)."
    if comparison.low == comparison.high == 0:
        return f"{first} and {second} are not separable on {design}: their scores are the same everywhere."
    sentence = f"{first} and {second} are not separable on {design} ({gap})"
    if comparison.detectable is not None:
        sentence += f"; a gap of {points(comparison.detectable)} points would be, four times in five"
    return f"{sentence}; {_what_it_takes(difference, alpha)}."


def _what_it_takes(difference: Difference, alpha: float) -> str:
    gap = f"{points(GAP_OF_INTEREST, 0)} points"
    seeds = seeds_needed(difference, GAP_OF_INTEREST, alpha=alpha)
    if seeds is not None and seeds <= difference.n_seeds:
        return f"these seeds are enough to decide {gap}"
    if seeds is not None and seeds <= MOST_SEEDS:
        return f"about {seeds} seeds would decide {gap}"
    recordings = recordings_needed(difference, GAP_OF_INTEREST, alpha=alpha)
    if recordings is not None:
        return f"more seeds alone would not decide {gap}, about {recordings} recordings would"
    return f"neither more seeds nor more recordings alone would decide {gap}"


def points(fraction: float, decimals: int = 1) -> str:
    """A difference of scores in points, hundredths of the scale."""
    # `+ 0.0` makes a rounded −0 a 0.
    return f"{round(100 * fraction, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def p_text(p: float | None) -> str:
    """A p-value with its sign of equality."""
    if p is None:
        return "p unknown"
    return "p below 0.001" if p < 0.001 else f"p = {p:.3f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
