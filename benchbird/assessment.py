"""What the trials of a study say together: intervals over seeds and recordings, and who differs from whom.

Owns how readings become estimates and comparisons. The mathematics is `statistics/`'s, the words are
`verdict.py`'s, the order of rows `leaderboard.py`'s.
"""

from __future__ import annotations

import statistics as plain_statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from benchbird.readings import Reading
from benchbird.standings import Comparison, Estimate
from benchbird.statistics.crossed import Interval, crossed_interval
from benchbird.statistics.difference import Difference, paired_difference, probability_of_beating
from benchbird.statistics.jackknife import MIN_RECORDINGS
from benchbird.statistics.multiple import compact_letters, holm, rank_intervals
from benchbird.statistics.pairs import detectable_differences, paired_differences, probabilities_of_beating
from benchbird.verdict import of_one_seed, verdict

ASSESSMENT_VERSION = 5
"""Changes when the same readings give another assessment."""

ALPHA = 0.05

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One segmenter's trials.

    Attributes:
        label: its name in the leaderboard.
        scores: seed → score on test; None where it is undefined.
        readings: seed → reading, for the seeds whose predictions could be read.
    """

    label: str
    scores: Mapping[int, float | None]
    readings: Mapping[int, Reading]


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """What can be said of a study's segmenters, best first.

    Attributes:
        estimates: label → score with its interval.
        comparisons: every pair that has common seeds; first the one that is better on those.
        letters: label → letters; empty where no pair has a verdict.
        ranks: label → best and worst rank that the comparisons leave open; empty likewise.
        detectable: median of the comparisons' detectable differences.
        verdict: the same in words, a sentence each.
    """

    estimates: Mapping[str, Estimate]
    comparisons: tuple[Comparison, ...]
    letters: Mapping[str, str]
    ranks: Mapping[str, tuple[int, int]]
    detectable: float | None
    verdict: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Everything of a leaderboard that follows from its trials' scores and readings.

    Attributes:
        assessment: by the score that ranks.
        beside: name of another score → label → estimate.
    """

    assessment: Assessment
    beside: Mapping[str, Mapping[str, Estimate]]


def assess(contenders: Sequence[Contender], *, higher_is_better: bool = True) -> Assessment:
    """Assess the segmenters of one study.

    Args:
        contenders: each label once, in any order; readings of one study share their recordings.
        higher_is_better: of the score.
    """
    estimates = {one.label: estimate(one) for one in contenders}
    order = sorted(
        (one for one in contenders if estimates[one.label].mean is not None),
        key=lambda one: (-_height(estimates[one.label], higher_is_better), one.label),
    )
    compared = _comparable(order, estimates)
    pairs = [
        _better_first(*pair, higher_is_better=higher_is_better)
        for pair in combinations(compared, 2)
        if common_seeds(*pair)
    ]
    differences = _differences(pairs)
    adjusted = holm_adjusted([difference.p_value for difference in differences])
    n_known = sum(difference.p_value is not None for difference in differences)
    detected = detectable_differences(differences, alpha=ALPHA / max(n_known, 1))
    comparisons = tuple(
        _comparison(first, second, difference, p_adjusted, gap, probability)
        for (first, second), difference, p_adjusted, gap, probability in zip(
            pairs, differences, adjusted, detected, _probabilities(pairs), strict=True
        )
    )
    labels = [one.label for one in compared]
    is_decided = bool(comparisons) and all(one.covers == "seeds and recordings" for one in comparisons)
    is_decided &= len(comparisons) == len(compared) * (len(compared) - 1) // 2
    letters, ranks = _groups(labels, comparisons) if is_decided else ({}, {})
    apart = [one.label for one in order if one not in compared]
    detectable = [one.detectable for one in comparisons if is_decided and one.detectable is not None]
    return Assessment(
        estimates=estimates,
        comparisons=comparisons,
        letters=letters,
        ranks={} if apart else ranks,
        detectable=plain_statistics.median(detectable) if detectable else None,
        verdict=(
            *verdict(labels, comparisons, differences, is_decided=is_decided, alpha=ALPHA),
            *map(of_one_seed, apart),
        ),
    )


def _comparable(order: Sequence[Contender], estimates: Mapping[str, Estimate]) -> list[Contender]:
    """Those with two seeds or more, where there are two such: one seed more must not cost the others their verdict."""
    several = [one for one in order if estimates[one.label].n > 1]
    return several if len(several) > 1 else list(order)


