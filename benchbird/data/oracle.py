"""What the protocol's size costs: the score at native size of an oracle that holds the exact mask.

Owns the resolution ceiling's counts. It uses whole numbers only, so they are the same on every machine.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.records import Counts

HALF = 128
"""In 255ths rounded half up, an area fraction is at least one half exactly from 128 on."""

_BAND_PIXELS = 1 << 20


def oracle_counts(shrunk: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> Counts:
    """Counts at native size of the exact mask, cut at one half at protocol size and enlarged again.

    The cut mask is taken as logits ±1 and enlarged bilinearly with half-pixel centres and clamped edges, as
    `torch.nn.functional.interpolate(align_corners=False)` does; bird is where the result is above 0.

    Args:
        shrunk: uint8 `(S, S)`, area fractions in 255ths.
        mask: bool `(H, W)`.
    """
    if mask.shape[1] > 16 * mask.shape[0]:
        # The array in between is S by the second axis: keep it small for long low strips.
        return oracle_counts(shrunk.T, mask.T)
    height, width = mask.shape
    logits = np.where(shrunk >= HALF, 1, -1).astype(np.int32)  # (S, S)
    by_column = _enlarge(np.ascontiguousarray(logits.T), width, slice(None)).T  # (S, W), scaled by 2W
    by_column = np.ascontiguousarray(by_column)
    band = max(1, _BAND_PIXELS // width)
    tp = fp = positive = 0
    for top in range(0, height, band):
        rows = slice(top, min(top + band, height))
        predicted = _enlarge(by_column, height, rows) > 0  # (rows, W)
        hits = int(np.count_nonzero(predicted & mask[rows]))
        tp += hits
        fp += int(np.count_nonzero(predicted)) - hits
        positive += int(np.count_nonzero(mask[rows]))
    return Counts(tp=tp, fp=fp, fn=positive - tp, tn=height * width - fp - positive)


def _enlarge(values: npt.NDArray[Any], n: int, rows: slice) -> npt.NDArray[np.int32]:
    """Some rows of `values` enlarged to n rows, times 2n: `(S, W)` to int32 `(rows, W)`.

    The centre of new row i lies at ((2i + 1)·S − n) / 2n old rows: a whole part and a remainder of 2n. The
    largest number is 4·H·W, which int32 holds up to 536 megapixels.
    """
    size = values.shape[0]
    position = (2 * np.arange(n)[rows] + 1) * size - n
    below, weight = np.divmod(np.clip(position, 0, 2 * n * (size - 1)), 2 * n)
    above = np.minimum(below + 1, size - 1)
    weight = weight.astype(np.int32)[:, None]
    return np.asarray(values[below] * (np.int32(2 * n) - weight) + values[above] * weight)
