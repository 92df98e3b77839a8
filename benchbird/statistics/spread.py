"""The variance of a mean in its two parts: what more seeds lessen, and what only more recordings lessen."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchbird.statistics.jackknife import MeanSquares, variance_parts
from benchbird.statistics.student import FloatArray, satterthwaite


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The two parts of a mean's variance, each with its degrees of freedom.

    Attributes:
        seeds: variance of the mean that more seeds lessen, the seed x recording interaction included; >= 0.
        recordings: variance of the mean that all seeds share through the recordings; >= 0.
        seeds_df: degrees of freedom of `seeds`, `inf` where that part is left out.
        recordings_df: degrees of freedom of `recordings`, `inf` where that part is left out.
    """

    seeds: float
    recordings: float
    seeds_df: float = math.inf
    recordings_df: float = math.inf

    @property
    def variances(self) -> FloatArray:
        """float64 `(2,)`: seeds, recordings."""
        return np.array([self.seeds, self.recordings])

    @property
    def degrees_of_freedom(self) -> FloatArray:
        """float64 `(2,)`: of seeds, of recordings."""
        return np.array([self.seeds_df, self.recordings_df])

    @property
    def standard_error(self) -> float:
        """Of the mean, in the score's unit."""
        return math.sqrt(self.seeds + self.recordings)

    @property
    def satterthwaite(self) -> float | None:
        """Degrees of freedom of the sum; None where there is no variance."""
        return None if self.standard_error == 0 else float(satterthwaite(self.variances, self.degrees_of_freedom))


def seed_spread(scores: FloatArray, rounding: float) -> Spread:
    """Spread of a mean over seeds alone; variances up to `rounding` are 0."""
    variance = float(scores.var(ddof=1))
    part = variance / len(scores) if variance > rounding else 0.0
    return Spread(seeds=part, recordings=0.0, seeds_df=len(scores) - 1)


def crossed_spread(squares: MeanSquares, recordings_df: float, rounding: float) -> Spread:
    """Spread of a mean over seeds and recordings; parts up to `rounding` are 0."""
    seeds, recordings = (float(part) for part in variance_parts(squares))
    return spread_of(seeds, recordings, squares.n_seeds, recordings_df, rounding)


def spread_of(seeds: float, recordings: float, n_seeds: int, recordings_df: float, rounding: float) -> Spread:
    """Spread from the two parts of `variance_parts`; parts up to `rounding` are 0."""
    return Spread(
        seeds=seeds if seeds > rounding else 0.0,
        recordings=recordings if recordings > rounding else 0.0,
        seeds_df=n_seeds - 1 if n_seeds > 1 else math.inf,
        recordings_df=recordings_df,
    )
