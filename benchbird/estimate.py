"""How long a run will take, from a short probe of each segmenter at the protocol's size.

The probe runs in a child process like a trial; it sees random pixels, never data. Figures are estimates
for the plan and never enter a record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchbird import backend, timing, training
from benchbird.compilation import check_machine
from benchbird.contract import SegmenterSpec
from benchbird.environment import capture_environment
from benchbird.protocol import Protocol
from benchbird.reasons import describe_error
from benchbird.records import SegmenterIdentity
from benchbird.registry import SEGMENTERS, load_registry

SMALL_BATCH = 2
NATIVE_IMAGE_S = 0.02
START_S = 1.0
PATIENCE_S = 3.0
"""A step that would take longer is scaled up from a batch of `SMALL_BATCH`."""


@dataclass(frozen=True, kw_only=True)
class ProbeRequest:
    """What to probe, picklable."""

    protocol: Protocol
    segmenters: tuple[SegmenterIdentity, ...]
    plugin_files: tuple[Path, ...]
    device: str
    threads: int | None


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one segmenter takes: seconds for an optimiser step, and for predicting an image."""

    label: str
    step_s: float
    image_s: float


def trial_seconds(speed: Speed, protocol: Protocol, *, epochs: int, steps: int, n_val: int, n_test: int) -> float:
    """Seconds that a trial takes by a probe's speeds.

    Args:
        speed: of its segmenter.
        protocol: of the study.
        epochs: still to train.
        steps: optimiser steps of an epoch.
        n_val: validation images.
        n_test: test images.
    """
    learning = epochs * (steps * speed.step_s + n_val * speed.image_s) if speed.step_s else 0.0
    final = (n_val + n_test) * (speed.image_s + NATIVE_IMAGE_S)
    timed = sum(
        max(timing.MIN_SECONDS, (timing.MIN_PASSES + timing.WARM_UP_PASSES) * size * speed.image_s)
        for size in timing.BATCH_SIZES
    )
    return learning + final + timed + START_S


def probe(request: ProbeRequest, report: Callable[[Mapping[str, Any]], None]) -> None:
    """Report the environment, then for each segmenter its speed or why it can't be built."""
    device = torch.device(request.device)
    backend.apply_protocol(request.protocol, request.threads)
    report({"event": "environment", **asdict(capture_environment(device))})
    registry = load_registry(request.plugin_files, groups={SEGMENTERS})
    for segmenter in request.segmenters:
        try:
            check_machine(device.type, request.protocol)
            spec = registry.segmenters[segmenter.name].spec
            model = spec.build(**segmenter.options).to(device)
            speed = _measure(segmenter.label, spec, model, request.protocol, device)
            report({"event": "speed", **asdict(speed)})
        except (Exception, SystemExit) as error:
            report({"event": "unusable", "label": segmenter.label, "reason": describe_error(error)})


def _measure(label: str, spec: SegmenterSpec, model: nn.Module, protocol: Protocol, device: torch.device) -> Speed:
    """Time one step and one prediction, the second of two each."""
    sizes = sorted({min(SMALL_BATCH, protocol.batch_size), protocol.batch_size})
    step_s = image_s = 0.0
    for size in sizes:
        images = torch.rand(size, 3, protocol.image_size, protocol.image_size, device=device) * 2 - 1
        image_s = _seconds(partial(_predict, model, images, protocol), device) / size
        if spec.calibrate is None:
            step = _stepper(model, images, protocol)
            step_s = _seconds(step, device) * protocol.batch_size / size
        if max(step_s, image_s * protocol.batch_size) > PATIENCE_S:
            break
    return Speed(label=label, step_s=step_s, image_s=image_s)


def _predict(model: nn.Module, images: torch.Tensor, protocol: Protocol) -> None:
    model.eval()
    with torch.inference_mode(), backend.autocast(protocol, images.device):
        model(images)


def _stepper(model: nn.Module, images: torch.Tensor, protocol: Protocol) -> Callable[[], None]:
    state = training.start_training(model, protocol)
    target = (images[:, :1] > 0).float()

    def step() -> None:
        model.train()
        with backend.autocast(protocol, images.device):
            logits = model(images)
        loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), target)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.optimizer.step()

    return step


def _seconds(action: Callable[[], None], device: torch.device) -> float:
    duration = 0.0
    for _ in range(2):
        backend.synchronize(device)
        started = time.perf_counter()
        action()
        backend.synchronize(device)
        duration = time.perf_counter() - started
        if duration > PATIENCE_S:
            break
    return duration
