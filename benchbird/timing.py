"""What a model costs on this machine: throughput, latency, memory, parameters, operations.

Warm-up is excluded and the device synchronised around every pass, so that the work is measured and not
its launch. Inputs are made on the device beforehand.
"""

from __future__ import annotations

import logging
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchbird.backend import autocast, synchronize
from benchbird.protocol import Protocol
from benchbird.records import Latency, Throughput, Timing
from benchbird.training import Epoch

logger = logging.getLogger(__name__)

BATCH_SIZES = (1, 16)
MIN_PASSES = 10
MIN_SECONDS = 1.0
WARM_UP_PASSES = 2


def measure(
    model: nn.Module,
    protocol: Protocol,
    device: torch.device,
    epochs: Sequence[Epoch] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Time inference in `eval()` and sum up what training took.

    Args:
        model: on `device`; left in the mode it was in.
        protocol: gives size, precision and layout.
        device: where to run.
        epochs: of the training in this process, for its throughput.
        clock: seconds, monotonic.
    """
    was_training = model.training
    model.eval()
    try:
        durations = {size: _pass_durations(model, size, protocol, device, clock) for size in BATCH_SIZES}
        gflop = _gflop(model, protocol, device)
    finally:
        model.train(was_training)
    milliseconds = sorted(1e3 * duration for duration in durations[1])
    return Timing(
        train_images_per_s=training_throughput(epochs),
        inference=tuple(
            Throughput(batch_size=size, images_per_s=size / statistics.median(durations[size])) for size in BATCH_SIZES
        ),
        latency_ms=Latency(p50=_percentile(milliseconds, 0.50), p95=_percentile(milliseconds, 0.95)),
        peak_memory_bytes=peak_memory_bytes(device),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflop=gflop,
    )


def training_throughput(epochs: Sequence[Epoch]) -> float | None:
    """Training images per second in steady state: median over epochs, the first left out as warm-up."""
    steady = epochs[1:] or epochs
    return statistics.median(epoch.train_images / epoch.train_s for epoch in steady) if steady else None


def peak_memory_bytes(device: torch.device) -> int:
    """Most memory held so far: by torch's allocator on CUDA, else by this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB


def _pass_durations(
    model: nn.Module, batch_size: int, protocol: Protocol, device: torch.device, clock: Callable[[], float]
) -> list[float]:
    """Seconds of each forward pass: at least `MIN_PASSES`, and as many as `MIN_SECONDS` takes."""
    layout = torch.channels_last if protocol.channels_last else torch.contiguous_format
    size = protocol.image_size
    noise = torch.rand(batch_size, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    images = noise.to(device).contiguous(memory_format=layout)

    def one_pass() -> float:
        synchronize(device)
        started = clock()
        with torch.inference_mode(), autocast(protocol, device):
            model(images)
        synchronize(device)
        return clock() - started

    for _ in range(WARM_UP_PASSES):
        one_pass()
    durations: list[float] = []
    total_s = 0.0
    while len(durations) < MIN_PASSES or total_s < MIN_SECONDS:
        durations.append(one_pass())
        total_s += durations[-1]
    return durations


def _gflop(model: nn.Module, protocol: Protocol, device: torch.device) -> float | None:
    """10⁹ FLOP of one image's forward pass; None if the model does nothing that torch can count."""
    images = torch.zeros(1, 3, protocol.image_size, protocol.image_size, device=device)
    try:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(images)
    except Exception as error:  # a model may refuse to be watched; that is not worth a trial
        logger.warning("the operations of the model can't be counted: %s", error)
        return None
    flop = counter.get_total_flops()
    return flop / 1e9 if flop else None


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Linear interpolation between the nearest ranks of sorted values."""
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])