def _better_first(first: Contender, second: Contender, *, higher_is_better: bool) -> tuple[Contender, Contender]:
    """The pair by its mean on common seeds, which may be another order than that on all seeds of each."""
    seeds = common_seeds(first, second)
    difference = sum((first.scores[seed] or 0.0) - (second.scores[seed] or 0.0) for seed in seeds)
    is_worse = difference < 0 if higher_is_better else difference > 0
    return (second, first) if is_worse else (first, second)


def _height(estimate: Estimate, higher_is_better: bool) -> float:
    assert estimate.mean is not None, "callers leave the others out"
    return estimate.mean if higher_is_better else -estimate.mean


def estimate(contender: Contender) -> Estimate:
    """A segmenter's score over its seeds, with the widest design that all of its seeds can carry."""
    known = {seed: score for seed, score in sorted(contender.scores.items()) if score is not None}
    values = list(known.values())
    mean = plain_statistics.fmean(values) if values else None
    sd = plain_statistics.stdev(values) if len(values) > 1 else None
    if not values:
        return Estimate(mean=None, sd=None, n=0, reason="no seed has this score")
    interval = interval_of(contender)
    return Estimate(
        mean=mean,
        sd=sd,
        n=len(values),
        low=None if interval.low is None else max(interval.low, 0.0),
        high=None if interval.high is None else min(interval.high, 1.0),
        covers=interval.covers,
        reason=interval.reason,
    )


def interval_of(contender: Contender) -> Interval:
    """Interval of the mean over the seeds with a score, of which there is one at least."""
    known = {seed: score for seed, score in sorted(contender.scores.items()) if score is not None}
    left_out = _left_out(contender, tuple(known))
    if left_out is None:
        alone = crossed_interval(np.array(list(known.values())), None)
        return replace(alone, reason=_why_without_recordings(alone, known, contender))
    sizes = contender.readings[next(iter(known))].sizes
    return crossed_interval(np.array(list(known.values())), left_out, weights=sizes)


def _why_without_recordings(found: Interval | Difference, seeds: Iterable[int], *contenders: Contender) -> str:
    """What an interval leaves out, or why there is none, where there are no scores by recording, and why not."""
    is_read = all(seed in one.readings for one in contenders for seed in seeds)
    why = "The score is undefined without one of the recordings" if is_read else "A predictions file is missing"
    return (
        f"{why}: what other recordings would give is left out." if found.covers == "seeds" else f"{why}. {found.reason}"
    )


def _left_out(contender: Contender, seeds: Sequence[int]) -> FloatArray | None:
    """`(R, C)` of the seeds, or None where a seed has no reading or a recording can't be left out.

    Too few recordings for an interval are handed on, whatever is left without one: they are the reason to state.
    """
    if any(seed not in contender.readings for seed in seeds):
        return None
    stacked = np.stack([contender.readings[seed].left_out for seed in seeds])
    return stacked if stacked.shape[1] < MIN_RECORDINGS or np.isfinite(stacked).all() else None


def common_seeds(first: Contender, second: Contender) -> tuple[int, ...]:
    """The seeds that have a score on both sides, ascending."""
    return tuple(
        seed
        for seed in sorted(first.scores.keys() & second.scores.keys())
        if first.scores[seed] is not None and second.scores[seed] is not None
    )


def difference_between(first: Contender, second: Contender) -> Difference:
    """`first` minus `second` on their common seeds, of which there is one at least, and the same recordings."""
    seeds = common_seeds(first, second)
    scores_first, scores_second = (
        np.array([one.scores[seed] for seed in seeds], dtype=np.float64) for one in (first, second)
    )
    without_first, without_second = _left_out(first, seeds), _left_out(second, seeds)
    if without_first is None or without_second is None:
        alone = paired_difference(scores_first, scores_second, None, None)
        return replace(alone, reason=_why_without_recordings(alone, seeds, first, second))
    sizes = first.readings[seeds[0]].sizes
    return paired_difference(scores_first, scores_second, without_first, without_second, weights=sizes)


