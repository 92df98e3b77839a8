"""Boundary IoU: overlap of the pixels near the contours of a prediction and its reference.

Cheng et al. 2021 (arXiv 2103.16562), with the distance and the border handling of their implementation.
Owns the boundary region of a mask and its counts; it refuses logits, files and whole-mask IoU.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

BOUNDARY_SHARE = 0.02
"""Width of the boundary region as a share of the image's diagonal, the paper's."""

Mask = npt.NDArray[np.bool_]

_SQUARE = np.ones((3, 3), dtype=np.bool_)


def boundary_width(height: int, width: int) -> int:
    """Width d of the boundary region in pixels: 2 % of the diagonal, rounded half to even, at least 1."""
    return max(1, round(BOUNDARY_SHARE * math.hypot(height, width)))


def boundary_region(mask: Mask) -> Mask:
    """The pixels of a mask whose chessboard distance to the nearest pixel outside it is at most d.

    Outside the image counts as outside the mask, so that a mask cut off by the border has a contour there.

    Args:
        mask: bool `(H, W)`.

    Returns:
        bool `(H, W)`, a part of `mask`: what d erosions with a 3 x 3 square take away.

    Raises:
        ValueError: if the mask is not bool or not two-dimensional.
    """
    from scipy import ndimage

    if mask.dtype != np.bool_ or mask.ndim != 2:
        raise ValueError(f"mask must be a bool mask of shape (H, W), found {mask.dtype} {mask.shape}")
    # The default border value 0 is the padding with background of the reference implementation.
    eroded: Mask = ndimage.binary_erosion(mask, _SQUARE, iterations=boundary_width(*mask.shape))
    return mask & ~eroded


def boundary_counts(predicted: Mask, reference: Mask) -> tuple[int, int]:
    """Intersection and union, in pixels, of the boundary regions of two masks, bool `(H, W)`.

    Raises:
        ValueError: if a mask is not bool or not two-dimensional, or if their shapes differ.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"masks must have one shape, found predicted {predicted.shape}, reference {reference.shape}")
    predicted_region = boundary_region(predicted)
    reference_region = boundary_region(reference)
    intersection = np.count_nonzero(predicted_region & reference_region)
    union = np.count_nonzero(predicted_region | reference_region)
    return int(intersection), int(union)
