"""Intervals for one segmenter's score from a crossed design: every seed scored on the same recordings.

As in the multi-reader multi-case analysis of radiology, with the seed as reader and the recording as case
(Obuchowski & Rockette 1995, doi 10.1080/03610919508813243; Gallas et al. 2009, doi 10.1080/03610920802610084).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy.typing as npt

from benchbird.statistics.design import checked_design, checked_level, checked_recordings_df, checked_scores
from benchbird.statistics.jackknife import MIN_RECORDINGS, mean_squares, rounding_variance
from benchbird.statistics.spread import Spread, crossed_spread, seed_spread
from benchbird.statistics.student import FloatArray, quantile

Covers = Literal["seeds and recordings", "recordings", "seeds", "nothing"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over seeds and where the mean over all seeds and recordings may lie.

    Attributes:
        mean: over the seeds, on all recordings.
        low: lower end, None without an interval; not cut off at the range of the score.
        high: upper end.
        standard_error: of the mean, over what is covered.
        degrees_of_freedom: of Student's t; None without an interval or without any variance.
        covers: the sources of chance that the interval speaks about.
        reason: why there is no interval or what it leaves out, otherwise empty.
        n_seeds: R.
        n_recordings: C; 0 where scores by recording are missing.
        spread: the parts of the variance, None without an interval.
    """

    mean: float
    low: float | None
    high: float | None
    standard_error: float | None
    degrees_of_freedom: float | None
    covers: Covers
    reason: str
    n_seeds: int = 0
    n_recordings: int = 0
    spread: Spread | None = None


@dataclass(frozen=True, kw_only=True)
class Components:
    """Variance of one seed's score on this many recordings, by source; squares of the score's unit.

    Attributes:
        seeds: between seeds, on infinitely many recordings; >= 0, NaN for one seed.
        recordings: from the recordings, in all seeds alike; >= 0; for one seed with the interaction in it.
        interaction: seed x recording; >= 0, NaN for one seed.
    """

    seeds: float
    recordings: float
    interaction: float


def seed_interval(scores: npt.ArrayLike, level: float = 0.95) -> Interval:
    """Student's interval over seeds alone, for scores whose recordings are not known.

    Args:
        scores: `(R,)`, one per seed.
        level: in (0, 1).

    Returns:
        `covers="seeds"`; of identical scores both ends are the mean; without an interval for one seed.

    Raises:
        ValueError: not one axis, no scores, NaN, or a level outside (0, 1).
    """
    checked = checked_scores(scores)
    checked_level(level)
    if len(checked) == 1:
        return _no_interval(checked, 0)
    return _interval(checked, seed_spread(checked, rounding_variance(checked)), level, 0)


def crossed_interval(
    scores: npt.ArrayLike,
    left_out: npt.ArrayLike | None,
    level: float = 0.95,
    weights: npt.ArrayLike | None = None,
) -> Interval:
    """Interval for the score of any seed on any recordings, from R seeds on the same C recordings.

    Student's t with Satterthwaite's degrees of freedom of R - 1 (seeds) and C - 1 (recordings). Hillis (2007,
    doi 10.1002/sim.2532) takes the recordings' part as known, which covers too little below 20 recordings.

    Args:
        scores: `(R,)`, of each seed on all recordings.
        left_out: `(R, C)`, the same without recording c; None where unknown: `seed_interval`.
        level: in (0, 1).
        weights: `(C,)`, sizes of the recordings (pixels), > 0; the recordings' degrees of freedom are then the
            effective number less 1. Needed where sizes differ by more than about a factor of ten.

    Returns:
        Over recordings alone for one seed; no interval below `MIN_RECORDINGS`.

    Raises:
        ValueError: shapes that don't fit, NaN, weights that aren't above 0, or a level outside (0, 1).
    """
    if left_out is None:
        return seed_interval(scores, level)
    checked, without = checked_design(scores, left_out)
    checked_level(level)
    n_recordings = without.shape[1]
    if n_recordings < MIN_RECORDINGS:
        return _no_interval(checked, n_recordings)
    squares = mean_squares(checked, without)
    recordings_df = checked_recordings_df(weights, n_recordings)
    spread = crossed_spread(squares, recordings_df, rounding_variance(checked, without))
    return _interval(checked, spread, level, n_recordings)


def components(scores: npt.ArrayLike, left_out: npt.ArrayLike) -> Components:
    """Split the variance of one seed's score on these recordings by source.

    In a balanced design of means these are the ANOVA estimates: (MS_seed - MS_residual) / C,
    (MS_recording - MS_residual) / (R C) and MS_residual / C, cut off at 0.

    Args:
        scores: `(R,)`.
        left_out: `(R, C)`, C >= 2.

    Raises:
        ValueError: shapes that don't fit, NaN, or fewer than two recordings.
    """
    checked, without = checked_design(scores, left_out)
    if without.shape[1] < 2:
        raise ValueError(f"{without.shape[1]} recording has no variance: at least 2 are needed")
    squares = mean_squares(checked, without)
    recordings = max(float(squares.other_seed), 0.0)
    if len(checked) == 1:
        return Components(seeds=math.nan, recordings=recordings, interaction=math.nan)
    interaction = float(squares.same_seed - squares.other_seed)
    seeds = float(squares.between_seeds) - interaction
    return Components(seeds=max(seeds, 0.0), recordings=recordings, interaction=max(interaction, 0.0))


def _interval(scores: FloatArray, spread: Spread, level: float, n_recordings: int) -> Interval:
    mean, df = float(scores.mean()), spread.satterthwaite
    half = 0.0 if df is None else float(quantile(df, 1 - level)) * spread.standard_error
    covers, reason = covered(len(scores), n_recordings)
    return Interval(
        mean=mean,
        low=mean - half,
        high=mean + half,
        standard_error=spread.standard_error,
        degrees_of_freedom=df,
        covers=covers,
        reason=reason,
        n_seeds=len(scores),
        n_recordings=n_recordings,
        spread=spread,
    )


def _no_interval(scores: FloatArray, n_recordings: int) -> Interval:
    covers, reason = covered(len(scores), n_recordings)
    return Interval(
        mean=float(scores.mean()),
        low=None,
        high=None,
        standard_error=None,
        degrees_of_freedom=None,
        covers=covers,
        reason=reason,
        n_seeds=len(scores),
        n_recordings=n_recordings,
    )


def covered(n_seeds: int, n_recordings: int) -> tuple[Covers, str]:
    """What an interval from so many seeds and recordings speaks about, and what it must leave out.

    Args:
        n_seeds: >= 1.
        n_recordings: 0 where scores by recording are missing.

    Returns:
        The sources of chance, and a sentence, empty where nothing is left out.
    """
    if n_recordings == 0 and n_seeds == 1:
        return "nothing", "One seed and no scores by recording: nothing tells how much the score could vary."
    if n_recordings == 0:
        return "seeds", "No scores by recording: what other recordings would give is left out."
    if n_recordings < MIN_RECORDINGS:
        return "nothing", f"Test recordings: {n_recordings}; an interval needs at least {MIN_RECORDINGS}."
    if n_seeds == 1:
        return "recordings", "One seed: what another seed would give is left out."
    return "seeds and recordings", ""
