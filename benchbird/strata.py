"""Strata: the test images grouped by a column of the data's manifest, by mask size or by recording.

Owns which image is in which group. The groups follow from the data alone, so they are the same for every
segmenter; their scores come from `readings.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from benchbird.errors import UsageError
from benchbird.plain_text import plain_text
from benchbird.predictions import Predictions

RECORDING = "recording"
MASK_SIZE = "mask_size"

SNR_STEP_DB = 5.0
MOST_VALUES = 8
"""A column of numbers with more distinct values than this is cut at its quartiles."""

MASK_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 1.0)
"""Borders of the share of an image that is bird, for `mask_size`; images without bird are apart."""

UNKNOWN = "not stated"

Images = npt.NDArray[np.bool_]


def columns(predictions: Predictions) -> tuple[str, ...]:
    """What the images can be grouped by: `recording`, `mask_size`, and every column with two values or more."""
    names = sorted({name for one in predictions.attributes for name in one})
    varied = [name for name in names if len({one.get(name, "") for one in predictions.attributes}) > 1]
    return (RECORDING, MASK_SIZE, *varied)


def group(predictions: Predictions, column: str) -> dict[str, Images]:
    """The images of each group, bool `(N,)`, groups in their natural order, each with at least one image.

    A column that ends in `_db` is cut into bins of 5 dB, other numbers with many values at their quartiles.
    A text such as `rain+wind` belongs to both `rain` and `wind`; among numbers NaN and infinity are unknown.

    Raises:
        UsageError: there is no such column; lists those there are.
    """
    if column == RECORDING:
        return _by_name(predictions.recording_ids)
    if column == MASK_SIZE:
        return _by_mask_size(predictions)
    values = [one.get(column, "").strip() for one in predictions.attributes]
    if not any(values):
        there = ", ".join(plain_text(name, 40) for name in columns(predictions))
        raise UsageError(f"--by {column!r}: the test images have no such column; expected one of {there}")
    numbers = [_number(value) for value in values]
    if all(number is not None for number, value in zip(numbers, values, strict=True) if value):
        known = np.array([math.nan if number is None or math.isinf(number) else number for number in numbers])
        if column.endswith("_db"):
            return _by_step(known, SNR_STEP_DB, "dB")
        if len(np.unique(known[~np.isnan(known)])) > MOST_VALUES:
            return _by_quartile(known)
        return _by_name([value or UNKNOWN for value in values])
    return _by_category(values)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _by_name(values: Sequence[str]) -> dict[str, Images]:
    return _by_parts([{value} for value in values])


def _by_category(values: Sequence[str]) -> dict[str, Images]:
    parts = [{part.strip() for part in value.split("+")} - {""} for value in values]
    return _by_parts([part or {UNKNOWN} for part in parts])


def _by_parts(parts: Sequence[set[str]]) -> dict[str, Images]:
    names = sorted(set().union(*parts) - {UNKNOWN}, key=_natural)
    names += [UNKNOWN] if any(UNKNOWN in part for part in parts) else []
    return {name: np.array([name in part for part in parts]) for name in names}


def _natural(text: str) -> tuple[bool, float, str]:
    number = _number(text)
    return (False, number, text) if number is not None and math.isfinite(number) else (True, 0.0, text)


def _by_step(values: npt.NDArray[np.float64], step: float, unit: str) -> dict[str, Images]:
    below = np.floor(values / step) * step + 0.0  # −0 becomes 0

    def name(start: float) -> str:
        return f"{start:.0f} to {start + step:.0f} {unit}".replace("-", "−")

    return _binned({name(start): below == start for start in sorted(set(below[~np.isnan(below)]))}, values)


def _by_quartile(values: npt.NDArray[np.float64]) -> dict[str, Images]:
    borders = np.unique(np.nanquantile(values, [0, 0.25, 0.5, 0.75, 1]))
    names = _distinct(borders.tolist())
    groups = {}
    for (low, high), (first, last) in zip(pairwise(borders.tolist()), pairwise(names), strict=True):
        is_last = high == borders[-1]
        groups[f"{first} to {last}"] = (values >= low) & ((values <= high) if is_last else (values < high))
    return _binned(groups, values)


def _distinct(numbers: Sequence[float]) -> list[str]:
    """Different numbers as different texts, of three digits if those tell them apart."""
    texts: list[str] = []
    for digits in (3, 4, 5, 6, 8, 10, 12, 17):
        texts = [f"{number:.{digits}g}".replace("-", "−") for number in numbers]
        if len(set(texts)) == len(numbers):
            break
    return texts


def _by_mask_size(predictions: Predictions) -> dict[str, Images]:
    share = predictions.test.protocol[:, [0, 2]].sum(1) / predictions.image_size**2
    groups = {"no bird": share == 0}
    for low, high in pairwise(MASK_SHARES):
        groups[f"{100 * low:g} to {100 * high:g} %"] = (share > low) & (share <= high)
    return {name: images for name, images in groups.items() if images.any()}


def _binned(groups: dict[str, Images], values: npt.NDArray[np.float64]) -> dict[str, Images]:
    unknown = np.isnan(values)
    filled = {name: images for name, images in groups.items() if images.any()}
    return {**filled, UNKNOWN: unknown} if unknown.any() else filled
