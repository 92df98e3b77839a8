"""The protocol's two ways to shrink: the exact area average, and the bicubic filter of AtrousSegNet's training.

Owns how image and mask come to protocol size (`protocol.RESIZE_VERSIONS`). It decodes and stores nothing.

`area` is done in whole numbers, the same bits on every machine. Along an axis of n pixels that becomes m, cut
each old pixel into m parts and each new one into n: both grids then share the same n·m parts. A new pixel
covers n parts, whole old pixels (m parts each) and a piece of one at either end, so its sum weighted by
overlap is a whole number. With S the sum over both axes and D = H·W the parts that a new pixel covers, its
mean is S / D, and round half up is ⌊(2S + D) / 2D⌋, all of it in int64 (S ≤ 255·64·10⁶ < 2⁶³).

`bicubic` is Pillow's own filter, antialiased, on 8-bit values: the same bits only as long as Pillow's version
is the same, so that version is part of the rule's name in the cache. A mask goes through the same filter and
comes out grey; values overshoot at edges and are cut off at 0 and 255.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchbird.protocol import RESIZE_VERSIONS, Resize

IntArray = npt.NDArray[np.int64]

WHOLE = 255
"""A mask pixel that is bird all over."""


def rule_name(resize: Resize) -> str:
    """What identifies the pixels that a rule makes, such as `area-1` or `bicubic-1-pillow-13.0.0`."""
    name = f"{resize}-{RESIZE_VERSIONS[resize]}"
    if resize == "area":
        return name
    from importlib.metadata import version

    return f"{name}-pillow-{version('pillow')}"


def shrink(
    image: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_], size: int, resize: Resize
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Image and mask at protocol size by one of the protocol's rules.

    Args:
        image: uint8 `(H, W)` or `(H, W, C)`.
        mask: bool `(H, W)`.
        size: side of the results in pixels.
        resize: the rule.

    Returns:
        uint8 `(C, size, size)`, C = 1 for `(H, W)`, and uint8 `(size, size)`, where 128 and more is bird.
    """
    if resize == "bicubic":
        return bicubic_image(image, size), bicubic_mask(mask, size)
    return shrink_image(image, size), shrink_mask(mask, size)


def shrink_picture(image: npt.NDArray[np.uint8], size: int, resize: Resize) -> npt.NDArray[np.uint8]:
    """The image alone, uint8 `(C, size, size)`, as `shrink` has it."""
    return bicubic_image(image, size) if resize == "bicubic" else shrink_image(image, size)


def shrink_image(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Area average of an image, rounded half up; enlarges as well.

    Args:
        image: uint8 `(H, W)` or `(H, W, C)`.
        size: side of the result in pixels.

    Returns:
        uint8 `(C, size, size)`, C = 1 for `(H, W)`.
    """
    channels = image[..., None] if image.ndim == 2 else image  # (H, W, C)
    return np.stack([_round(area_sums(channels[..., c], size), image, 1) for c in range(channels.shape[2])])


def shrink_mask(mask: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.uint8]:
    """Area fraction of bird in 255ths, rounded half up.

    A value is at least 128 exactly where the fraction f is at least ½: the value is ⌊255·f + ½⌋, and
    255·f + ½ ≥ 128 if and only if f ≥ ½. So the cut at one half survives the storing, ties included.

    Args:
        mask: bool `(H, W)`.
        size: side of the result in pixels.

    Returns:
        uint8 `(size, size)`.
    """
    return _round(area_sums(mask.view(np.uint8), size), mask, WHOLE)


def bicubic_image(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """An image through Pillow's antialiased bicubic filter, each channel alone.

    Args:
        image: uint8 `(H, W)` or `(H, W, C)`.
        size: side of the result in pixels.

    Returns:
        uint8 `(C, size, size)`, C = 1 for `(H, W)`.
    """
    channels = image[..., None] if image.ndim == 2 else image  # (H, W, C)
    return np.stack([_bicubic(channels[..., c], size) for c in range(channels.shape[2])])


def bicubic_mask(mask: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.uint8]:
    """A mask of 0 and 255 through the same filter: grey in 255ths, bird where more than one half, from 128 on.

    Args:
        mask: bool `(H, W)`.
        size: side of the result in pixels.

    Returns:
        uint8 `(size, size)`.
    """
    return _bicubic(mask.view(np.uint8) * np.uint8(WHOLE), size)


def _bicubic(image: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    shrunk = Image.fromarray(np.ascontiguousarray(image)).resize((size, size), Image.Resampling.BICUBIC)
    return np.array(shrunk, dtype=np.uint8)


def area_sums(image: npt.NDArray[np.uint8], size: int) -> IntArray:
    """Sums weighted by overlap, int64 `(size, size)`; divide by H·W for the means.

    Args:
        image: uint8 `(H, W)`.
        size: side of the result in pixels.
    """
    height, width = image.shape
    # Either order gives the same numbers. Rows first reads memory in order; for a picture that is a long
    # low strip the other order keeps the array in between small.
    if width > 16 * height:
        return _sum_rows(_sum_rows(image.T, size).T, size)
    return np.ascontiguousarray(_sum_rows(np.ascontiguousarray(_sum_rows(image, size).T), size).T)


def _round(sums: IntArray, source: npt.NDArray[Any], scale: int) -> npt.NDArray[np.uint8]:
    parts = source.shape[0] * source.shape[1]
    return np.asarray((2 * scale * sums + parts) // (2 * parts), dtype=np.uint8)


def _sum_rows(image: npt.NDArray[Any], size: int) -> IntArray:
    """Rows summed by overlap: `(n, W)` to int64 `(size, W)`."""
    n, width = image.shape
    if n % size == 0:  # whole rows alone: the same numbers, many times as fast
        return np.asarray(size * image.reshape(size, n // size, width).sum(axis=1, dtype=np.int64))
    result = np.empty((size, width), dtype=np.int64)
    for row in range(size):
        start, end = row * n, (row + 1) * n  # in parts; an old row is `size` parts
        first, last = start // size, (end - 1) // size
        if first == last:
            np.multiply(image[first], n, out=result[row], dtype=np.int64)
            continue
        middle = image[first + 1 : last]
        total = middle.sum(axis=0, dtype=np.int64) if len(middle) else 0
        result[row] = (
            size * total
            + (size * (first + 1) - start) * image[first].astype(np.int64)
            + (end - size * last) * image[last].astype(np.int64)
        )
    return result
