"""Checks what callers hand in as a crossed design of seeds and recordings; refuses it with a sentence."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchbird.statistics.jackknife import MIN_RECORDINGS, effective_recordings
from benchbird.statistics.student import FloatArray


def checked_scores(scores: npt.ArrayLike) -> FloatArray:
    """One score per seed as float64 `(R,)`.

    Raises:
        ValueError: not one axis, empty, or not finite.
    """
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"scores: expected one per seed, of shape (R,) with R >= 1, found shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"scores: expected finite numbers, found {array.tolist()}; leave such seeds out")
    return array


def checked_design(scores: npt.ArrayLike, left_out: npt.ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Scores `(R,)` and left-out scores `(R, C)`, both float64.

    Raises:
        ValueError: shapes that don't fit or numbers that aren't finite; left-out scores of too few recordings
            may be anything, since a score without the only recording is 0 / 0.
    """
    array, without = checked_scores(scores), np.asarray(left_out, dtype=np.float64)
    if without.ndim != 2 or len(without) != len(array):
        raise ValueError(f"left_out: expected shape ({len(array)}, C) to fit the scores, found {without.shape}")
    if without.shape[1] == 0:
        raise ValueError("left_out: expected at least one recording, found none; hand in None if they are unknown")
    if without.shape[1] >= MIN_RECORDINGS and not np.isfinite(without).all():
        seed, recording = np.argwhere(~np.isfinite(without))[0].tolist()
        raise ValueError(
            f"left_out: expected finite numbers, found {without[seed, recording]} at [{seed}, {recording}]"
        )
    return array, without


def checked_level(level: float, name: str = "level") -> None:
    """Refuse a probability outside (0, 1).

    Raises:
        ValueError: it is outside.
    """
    if not 0 < level < 1:
        raise ValueError(f"{name}: expected a probability between 0 and 1, found {level}")


def checked_recordings_df(weights: npt.ArrayLike | None, n_recordings: int) -> float:
    """Degrees of freedom of the recordings' part: their number, or effective number, less 1; at least 1.

    Args:
        weights: `(C,)`, sizes of the recordings, > 0; None: all alike.
        n_recordings: C.

    Raises:
        ValueError: weights of another shape, or not finite and above 0.
    """
    if weights is None:
        return n_recordings - 1
    array = np.asarray(weights, dtype=np.float64)
    if array.shape != (n_recordings,):
        raise ValueError(f"weights: expected one per recording, of shape ({n_recordings},), found {array.shape}")
    if not (np.isfinite(array) & (array > 0)).all():
        raise ValueError(f"weights: expected finite numbers above 0, found {array.tolist()}")
    return max(effective_recordings(array) - 1, 1.0)
