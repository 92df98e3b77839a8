"""Every pair of many segmenters at once: their differences and what they detect, as arrays over the pairs.

What it gives is what `difference.py` and `planning.py` give pair by pair; it owns nothing but the speed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchbird.statistics.design import checked_design, checked_level, checked_recordings_df
from benchbird.statistics.difference import Difference, difference_of, interaction_of, mean_of, paired_difference
from benchbird.statistics.jackknife import MIN_RECORDINGS, largest, mean_squares, rounding_of, variance_parts
from benchbird.statistics.planning import detectable_difference
from benchbird.statistics.spread import Spread, spread_of
from benchbird.statistics.student import (
    FloatArray,
    banerjee_half_width,
    banerjee_p_values,
    gap_of_power,
    quantile,
)

if TYPE_CHECKING:
    from numpy.polynomial import Chebyshev

Pairs = npt.NDArray[np.intp]

_NUMBERS_AT_ONCE = 2**20
"""Of one array over pairs, seeds and recordings: 8 MiB, so that many pairs need no more memory than few."""

FEW_PAIRS = 100
"""So many gaps and fewer are solved for one by one."""

_DEGREES = (32, 64)
_NEGLIGIBLE = 1e-13
"""Last coefficients of a series, relative to its largest, from which on more of them change nothing."""


def paired_differences(
    scores: npt.ArrayLike,
    left_out: npt.ArrayLike,
    pairs: Sequence[tuple[int, int]],
    level: float = 0.95,
    weights: npt.ArrayLike | None = None,
) -> list[Difference]:
    """`paired_difference` of each pair of K segmenters, to the last bit.

    Args:
        scores: `(K, R)`, of each segmenter and seed.
        left_out: `(K, R, C)`, the same without recording c.
        pairs: P pairs of indices, first minus second.
        level: of the intervals, in (0, 1).
        weights: `(K, C)`, sizes of the recordings; a pair takes those of its first segmenter.

    Raises:
        ValueError: as `paired_difference`.
    """
    checked_level(level)
    if not len(pairs):
        return []
    every, without = np.asarray(scores, dtype=np.float64), np.asarray(left_out, dtype=np.float64)
    for own in zip(every, without, strict=True):
        checked_design(*own)
    n_seeds, n_recordings = without.shape[1:]
    if n_recordings < MIN_RECORDINGS:
        return [paired_difference(every[a], every[b], without[a], without[b], level) for a, b in pairs]
    sizes = [None] * len(every) if weights is None else np.asarray(weights, dtype=np.float64)
    recordings_df = [checked_recordings_df(own, n_recordings) for own in sizes]
    of_scores = [largest(one) for one in every]
    of_all = [max(one, largest(other)) for one, other in zip(of_scores, without, strict=True)]
    means: list[float] = []
    spreads: list[Spread] = []
    interactions: list[float] = []
    for (a, b), (mean, interaction, *parts) in zip(pairs, _estimates(every, without, pairs), strict=True):
        rounding = rounding_of(max(of_all[a], of_all[b]))
        means.append(mean_of(mean, rounding_of(max(of_scores[a], of_scores[b]))))
        spreads.append(spread_of(parts[0], parts[1], n_seeds, recordings_df[a], rounding))
        interactions.append(interaction_of(interaction, rounding))
    return [
        difference_of(mean, spread, level, (n_seeds, n_recordings), interaction=interaction, inference=inference)
        for mean, spread, interaction, inference in zip(
            means, spreads, interactions, _inferences(means, spreads, level), strict=True
        )
    ]


def _estimates(scores: FloatArray, left_out: FloatArray, pairs: Sequence[tuple[int, int]]) -> Iterator[list[float]]:
    """Of each pair: mean, interaction, and the variance of the mean by seeds and by recordings."""
    for some in _parts(pairs, left_out[0].size):
        first, second = some.T
        gaps = scores[first] - scores[second]  # (P, R)
        squares = mean_squares(gaps, left_out[first] - left_out[second])
        values = (gaps.mean(-1), squares.same_seed - squares.other_seed, *variance_parts(squares))
        yield from np.stack(values, axis=1).tolist()


def _parts(pairs: Sequence[tuple[int, int]], numbers: int) -> Iterator[Pairs]:
    """The pairs, `(P, 2)`, so many at a time that an array with `numbers` of each stays small."""
    array = np.asarray(pairs, dtype=np.intp).reshape(-1, 2)
    step = max(_NUMBERS_AT_ONCE // numbers, 1)
    for start in range(0, len(array), step):
        yield array[start : start + step]


def _inferences(means: Sequence[float], spreads: Sequence[Spread], level: float) -> list[tuple[float, float]]:
    """Half-width and p-value of each mean."""
    variances = np.array([(one.seeds, one.recordings) for one in spreads]).reshape(-1, 2).T
    degrees_of_freedom = np.array([(one.seeds_df, one.recordings_df) for one in spreads]).reshape(-1, 2).T
    known = [one.standard_error != 0 for one in spreads]
    parts = (variances[:, known], degrees_of_freedom[:, known])
    half_widths = banerjee_half_width(*parts, 1 - level).tolist()
    p_values = banerjee_p_values(np.abs(np.array(means)[known]), *parts).tolist()
    solved = iter(zip(half_widths, p_values, strict=True))
    return [next(solved) if is_known else (0.0, float(mean == 0)) for mean, is_known in zip(means, known, strict=True)]


def probabilities_of_beating(cells: npt.ArrayLike, pairs: Sequence[tuple[int, int]]) -> list[float | None]:
    """`probability_of_beating` of each pair of K segmenters, to the last bit.

    Args:
        cells: `(K, R, C)`, score of each segmenter and seed on each recording alone; NaN where it is undefined.
        pairs: P pairs of indices.
    """
    array = np.asarray(cells, dtype=np.float64)
    found: list[float | None] = []
    for some in _parts(pairs, array[0].size if len(array) else 1):
        first, second = (array[side] for side in some.T)  # (P, R, C)
        defined = (~(np.isnan(first) | np.isnan(second))).sum((1, 2))
        # Halves add up exactly in any order; a comparison with NaN is false.
        wins = (first > second).sum((1, 2)) + 0.5 * (first == second).sum((1, 2))
        found += [won / of if of else None for won, of in zip(wins.tolist(), defined.tolist(), strict=True)]
    return found


def detectable_differences(
    differences: Sequence[Difference], alpha: float = 0.05, power: float = 0.8
) -> list[float | None]:
    """`detectable_difference` of each; of many with the same degrees of freedom within 1e-10 of it.

    Raises:
        ValueError: as `detectable_difference`.
    """
    alike: dict[tuple[float, float], list[int]] = defaultdict(list)
    for place, one in enumerate(differences):
        if one.spread is not None:
            alike[one.spread.seeds_df, one.spread.recordings_df].append(place)
    found: list[float | None] = [None] * len(differences)
    for degrees_of_freedom, places in alike.items():
        series = _gap_series(np.array(degrees_of_freedom), alpha, power) if len(places) > FEW_PAIRS else None
        if series is None:
            for place in places:
                found[place] = detectable_difference(differences[place], alpha, power)
            continue
        spreads = [differences[place].spread for place in places]
        variances = np.array([(one.seeds, one.recordings) for one in spreads if one is not None]).T
        for place, gap in zip(places, _gaps(series, variances, np.array(degrees_of_freedom), alpha), strict=True):
            found[place] = gap
    return found


def _gap_series(degrees_of_freedom: FloatArray, alpha: float, power: float) -> Chebyshev | None:
    """The gap in half-widths, by the share of the squared half-width that the seeds' part has.

    A gap scales with the variances, and of two variances with given degrees of freedom nothing else is left than
    how they share. None where no short series has it, which is so of one or two degrees of freedom.
    """
    from numpy.polynomial import Chebyshev  # not imported where the answer is known

    if not np.isfinite(degrees_of_freedom).all():
        return None
    squared = quantile(degrees_of_freedom, alpha) ** 2

    def gaps(shares: FloatArray) -> FloatArray:
        variances = np.stack([shares, 1 - shares], axis=1) / squared
        return np.array([gap_of_power(power, parts, degrees_of_freedom, alpha) for parts in variances])

    for degree in _DEGREES:
        series = Chebyshev.interpolate(gaps, degree, domain=[0, 1])
        sizes = np.abs(series.coef)
        if sizes[-3:].max() <= _NEGLIGIBLE * sizes.max():
            return series
    return None


def _gaps(series: Chebyshev, variances: FloatArray, degrees_of_freedom: FloatArray, alpha: float) -> list[float]:
    half_widths = banerjee_half_width(variances, degrees_of_freedom[:, None], alpha)
    of_seeds = variances[0] * quantile(degrees_of_freedom[0], alpha) ** 2
    with np.errstate(invalid="ignore"):  # without variance there is no share, and the gap is 0
        shares = np.nan_to_num(of_seeds / half_widths**2)
    gaps: list[float] = (series(shares) * half_widths).tolist()
    return gaps
