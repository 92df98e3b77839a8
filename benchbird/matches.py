"""One segmenter before and after: the difference, whether it may be called a regression, and if not why.

Owns what a difference may be called. Differences are A before, B after, B - A. The mathematics is
`assessment.py`'s, the sentences `comparison_report.py`'s.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from benchbird.assessment import (
    ALPHA,
    Contender,
    common_seeds,
    difference_between,
    holm_adjusted,
    interval_of,
    probability_between,
)
from benchbird.changes import Change
from benchbird.statistics.difference import Difference, independent_difference
from benchbird.statistics.planning import detectable_difference

Outcome = Literal["regression", "improvement", "no difference", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Match:
    """One segmenter before and after; scores in the metric's unit.

    Attributes:
        before: label in A.
        after: label in B.
        seeds_before: seeds of A that count; the common ones where the test data are the same.
        seeds_after: seeds of B that count.
        mean_before: over those seeds; None without any.
        mean_after: likewise.
        difference: B - A, None where nothing can be compared.
        low: lower end of its 95 % interval, or None.
        high: upper end.
        p_value: two-sided, of this match alone; None where the design carries none.
        p_adjusted: after Holm's correction for all matches that can be decided; None if this one can't.
        probability: that B scores higher on a random recording with a random seed, ties half; None if unknown.
        n_recordings: test recordings, of other test data the fewer; 0 where predictions are missing.
        detectable: smallest true difference that would be seen four times in five; None if unknown.
        covers: as in `standings.Estimate`.
        outcome: what may be said; `undecided` is no statement about the difference.
        reason: why it is undecided; empty otherwise.
        changes: what differs in the segmenter itself.
    """

    before: str
    after: str
    seeds_before: tuple[int, ...]
    seeds_after: tuple[int, ...]
    mean_before: float | None
    mean_after: float | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    p_adjusted: float | None = None
    probability: float | None = None
    n_recordings: int = 0
    detectable: float | None = None
    covers: str = "nothing"
    outcome: Outcome = "undecided"
    reason: str = ""
    changes: tuple[Change, ...] = ()


def find_matches(
    pairs: Sequence[tuple[Contender, Contender]], *, apart: str, withheld: str, higher_is_better: bool
) -> Iterator[Match]:
    """The matches of these pairs, their `changes` still empty.

    Args:
        pairs: of A and of B.
        apart: why the two sides were not tested on the same; empty where they were, and share recordings.
        withheld: why no difference may be called anything; empty where it may.
        higher_is_better: of the score.
    """
    differences = [_difference(one, other, apart) for one, other in pairs]
    reasons = [_why_undecided(*pair, difference, withheld) for pair, difference in zip(pairs, differences, strict=True)]
    # What can't be decided is no member of the family, so that it costs the others nothing.
    p_values = [
        one.p_value if one is not None and not why else None for one, why in zip(differences, reasons, strict=True)
    ]
    alpha = ALPHA / max(sum(p is not None for p in p_values), 1)
    for pair, one, why, adjusted in zip(pairs, differences, reasons, holm_adjusted(p_values), strict=True):
        match = _bare_match(*pair, apart, why)
        if one is not None:
            match = replace(
                match,
                difference=one.mean,
                low=one.low,
                high=one.high,
                p_value=one.p_value,
                p_adjusted=adjusted,
                n_recordings=one.n_recordings,
                detectable=None if why else detectable_difference(one, alpha=alpha),
                covers=one.covers,
                outcome="undecided" if why else _outcome(one.mean, adjusted, higher_is_better),
            )
        yield match


def _difference(one: Contender, other: Contender, apart: str) -> Difference | None:
    """`other` - `one`, None where there are no seeds to compare."""
    if not all(_seeds(one, other, apart)):
        return None
    if apart:
        return independent_difference(interval_of(other), interval_of(one))
    return difference_between(other, one)


def _seeds(one: Contender, other: Contender, apart: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Seeds that count: those in common, or all of both where nothing else is in common either."""
    if apart:
        return _scored(one), _scored(other)
    return (common_seeds(one, other),) * 2


def _scored(contender: Contender) -> tuple[int, ...]:
    return tuple(sorted(seed for seed, score in contender.scores.items() if score is not None))


def _why_undecided(one: Contender, other: Contender, difference: Difference | None, withheld: str) -> str:
    """Why nothing may be said of a difference, a clause; empty where something may."""
    if difference is None:
        for name, contender in (("A", one), ("B", other)):
            if not _scored(contender):
                return f"no seed has this score in {name}"
        seeds = [", ".join(map(str, _scored(contender))) for contender in (one, other)]
        return f"no seed in common (A has {seeds[0]}; B has {seeds[1]}), so run both with the same --seeds"
    if withheld:
        return withheld
    if difference.n_seeds == 1:
        return (
            "with one seed nobody knows how much a second one would differ, so this speaks of these trained "
            "weights, not of the segmenter; run both with --seeds 0,1,2 or more"
        )
    if difference.covers == "seeds":
        is_read = all(seed in some.readings for some in (one, other) for seed in common_seeds(one, other))
        what = "the score is undefined without one of the recordings" if is_read else "predictions files are missing"
        return f"{what}, so that what other recordings would give is left out"
    return "" if difference.covers == "seeds and recordings" else difference.reason.rstrip(".")


def _bare_match(one: Contender, other: Contender, apart: str, reason: str) -> Match:
    """A match before anything is said of its difference."""
    seeds_before, seeds_after = _seeds(one, other, apart)
    return Match(
        before=one.label,
        after=other.label,
        seeds_before=seeds_before,
        seeds_after=seeds_after,
        mean_before=_mean(one, seeds_before),
        mean_after=_mean(other, seeds_after),
        probability=None if apart else probability_between(other, one),
        reason=reason,
    )


def _mean(contender: Contender, seeds: Sequence[int]) -> float | None:
    scores = [score for seed in seeds if (score := contender.scores[seed]) is not None]
    return statistics.fmean(scores) if scores else None


def _outcome(difference: float, p_adjusted: float | None, higher_is_better: bool) -> Outcome:
    if p_adjusted is None or p_adjusted >= ALPHA:
        return "no difference"
    return "improvement" if (difference > 0) == higher_is_better else "regression"
