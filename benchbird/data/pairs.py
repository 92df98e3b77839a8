"""Load one sample's image and mask, whatever it is made of, and say all that is wrong with it.

Owns that both halves fit each other. Decoding is `images.py`, shrinking `resize.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

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
    """A sample as it was read or made.

    Attributes:
        image: uint8 `(H, W)` or `(H, W, 3)`.
        mask: bool `(H, W)`.
        attributes: what is known of a generated sample only now; empty for files.
    """

    image: ImageArray
    mask: MaskArray
    attributes: Mapping[str, str] = field(default_factory=dict)


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
        image, mask, *rest = sample.render()
    except OSError as error:
        return refuse(f"could not be made: {os_reason(error)}")
    except Exception as error:  # A plugin's function may raise anything; its sample is bad, the others aren't.
        return refuse(f"could not be made: {type(error).__name__}: {error}")
    if (fault := _attributes_fault(rest)) is not None:
        return refuse(fault)
    is_image = image.dtype == np.uint8 and (image.ndim == 2 or image.shape[2:] == (3,))
    if not is_image:
        return refuse(f"its image is {image.dtype} {image.shape}, expected uint8 (H, W) or (H, W, 3)")
    if mask.dtype != np.bool_ or mask.shape != image.shape[:2]:
        return refuse(f"its mask is {mask.dtype} {mask.shape}, expected bool {image.shape[:2]}")
    if min(mask.shape) < LEAST_SIDE:
        return refuse(f"too small: {mask.shape}, expected at least {LEAST_SIDE} pixels a side")
    pixels = np.ascontiguousarray(image) if image.ndim == 2 else grey_if_equal(image)
    return Pair(pixels, np.ascontiguousarray(mask), dict(rest[0]) if rest else {})


def _attributes_fault(rest: list[Any]) -> str | None:
    """What is wrong with whatever a plugin's function returned beyond image and mask."""
    expected = "expected image and mask, and a mapping of text to text at most"
    if len(rest) > 1:
        return f"its render returned {2 + len(rest)} values, {expected}"
    if rest and not isinstance(rest[0], Mapping):
        return f"its third value is {type(rest[0]).__name__}, {expected}"
    for key, value in rest[0].items() if rest else ():
        if not isinstance(key, str) or not isinstance(value, str):
            return f"its attribute {key!r} is {value!r}, {expected}"
    return None
