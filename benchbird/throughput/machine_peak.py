"""What the device reaches at its best here: a large matrix product in each precision, a large copy.

Measured, not read from a data sheet, so that a share of it says what is left to gain on this machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from benchbird.backend import apply_protocol
from benchbird.precisions import Precision
from benchbird.protocol import Protocol
from benchbird.stopwatch import Stopwatch

SIDES = (512, 1024, 2048, 4096, 8192)
"""Of the square matrices, from small to large."""

PATIENCE_S = 0.25
"""A product that would take longer isn't tried."""

REPETITIONS = 5
COPY_BYTES = {"cpu": 2**28, "cuda": 2**30, "mps": 2**28}


@dataclass(frozen=True, kw_only=True)
class MachinePeak:
    """The best that was measured on a device.

    Attributes:
        gflop_per_s: precision → 10⁹ FLOP/s (2 × multiply-adds) of a matrix product.
        copy_gb_per_s: 10⁹ bytes/s read and written by a copy within the device's memory.
    """

    gflop_per_s: Mapping[Precision, float]
    copy_gb_per_s: float


def measure_peak(
    protocol: Protocol, precisions: Sequence[Precision], device: torch.device, watch: Stopwatch, threads: int | None
) -> MachinePeak:
    """Measure a device's peak in each precision, and its copy.

    Args:
        protocol: gives every other flag; left applied in the last of the precisions.
        precisions: at least one.
        device: which.
        watch: its stopwatch.
        threads: for `apply_protocol`.
    """
    peaks: dict[Precision, float] = {}
    for precision in precisions:
        apply_protocol(replace(protocol, precision=precision), threads)
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        peaks[precision] = best_product(partial(_product, dtype, device), watch)
    return MachinePeak(gflop_per_s=peaks, copy_gb_per_s=_best_copy(device, watch))


def best_product(make: Callable[[int], Callable[[], object]], watch: Stopwatch) -> float:
    """10⁹ FLOP/s of the best product of square matrices.

    Args:
        make: side → the product of two such matrices.
        watch: tells its seconds.
    """
    best = 0.0
    for side in SIDES:
        product = make(side)
        first = watch(product)
        fastest = min(first, *(watch(product) for _ in range(REPETITIONS)))
        best = max(best, 2 * side**3 / fastest / 1e9)
        if first > PATIENCE_S / 8:
            break  # twice the side takes eight times as long
    return best


def best_of(peaks: Sequence[MachinePeak]) -> MachinePeak:
    """The best of several measurements, figure by figure; at least one, all of the same precisions."""
    return MachinePeak(
        gflop_per_s={name: max(peak.gflop_per_s[name] for peak in peaks) for name in peaks[0].gflop_per_s},
        copy_gb_per_s=max(peak.copy_gb_per_s for peak in peaks),
    )


def _product(dtype: torch.dtype, device: torch.device, side: int) -> Callable[[], object]:
    left, right = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
    result = torch.empty(side, side, device=device, dtype=dtype)
    return lambda: torch.mm(left, right, out=result)


def _best_copy(device: torch.device, watch: Stopwatch) -> float:
    size = COPY_BYTES[device.type]
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    fastest = min(watch(lambda: target.copy_(source)) for _ in range(2 * REPETITIONS))
    return 2 * size / fastest / 1e9
