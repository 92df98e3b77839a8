"""The short form of timing, which every trial leaves: throughput, latency, memory, parameters, operations.

Warm-up is excluded and the device synchronised around every pass, so that the work is measured and not
its launch. Inputs are made on the device beforehand. The full form is `throughput/contest.py`'s.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import nn

from benchbird.compilation import compiled
from benchbird.peak_memory import peak_memory_bytes
from benchbird.protocol import Protocol
from benchbird.records import Latency, Throughput, Timing
from benchbird.sampling import percentile
from benchbird.stopwatch import Stopwatch, stopwatch
from benchbird.training import Epoch
from benchbird.workloads import count_gflop, inference_step, make_batch

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
        clock: seconds, monotonic; CUDA has its own.
    """
    watch = stopwatch(device, clock)
    was_training = model.training
    model.eval()
    try:
        runnable = compiled(model, protocol)
        durations = {size: _pass_durations(runnable, size, protocol, device, watch) for size in BATCH_SIZES}
        gflop = count_gflop("inference", model, protocol, device)
    finally:
        model.train(was_training)
    milliseconds = sorted(1e3 * duration for duration in durations[1])
    return Timing(
        train_images_per_s=training_throughput(epochs),
        inference=tuple(
            Throughput(batch_size=size, images_per_s=size / statistics.median(durations[size])) for size in BATCH_SIZES
        ),
        latency_ms=Latency(p50=percentile(milliseconds, 0.50), p95=percentile(milliseconds, 0.95)),
        peak_memory_bytes=peak_memory_bytes(device),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        gflop=gflop,
    )


def training_throughput(epochs: Sequence[Epoch]) -> float | None:
    """Training images per second in steady state: median over epochs, the first left out as warm-up."""
    steady = epochs[1:] or epochs
    return statistics.median(epoch.train_images / epoch.train_s for epoch in steady) if steady else None


def _pass_durations(
    model: nn.Module, batch_size: int, protocol: Protocol, device: torch.device, watch: Stopwatch
) -> list[float]:
    """Seconds of each forward pass: at least `MIN_PASSES`, and as many as `MIN_SECONDS` takes."""
    one_pass = inference_step(model, make_batch(batch_size, protocol, device)[0], protocol)
    for _ in range(WARM_UP_PASSES):
        watch(one_pass)
    durations: list[float] = []
    total_s = 0.0
    while len(durations) < MIN_PASSES or total_s < MIN_SECONDS:
        durations.append(watch(one_pass))
        total_s += durations[-1]
    return durations
