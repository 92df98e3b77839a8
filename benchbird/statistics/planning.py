"""How much more would decide: the gap that can be seen, and the seeds or recordings that a gap needs.

Plans take the variances of a difference as they were estimated; from few seeds they are rough themselves. They
count one pair at level alpha: for one of m pairs under Holm's adjustment hand in alpha / m.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from benchbird.statistics.design import checked_level
from benchbird.statistics.difference import Difference
from benchbird.statistics.jackknife import MIN_RECORDINGS
from benchbird.statistics.student import FloatArray, gap_of_power, power

MOST_RECORDINGS = 100_000
"""More recordings than that are no plan."""


def detectable_difference(difference: Difference, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """Smallest true gap that would be called separable with this power, with as much data.

    Args:
        difference: of two segmenters.
        alpha: two-sided level, in (0, 1).
        power: in [0.5, 1).

    Returns:
        In the score's unit, >= 0; None where the difference has no interval.

    Raises:
        ValueError: alpha or power out of range.
    """
    _check(alpha, power)
    if difference.spread is None:
        return None
    return gap_of_power(power, difference.spread.variances, difference.spread.degrees_of_freedom, alpha)


def seeds_needed(
    difference: Difference, gap: float, alpha: float = 0.05, power: float = 0.8, most: int = 1000
) -> int | None:
    """Fewest seeds that call a true `gap` separable with this power, on the same recordings.

    Args:
        difference: of two segmenters with two seeds or more.
        gap: true difference, in the score's unit, not 0.
        alpha: two-sided level, in (0, 1).
        power: in [0.5, 1).
        most: seeds beyond which the answer is None.

    Returns:
        At least 2; None where no number of seeds up to `most` decides it on these recordings, or where the
        difference tells nothing of the seeds (`covers` says so).

    Raises:
        ValueError: alpha or power out of range, or a gap of 0.
    """
    _check(alpha, power, gap)
    spread = difference.spread
    if spread is None or "seeds" not in difference.covers:
        return None

    def decides(seeds: int) -> bool:
        variances = np.array([difference.seed_variance / seeds, spread.recordings])
        # Degrees of freedom grow with seeds; of Welch's sum of two they are more than R - 1.
        seeds_df = spread.seeds_df * (seeds - 1) / (difference.n_seeds - 1)
        return _reaches(gap, variances, np.array([seeds_df, spread.recordings_df]), alpha, power)

    return _fewest(decides, 2, most)


def recordings_needed(difference: Difference, gap: float, alpha: float = 0.05, power: float = 0.8) -> int | None:
    """Fewest test recordings that call a true `gap` separable with this power, at the same number of seeds.

    Args:
        difference: of two segmenters, with scores by recording.
        gap: true difference, in the score's unit, not 0.
        alpha: two-sided level, in (0, 1).
        power: in [0.5, 1).

    Returns:
        At least `MIN_RECORDINGS`; None where not even `MOST_RECORDINGS` decide it with these seeds, or where the
        difference tells nothing of recordings (`covers` says so).

    Raises:
        ValueError: alpha or power out of range, or a gap of 0.
    """
    _check(alpha, power, gap)
    spread = difference.spread
    if spread is None or "recordings" not in difference.covers:
        return None
    lessened = min(difference.interaction_variance / difference.n_seeds, spread.seeds)

    def decides(recordings: int) -> bool:
        share = difference.n_recordings / recordings
        variances = np.array([spread.seeds - lessened + lessened * share, spread.recordings * share])
        recordings_df = max((spread.recordings_df + 1) / share - 1, 1.0)
        return _reaches(gap, variances, np.array([spread.seeds_df, recordings_df]), alpha, power)

    return _fewest(decides, MIN_RECORDINGS, MOST_RECORDINGS)


def _reaches(gap: float, variances: FloatArray, degrees_of_freedom: FloatArray, alpha: float, wanted: float) -> bool:
    return power(abs(gap), variances, degrees_of_freedom, alpha) >= wanted


def _fewest(decides: Callable[[int], bool], least: int, most: int) -> int | None:
    """Smallest number in [least, most] that decides, where more always decide if fewer do."""
    if most < least or not decides(most):
        return None
    while least < most:
        middle = (least + most) // 2
        least, most = (least, middle) if decides(middle) else (middle + 1, most)
    return least


def _check(alpha: float, power: float, gap: float = 1.0) -> None:
    checked_level(alpha, "alpha")
    if not 0.5 <= power < 1:
        raise ValueError(f"power: expected at least 0.5 and below 1, found {power}")
    if gap == 0 or not math.isfinite(gap):
        raise ValueError(f"gap: expected a number other than 0, found {gap}")
