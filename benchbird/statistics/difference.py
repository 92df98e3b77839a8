"""Is one segmenter better than another: the difference of two means, its interval and its p-value.

On common seeds and recordings the differences are analysed as one crossed design, so that what is hard for
both cancels. Interval and p-value agree with each other: p < 1 - level where 0 lies outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchbird.statistics.crossed import Covers, Interval, covered
from benchbird.statistics.design import checked_design, checked_level, checked_recordings_df, checked_scores
from benchbird.statistics.jackknife import MIN_RECORDINGS, mean_squares, rounding_variance
from benchbird.statistics.spread import Spread, crossed_spread, seed_spread
from benchbird.statistics.student import FloatArray, banerjee_half_width, banerjee_p_value, satterthwaite

NO_SPREAD = "Every seed gives the same difference: without scores by recording, chance can't be told from a gap."


@dataclass(frozen=True, kw_only=True)
class Difference:
    """First mean minus second.

    Attributes:
        mean: of the difference, in the score's unit.
        low: lower end of the interval; None without one.
        high: upper end.
        standard_error: of the mean.
        degrees_of_freedom: Satterthwaite's, for information: interval and p-value take Banerjee's half-width.
        p_value: two-sided, of no difference, before any adjustment; None without an interval. 0 only where at
            least `MIN_RECORDINGS` recordings and all seeds agree on the same difference.
        covers: the sources of chance that interval and p-value speak about.
        reason: why there is no interval or what it leaves out, otherwise empty.
        n_seeds: R; of independent means the smaller.
        n_recordings: C, of independent means the smaller; 0 where scores by recording are missing.
        seed_variance: of the differences over seeds (mean square, at least its interaction), so that
            standard_error² = seed_variance / n_seeds + recording_covariance; NaN for one seed.
        recording_covariance: variance of the mean that no number of seeds lessens; >= 0, NaN where unknown.
        interaction_variance: seed x recording part of `seed_variance`, which recordings lessen; 0 if unknown.
        spread: the parts of the variance; None without an interval.
    """

    mean: float
    low: float | None
    high: float | None
    standard_error: float | None
    degrees_of_freedom: float | None
    p_value: float | None
    covers: Covers
    reason: str
    n_seeds: int
    n_recordings: int
    seed_variance: float
    recording_covariance: float
    interaction_variance: float = 0.0
    spread: Spread | None = None


def paired_difference(
    scores_a: npt.ArrayLike,
    scores_b: npt.ArrayLike,
    left_out_a: npt.ArrayLike | None,
    left_out_b: npt.ArrayLike | None,
    level: float = 0.95,
    weights: npt.ArrayLike | None = None,
) -> Difference:
    """Difference of two segmenters trained with the same seeds and scored on the same recordings.

    Args:
        scores_a: `(R,)`, of the first, one per seed.
        scores_b: `(R,)`, of the second, the same seeds in the same order.
        left_out_a: `(R, C)`, scores without recording c; None where unknown: the seeds alone decide.
        left_out_b: `(R, C)`, the same recordings in the same order; None with `left_out_a`.
        level: of the interval, in (0, 1).
        weights: `(C,)`, sizes of the recordings, as in `crossed_interval`.

    Raises:
        ValueError: shapes that don't fit each other, NaN, or a level outside (0, 1).
    """
    checked_level(level)
    if (left_out_a is None) != (left_out_b is None):
        raise ValueError("left_out: expected of both segmenters or of neither")
    if left_out_a is None or left_out_b is None:
        first, second = checked_scores(scores_a), checked_scores(scores_b)
        _check_same_shape(first, second, "scores")
        rounding = rounding_variance(first, second)
        spread = seed_spread(first - second, rounding) if len(first) > 1 else None
        return difference_of(_mean(first - second, rounding), spread, level, (len(first), 0))
    first, without_first = checked_design(scores_a, left_out_a)
    second, without_second = checked_design(scores_b, left_out_b)
    _check_same_shape(without_first, without_second, "left_out")
    mean, counts = _mean(first - second, rounding_variance(first, second)), without_first.shape
    if counts[1] < MIN_RECORDINGS:
        return difference_of(mean, None, level, counts)
    squares = mean_squares(first - second, without_first - without_second)
    rounding = rounding_variance(first, second, without_first, without_second)
    spread = crossed_spread(squares, checked_recordings_df(weights, counts[1]), rounding)
    interaction = interaction_of(float(squares.same_seed - squares.other_seed), rounding)
    return difference_of(mean, spread, level, counts, interaction=interaction)


def independent_difference(a: Interval, b: Interval, level: float = 0.95) -> Difference:
    """Difference of two means of other seeds or other recordings, taken as independent.

    The parts of the same kind are added with Welch's degrees of freedom (1947, doi 10.1093/biomet/34.1-2.28);
    of seeds alone or of recordings alone this is Welch's test. Means on the same recordings vary together, which
    this can't see: then it errs towards no difference.

    Args:
        a: of the first segmenter, from `crossed_interval` or `seed_interval`.
        b: of the second.
        level: of the interval, in (0, 1).

    Returns:
        Covers what both cover; no interval where that is nothing.

    Raises:
        ValueError: a level outside (0, 1), or an interval that carries no spread.
    """
    checked_level(level)
    for one in (a, b):
        if one.low is not None and one.spread is None:
            raise ValueError("interval without spread: expected one made by crossed_interval or seed_interval")
    counts = (min(a.n_seeds, b.n_seeds), min(a.n_recordings, b.n_recordings))
    covers, reason = _covered_by_both(a, b)
    if a.spread is None or b.spread is None or covers == "nothing":
        return difference_of(a.mean - b.mean, None, level, counts, ("nothing", reason))
    return difference_of(a.mean - b.mean, _sum(a.spread, b.spread), level, counts, (covers, reason))


def probability_of_beating(cells_a: npt.ArrayLike, cells_b: npt.ArrayLike) -> float | None:
    """Share of seeds and recordings on which the first scores higher; ties count half.

    Args:
        cells_a: `(R, C)`, score of each seed on each recording alone; NaN where it is undefined.
        cells_b: `(R, C)`, of the second, the same seeds and recordings.

    Returns:
        In [0, 1]; None where no cell is defined for both.

    Raises:
        ValueError: shapes that aren't alike or haven't two axes.
    """
    first, second = np.asarray(cells_a, dtype=np.float64), np.asarray(cells_b, dtype=np.float64)
    if first.ndim != 2:
        raise ValueError(f"cells: expected shape (R, C), found {first.shape}")
    _check_same_shape(first, second, "cells")
    defined = ~(np.isnan(first) | np.isnan(second))
    if not defined.any():
        return None
    first, second = first[defined], second[defined]
    return float(np.mean((first > second) + 0.5 * (first == second)))


def difference_of(
    mean: float,
    spread: Spread | None,
    level: float,
    counts: tuple[int, ...],
    coverage: tuple[Covers, str] | None = None,
    interaction: float = 0.0,
    inference: tuple[float, float] | None = None,
) -> Difference:
    """The difference that a mean and its spread make.

    Args:
        mean: of the difference.
        spread: of the mean; None without an interval.
        level: of the interval.
        counts: seeds and recordings.
        coverage: what it speaks about and why no more; by default what the counts allow.
        interaction: `interaction_variance`.
        inference: half-width and p-value, where they have been worked out already.
    """
    covers, reason = coverage or covered(*counts)
    if spread is not None and spread.standard_error == 0 and covers == "seeds" and mean != 0:
        spread, covers, reason = None, "nothing", NO_SPREAD
    half, p_value = (None, None) if spread is None else inference or _inference(mean, spread, level)
    seeds_known = spread is not None and math.isfinite(spread.seeds_df)
    recordings_known = spread is not None and math.isfinite(spread.recordings_df)
    return Difference(
        mean=mean,
        low=None if half is None else mean - half,
        high=None if half is None else mean + half,
        standard_error=None if spread is None else spread.standard_error,
        degrees_of_freedom=None if spread is None else spread.satterthwaite,
        p_value=p_value,
        covers=covers,
        reason=reason,
        n_seeds=counts[0],
        n_recordings=counts[1],
        seed_variance=spread.seeds * counts[0] if spread is not None and seeds_known else math.nan,
        recording_covariance=spread.recordings if spread is not None and recordings_known else math.nan,
        interaction_variance=interaction,
        spread=spread,
    )


def _inference(mean: float, spread: Spread, level: float) -> tuple[float, float]:
    """Half-width of the interval and p-value."""
    if spread.standard_error == 0:
        return 0.0, float(mean == 0)
    parts = (spread.variances, spread.degrees_of_freedom)
    return float(banerjee_half_width(*parts, 1 - level)), banerjee_p_value(abs(mean), *parts)


def _mean(differences: FloatArray, rounding: float) -> float:
    """Mean difference, exactly 0 where it is rounding: a p-value of no variance hangs on it."""
    return mean_of(float(differences.mean()), rounding)


def mean_of(mean: float, rounding: float) -> float:
    """A mean difference, exactly 0 where its square is rounding."""
    return mean if mean**2 > rounding else 0.0


def interaction_of(interaction: float, rounding: float) -> float:
    """An `interaction_variance`, 0 where it is rounding or below."""
    return interaction if interaction > rounding else 0.0


def _sum(first: Spread, second: Spread) -> Spread:
    """Spread of the difference of independent means."""
    variances = np.stack([first.variances, second.variances])  # (2 means, 2 parts)
    each_df = np.stack([first.degrees_of_freedom, second.degrees_of_freedom])
    seeds_df, recordings_df = (
        # A part without variance weighs nothing, but a plan still asks for its degrees of freedom.
        float(satterthwaite(parts, df) if parts.any() else df.min())
        for parts, df in zip(variances.T, each_df.T, strict=True)
    )
    seeds, recordings = variances.sum(0).tolist()
    return Spread(seeds=seeds, recordings=recordings, seeds_df=seeds_df, recordings_df=recordings_df)


def _covered_by_both(a: Interval, b: Interval) -> tuple[Covers, str]:
    if a.covers == b.covers:
        return a.covers, a.reason
    if "nothing" in (a.covers, b.covers):
        return "nothing", a.reason if a.covers == "nothing" else b.reason
    if {a.covers, b.covers} == {"seeds", "recordings"}:
        return "nothing", "One interval speaks about seeds alone and the other about recordings alone."
    return (a.covers, a.reason) if a.reason else (b.covers, b.reason)


def _check_same_shape(first: FloatArray, second: FloatArray, name: str) -> None:
    if first.shape != second.shape:
        raise ValueError(f"{name}: expected the same shape for both segmenters, found {first.shape} and {second.shape}")
