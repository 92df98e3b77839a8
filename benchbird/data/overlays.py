"""Pictures for people: brightened, and with a mask in colour over them.

Owns how an image is shown. Published ones are nearly black, so that their square root is taken.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_BIRD = np.array([255, 120, 40], dtype=np.float64)
_OPACITY = 0.5


def brightened(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """An image, uint8 `(H, W)` or `(H, W, 3)`, by its square root: `(H, W, 3)`."""
    values = np.round(255.0 * np.sqrt(image.astype(np.float64) / 255.0)).astype(np.uint8)
    return np.repeat(values[..., None], 3, axis=2) if values.ndim == 2 else values


def with_mask(picture: npt.NDArray[np.uint8], mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A picture `(H, W, 3)` with what a mask `(H, W)` marks in colour."""
    coloured = picture.astype(np.float64)
    coloured[mask] = (1.0 - _OPACITY) * coloured[mask] + _OPACITY * _BIRD
    return np.asarray(np.round(coloured), dtype=np.uint8)
