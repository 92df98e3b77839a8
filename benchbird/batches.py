"""A split as uint8 tensors where the computing is, and the float batches made from it.

Owns where the pixels live while training and how they are prepared. It neither decodes (`data/`) nor
decides an order (`training.py`).
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch

from benchbird.data.prepared import PreparedSplit
from benchbird.protocol import NORMALIZATION, Protocol

HALF_FRACTION = 128
"""In 255ths rounded half up, an area fraction is at least one half exactly from 128 on; a bicubic grey v is
more than one half, v / 255 > 0.5, exactly from 128 on too."""

DEVICE_SHARE = 0.5
"""A split stays in the accelerator's memory if it takes at most this share of what is free."""

COPIED_BYTES = 2**27
"""A split on the host is copied up to this size. A larger one stays in its file's pages, which the system takes back
when memory runs short, so that a data set of any size needs no more memory than a small one."""


class ResidentSplit:
    """The images and masks of a split, uint8, on the device where they fit, else on the host.

    Attributes:
        device: where batches are wanted.
        home: where the pixels are: `device` or the CPU. An index that is there already is used without waiting.
        images: uint8 `(N, C, S, S)`, C 1 where every image is grey, else 3; to be read only.
        masks: uint8 `(N, 1, S, S)`, in 255ths as `PreparedSplit.masks`; to be read only.
    """

    def __init__(self, split: PreparedSplit, protocol: Protocol, device: torch.device) -> None:
        self.device = device
        self._fraction = protocol.mask_target == "fraction"
        self._layout = memory_layout(protocol)
        size_bytes = split.images.nbytes + split.masks.nbytes
        self.home = _home(size_bytes, device)
        copy = self.home.type == "cpu" and size_bytes <= COPIED_BYTES
        self.images = _tensor(split.images, copy=copy).to(self.home)
        self.masks = _tensor(split.masks, copy=copy).unsqueeze(1).to(self.home)

    def __len__(self) -> int:
        return len(self.images)

    def pictures(self, index: torch.Tensor) -> torch.Tensor:
        """Normalised pictures, float32 `(B, 3, S, S)` in [-1, 1] on the device.

        Args:
            index: int64 `(B,)` positions in the split.
        """
        return normalized(self._pick(self.images, index), self._layout)

    def targets(self, index: torch.Tensor) -> torch.Tensor:
        """What the loss compares with, float32 `(B, 1, S, S)` in [0, 1] on the device."""
        fraction = self._pick(self.masks, index)
        if self._fraction:
            return fraction.to(torch.float32).div_(255.0)
        return (fraction >= HALF_FRACTION).to(torch.float32)

    def references(self, index: torch.Tensor) -> torch.Tensor:
        """What scores compare with, bool `(B, 1, S, S)` on the device."""
        return self._pick(self.masks, index) >= HALF_FRACTION

    def _pick(self, stored: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        index = index.to(self.home)
        if self.home == self.device:
            return torch.index_select(stored, 0, index)  # on a CPU several times as fast as stored[index]
        # Page-locked, so that the copy runs while this thread goes on; torch uses the block again once it is over.
        staged = _page_locked((len(index), *stored.shape[1:]))
        torch.index_select(stored, 0, index, out=staged)
        return staged.to(self.device, non_blocking=True)


def normalized(pixels: torch.Tensor, layout: torch.memory_format) -> torch.Tensor:
    """Pictures as every model gets them: float32 `(B, 3, S, S)` in [-1, 1].

    Args:
        pixels: uint8 `(B, C, S, S)`, C 1 or 3; grey ones are repeated.
        layout: in memory.
    """
    values = pixels.to(torch.float32)  # a copy: what follows is done in place
    normal = values.div_(255.0).sub_(NORMALIZATION["mean"]).div_(NORMALIZATION["std"])
    return normal.expand(-1, 3, -1, -1).contiguous(memory_format=layout)


def memory_layout(protocol: Protocol) -> torch.memory_format:
    """Of batches and models."""
    return torch.channels_last if protocol.channels_last else torch.contiguous_format


def _tensor(array: npt.NDArray[np.uint8], *, copy: bool) -> torch.Tensor:
    """The array as a tensor: a copy, or the very same memory, mapped from its file perhaps."""
    if copy:
        return torch.from_numpy(np.array(array))
    with warnings.catch_warnings():
        # Nobody writes to it.
        warnings.filterwarnings("ignore", "The given NumPy array is not writ", UserWarning)
        return torch.from_numpy(array)


def _page_locked(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.uint8, pin_memory=True)


def _home(size_bytes: int, device: torch.device) -> torch.device:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if size_bytes > DEVICE_SHARE * free:
            return torch.device("cpu")
    return device