def _differences(pairs: Sequence[tuple[Contender, Contender]]) -> list[Difference]:
    """`difference_between` of each; pairs with the same seeds at once, where every recording can be left out."""
    found: dict[int, Difference] = {}
    for seeds, places in _by_seeds(pairs).items():
        left_out = {one.label: _left_out(one, seeds) for one in _members(pairs, places)}
        without = {label: array for label, array in left_out.items() if array is not None}
        whole = [place for place in places if all(one.label in without for one in pairs[place])]
        members = _members(pairs, whole)
        differences = paired_differences(
            np.array([[one.scores[seed] for seed in seeds] for one in members], dtype=np.float64),
            [without[one.label] for one in members],
            _places(pairs, whole, members),
            weights=[one.readings[seeds[0]].sizes for one in members],
        )
        found |= zip(whole, differences, strict=True)
    return [found.get(place) or difference_between(*pair) for place, pair in enumerate(pairs)]


def _probabilities(pairs: Sequence[tuple[Contender, Contender]]) -> list[float | None]:
    """`probability_between` of each; pairs with the same seeds at once, where every one has a reading."""
    found: dict[int, float | None] = {}
    for seeds, places in _by_seeds(pairs).items():
        whole = [place for place in places if all(one.readings.keys() >= set(seeds) for one in pairs[place])]
        members = _members(pairs, whole)
        cells = [[one.readings[seed].alone for seed in seeds] for one in members]
        found |= zip(whole, probabilities_of_beating(cells, _places(pairs, whole, members)), strict=True)
    return [found[place] if place in found else probability_between(*pair) for place, pair in enumerate(pairs)]


def _by_seeds(pairs: Sequence[tuple[Contender, Contender]]) -> dict[tuple[int, ...], list[int]]:
    """Common seeds → the places of the pairs that have them."""
    places: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        places[common_seeds(*pair)].append(place)
    return places


def _members(pairs: Sequence[tuple[Contender, Contender]], places: Sequence[int]) -> list[Contender]:
    """Everyone in these pairs, once."""
    return list({one.label: one for place in places for one in pairs[place]}.values())


def _places(
    pairs: Sequence[tuple[Contender, Contender]], places: Sequence[int], members: Sequence[Contender]
) -> list[tuple[int, int]]:
    """These pairs by the places of both among the members."""
    place_of = {one.label: place for place, one in enumerate(members)}
    return [(place_of[first.label], place_of[second.label]) for first, second in map(pairs.__getitem__, places)]


def holm_adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values; a pair without one doesn't count."""
    known = [index for index, p in enumerate(p_values) if p is not None]
    corrected = holm([p for p in p_values if p is not None])
    result: list[float | None] = [None] * len(p_values)
    for index, p in zip(known, corrected, strict=True):
        result[index] = p
    return result


def _within_scale(gap: float | None) -> float | None:
    """A gap of scores in [0, 1], or None for one that can't be: two seeds may ask for more."""
    return gap if gap is not None and gap < 1 else None


def _comparison(
    first: Contender,
    second: Contender,
    difference: Difference,
    p_adjusted: float | None,
    detectable: float | None,
    probability: float | None,
) -> Comparison:
    covers_both = difference.covers == "seeds and recordings"
    return Comparison(
        first=first.label,
        second=second.label,
        difference=difference.mean,
        low=difference.low,
        high=difference.high,
        p_value=difference.p_value,
        p_adjusted=p_adjusted,
        is_separable=covers_both and p_adjusted is not None and p_adjusted < ALPHA,
        probability=probability,
        n_seeds=difference.n_seeds,
        n_recordings=difference.n_recordings,
        detectable=_within_scale(detectable) if covers_both else None,
        covers=difference.covers,
        reason=difference.reason,
    )


def probability_between(first: Contender, second: Contender) -> float | None:
    """That `first` scores higher on a random recording with a random common seed; None without readings."""
    seeds = [seed for seed in common_seeds(first, second) if seed in first.readings and seed in second.readings]
    if not seeds:
        return None
    cells_first, cells_second = (np.stack([one.readings[seed].alone for seed in seeds]) for one in (first, second))
    return probability_of_beating(cells_first, cells_second)


def _groups(
    labels: Sequence[str], comparisons: Sequence[Comparison]
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    place = {label: index for index, label in enumerate(labels)}
    better = np.zeros((len(labels), len(labels)), dtype=bool)
    for one in comparisons:
        # The pair is in the order of its means on common seeds, so a separable difference has that sign.
        better[place[one.first], place[one.second]] = one.is_separable
    letters = compact_letters(better | better.T)
    return dict(zip(labels, letters, strict=True)), dict(zip(labels, rank_intervals(better), strict=True))
