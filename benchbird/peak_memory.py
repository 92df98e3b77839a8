"""How much memory work takes: of torch's allocator on CUDA, of the process elsewhere.

Owns how it is read. On a CPU a process has one peak in its life, so each figure wants a process of its own.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import torch

from benchbird.backend import synchronize


class MemoryGauge:
    """What is taken between its making and its reading, at the most.

    Args:
        device: where the work will be done.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        if device.type == "cuda":
            synchronize(device)
            torch.cuda.reset_peak_memory_stats(device)
            self._before = torch.cuda.memory_allocated(device)
        else:
            self._before = resident_bytes()

    def taken_bytes(self) -> int | None:
        """Peak less what was held before; None where the device keeps no peak."""
        if self._device.type == "mps":
            return None
        synchronize(self._device)
        return max(0, peak_memory_bytes(self._device) - self._before)


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory held so far: by torch's allocator on CUDA, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def resident_bytes() -> int:
    """Memory that this process holds now; where the system doesn't tell, the most it ever held."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return peak_memory_bytes(torch.device("cpu"))
    return pages * os.sysconf("SC_PAGE_SIZE")
