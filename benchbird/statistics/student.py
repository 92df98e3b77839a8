"""Student's t where the variance is a sum of mean squares, each with its own degrees of freedom.

Two ways: Satterthwaite's single t, near the nominal level at 95 %, and Banerjee's half-width, which is never too
narrow, also far out in the tails where Holm's adjustment of many pairs looks.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

SMALLEST_P = 1e-100
"""Below it a p-value of several parts is not resolved; quantiles of t are still finite there."""

_BISECTIONS = 64
_NODES = 48
"""Of Gauss-Legendre over the probability of each mean square: power is right to about 0.0005."""


def quantile(degrees_of_freedom: npt.ArrayLike, tail: npt.ArrayLike) -> FloatArray:
    """Point that |t| exceeds with probability `tail`.

    Args:
        degrees_of_freedom: > 0, any shape.
        tail: both tails together, in (0, 1).

    Returns:
        float64, the shapes broadcast.
    """
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    # The lower tail: 1 - tail / 2 would round to 1 for the tails that Holm's adjustment asks for.
    return np.asarray(-stdtrit(degrees_of_freedom, np.asarray(tail) / 2), dtype=np.float64)


def satterthwaite(variances: FloatArray, degrees_of_freedom: FloatArray) -> FloatArray:
    """Degrees of freedom of a sum of independent mean squares; Satterthwaite 1946, doi 10.2307/3002019.

    Args:
        variances: `(P, ...)`, the P parts of the variance, >= 0, not all 0.
        degrees_of_freedom: `(P, ...)`, of each part, > 0; `inf` where a part is known.

    Returns:
        float64 `(...)`.
    """
    return np.asarray(variances.sum(0) ** 2 / (variances**2 / degrees_of_freedom).sum(0), dtype=np.float64)


def banerjee_half_width(variances: FloatArray, degrees_of_freedom: FloatArray, tail: npt.ArrayLike) -> FloatArray:
    """Half-width of the interval for a mean whose variance has several parts: root of sum of variance * t².

    Each part has the Student quantile of its own degrees of freedom (Banerjee 1960, Sankhya 22, 357 f.). For
    normal errors it covers at least 1 - tail, since the distribution function of chi² with one degree of freedom
    is concave. A Satterthwaite df is itself estimated: where the part with few degrees of freedom comes out
    small by chance the df comes out large, and far tails are exceeded several times too often.

    Args:
        variances: `(P, ...)`, the parts of the variance of the mean, >= 0.
        degrees_of_freedom: `(P, ...)`, > 0.
        tail: probability outside, both sides together, in (0, 1).

    Returns:
        float64 `(...)`, in the unit of the mean.
    """
    return np.asarray(np.sqrt((variances * quantile(degrees_of_freedom, tail) ** 2).sum(0)), dtype=np.float64)


def banerjee_p_value(distance: float, variances: FloatArray, degrees_of_freedom: FloatArray) -> float:
    """Two-sided p-value: the `tail` whose `banerjee_half_width` is `distance`.

    Args:
        distance: absolute difference, >= 0.
        variances: `(P,)`, >= 0, not all 0.
        degrees_of_freedom: `(P,)`, > 0.

    Returns:
        In [0, 1]; Student's own p-value where one part alone is above 0.
    """
    return float(banerjee_p_values(np.array([distance]), variances[:, None], degrees_of_freedom[:, None])[0])


def banerjee_p_values(distances: FloatArray, variances: FloatArray, degrees_of_freedom: FloatArray) -> FloatArray:
    """`banerjee_p_value` of K distances at once.

    Args:
        distances: `(K,)`.
        variances: `(P, K)`.
        degrees_of_freedom: `(P, K)`.

    Returns:
        `(K,)`.
    """
    from scipy.special import stdtr

    main = variances.argmax(0), np.arange(len(distances))
    p_values = np.asarray(2 * stdtr(degrees_of_freedom[main], -distances / np.sqrt(variances[main])))
    several = (variances > 0).sum(0) > 1
    if not several.any():
        return p_values
    distances, variances, degrees_of_freedom = distances[several], variances[:, several], degrees_of_freedom[:, several]
    low, high = np.full(len(distances), math.log(SMALLEST_P)), np.zeros(len(distances))
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reaches = banerjee_half_width(variances, degrees_of_freedom, _exp(middle)) > distances
        low, high = np.where(reaches, middle, low), np.where(reaches, high, middle)
    p_values[several] = _exp(high)
    return p_values


def _exp(values: FloatArray) -> FloatArray:
    # Not numpy's, whose last bit depends on the processor.
    return np.array([math.exp(value) for value in values.tolist()], dtype=np.float64)


def power(gap: float, variances: FloatArray, degrees_of_freedom: FloatArray, alpha: float) -> float:
    """Chance that `banerjee_half_width` of estimated variances leaves 0 on the far side of a true `gap`.

    The normal probability, integrated over what the two mean squares may come out as. Of one part it is the
    upper tail of the non-central t.

    Args:
        gap: true difference, >= 0.
        variances: `(2,)`, the true parts of the variance of the difference, >= 0.
        degrees_of_freedom: `(2,)`, > 0.
        alpha: two-sided level, in (0, 1).

    Returns:
        In [0, 1].
    """
    error = math.sqrt(float(variances.sum()))
    return _share_beyond(gap, error, _half_widths(variances, degrees_of_freedom, alpha)) if error else float(gap > 0)


def gap_of_power(chance: float, variances: FloatArray, degrees_of_freedom: FloatArray, alpha: float) -> float:
    """Inverse of `power`: the true gap that is told from 0 with probability `chance`.

    Args:
        chance: in [0.5, 1).
        variances: `(2,)`, >= 0.
        degrees_of_freedom: `(2,)`, > 0.
        alpha: two-sided level, in (0, 1).

    Returns:
        >= 0, in the unit of the mean; 0 where there is no variance.
    """
    low, high = 0.0, math.sqrt(float(variances.sum()))
    if high == 0:
        return 0.0
    error, half = high, _half_widths(variances, degrees_of_freedom, alpha)
    while _share_beyond(high, error, half) < chance:
        low, high = high, 2 * high
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        reaches = _share_beyond(middle, error, half) >= chance
        low, high = (low, middle) if reaches else (middle, high)
    return high


@cache
def _gauss() -> tuple[FloatArray, FloatArray]:
    """Gauss-Legendre on [0, 1]: nodes and weights, `(N,)`."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2


def _half_widths(variances: FloatArray, degrees_of_freedom: FloatArray, alpha: float) -> FloatArray:
    """Half-widths `(N, N)` that come out where both mean squares lie at the nodes of their probability."""
    first, second = (
        variance * quantile(df, alpha) ** 2 * _mean_squares(df, _gauss()[0])
        for variance, df in zip(variances, degrees_of_freedom, strict=True)
    )
    return np.asarray(np.sqrt(first[:, None] + second), dtype=np.float64)


def _share_beyond(gap: float, error: float, half_widths: FloatArray) -> float:
    from scipy.special import ndtr

    weights = _gauss()[1]
    return float(weights @ ndtr((gap - half_widths) / error) @ weights)


def _mean_squares(degrees_of_freedom: float, probability: FloatArray) -> FloatArray:
    """Quantiles of an estimated variance over its true value; 1 where it is known."""
    from scipy.special import gammaincinv

    if math.isinf(degrees_of_freedom):
        return np.ones_like(probability)
    half = degrees_of_freedom / 2
    return np.asarray(gammaincinv(half, probability) / half, dtype=np.float64)
