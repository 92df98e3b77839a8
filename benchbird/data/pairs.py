"""Load one sample's image and mask, whatever it is made of, and say all that is wrong with it.

Owns that both halves fit each other. Decoding is `images.py`, shrinking `resize.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchbird.contract import AnySample, GeneratedSample
from benchbird.data.faults import DataFault, os_reason
from benchbird.data.images import (
    LEAST_SIDE,
    ImageArray,
    MaskArray,
    Unreadable,
    check_header,
    grey_if_equal,
    read_image,
    read_mask,
)


@dataclass(frozen=True, eq=False)
class Pair:
    """Image uint8 `(H, W)` or `(H, W, 3)` with its mask, bool `(H, W)`."""

    image: ImageArray
    mask: MaskArray


def load_pair(sample: AnySample) -> Pair | tuple[DataFault, ...]:
    """Image and mask of a sample, or everything that is wrong with them."""
    if isinstance(sample, GeneratedSample):
        return _render(sample)
    headers, faults = [], []
    for path in (sample.image, sample.mask):
        try:
            headers.append(check_header(path))
        except Unreadable as error:
            faults.append(DataFault(str(path), error.reason))
    if not faults and headers[0].size_text != headers[1].size_text:
        reason = f"the mask is {headers[1].size_text}, its image is {headers[0].size_text}; expected one size"
        return (DataFault(str(sample.mask), reason),)
    image = mask = None
    reported = {fault.path for fault in faults}
    try:
        image = read_image(sample.image) if str(sample.image) not in reported else None
    except Unreadable as error:
        faults.append(DataFault(str(sample.image), error.reason))
    try:
        mask = read_mask(sample.mask) if str(sample.mask) not in reported else None
    except Unreadable as error:
        faults.append(DataFault(str(sample.mask), error.reason))
    return tuple(faults) if image is None or mask is None else Pair(image, mask)


def _render(sample: GeneratedSample) -> Pair | tuple[DataFault, ...]:
    def refuse(reason: str) -> tuple[DataFault, ...]:
        return (DataFault(sample.sample_id, reason),)

    try:
        image, mask = sample.render()
    except OSError as error:
        return refuse(f"could not be made: {os_reason(error)}")
    except Exception as error:  # A plugin's function may raise anything; its sample is bad, the others aren't.
        return refuse(f"could not be made: {type(error).__name__}: {error}")
    is_image = image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (3,))
    if not is_image:
        return refuse(f"its image is {image.dtype} {image.shape}, expected uint8 (H, W) or (H, W, 3)")
    if mask.dtype != np.bool_ or mask.shape != image.shape[:2]:
        return refuse(f"its mask is {mask.dtype} {mask.shape}, expected bool {image.shape[:2]}")
    if min(mask.shape) < LEAST_SIDE:
        return refuse(f"too small: {mask.shape}, expected at least {LEAST_SIDE} pixels a side")
    return Pair(np.ascontiguousarray(image) if image.ndim == 2 else grey_if_equal(image), np.ascontiguousarray(mask))
