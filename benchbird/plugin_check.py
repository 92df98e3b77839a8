"""Whether a plugin keeps the contract, told point by point, and what its segmenters cost.

Everything of the plugin runs in a child process: what it does to its process, or to torch's settings, stays there.
The points themselves are `testing.py`'s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchbird.contract import OptionValue, SegmenterSpec
from benchbird.errors import BenchbirdError, Interrupted, PluginError
from benchbird.execution.local import Bounds, run_in_child

COST_BATCH = 2
"""Images of the training step that is timed: the fewest that every network can train on."""

SILENCE_S = 600.0
"""A point that takes longer hangs."""


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What is to be checked.

    Attributes:
        file: the plugin's file, of which every segmenter is checked; None for an installed one.
        name: of the one segmenter to check; None for all of the file.
        options: those that differ from its defaults; only with one segmenter.
        image_size: side of the square test images in pixels.
    """

    file: Path | None
    name: str | None
    options: Mapping[str, OptionValue]
    image_size: int


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a segmenter costs at the size of the check, measured once: a hint, no timing to quote.

    Attributes:
        parameters: trainable or not.
        gflop: 10⁹ FLOP (2 × multiply-adds) of one image, forward; None where it can't be counted.
        forward_ms: of one image in `eval()`.
        train_step_ms: of `COST_BATCH` images; None without gradients.
        memory_bytes: that the step, or the forward pass, took at its peak.
    """

    parameters: int
    gflop: float | None
    forward_ms: float
    train_step_ms: float | None
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class SegmenterCheck:
    """One segmenter's check.

    Attributes:
        name: of the segmenter.
        points: what was looked at → the failures of it, none where it is kept.
        cost: None where a point is broken.
    """

    name: str
    points: Mapping[str, tuple[str, ...]]
    cost: Cost | None

    @property
    def is_kept(self) -> bool:
        """Whether nothing is broken."""
        return not any(self.points.values())


def check_plugin(request: CheckRequest, observe: Callable[[Mapping[str, Any]], None]) -> tuple[SegmenterCheck, ...]:
    """Check a plugin in a child process.

    Args:
        request: what is to be checked.
        observe: called with each event, for progress: `{"segmenter": …, "point": …, "failures": […]}`.

    Returns:
        A check of each segmenter, by name.

    Raises:
        PluginError: the plugin can't be loaded, offers no such segmenter, or several for one set of options.
        Interrupted: the child was asked to end from outside.
    """
    points: dict[str, dict[str, tuple[str, ...]]] = {}
    costs: dict[str, Cost] = {}
    refused: list[str] = []

    def listen(event: Mapping[str, Any]) -> None:
        if "refused" in event:
            refused.append(event["refused"])
        elif "cost" in event:
            costs[event["segmenter"]] = Cost(**event["cost"])
        else:
            points.setdefault(event["segmenter"], {})
            if "point" in event:
                points[event["segmenter"]][event["point"]] = tuple(event["failures"])
        observe(event)

    ending = run_in_child(carry_out, request, log=None, on_event=listen, bounds=Bounds(silence_s=SILENCE_S))
    if refused:
        raise PluginError(refused[0])
    if ending.was_asked:
        raise Interrupted("the check was asked to end")
    if ending.exit_code != 0:
        died = f"its process {ending.cause}; run the plugin's own tests to see why"
        if not points:
            raise PluginError(f"{request.file or request.name}: {died}")
        listen({"segmenter": list(points)[-1], "point": "stays alive", "failures": [died]})
    return tuple(
        SegmenterCheck(name=name, points=found, cost=costs.get(name)) for name, found in sorted(points.items())
    )


def carry_out(request: CheckRequest, report: Callable[[Mapping[str, Any]], None]) -> None:
    """The child's part of `check_plugin`."""
    try:
        specs = list(_specs(request))
    except BenchbirdError as error:
        report({"refused": str(error)})
        return
    from benchbird.testing import contract_points

    for spec in specs:
        report({"segmenter": spec.name})
        is_kept = True
        for point in contract_points(spec, options=request.options, image_size=request.image_size):
            report({"segmenter": spec.name, "point": point.name, "failures": list(point.failures)})
            is_kept = is_kept and not point.failures
        if is_kept:
            report({"segmenter": spec.name, "cost": dataclasses.asdict(_cost(spec, request))})


def _specs(request: CheckRequest) -> Iterator[SegmenterSpec]:
    from benchbird.registry import SEGMENTERS, load_registry

    registry = load_registry([request.file] if request.file else [], groups={SEGMENTERS})
    own = str(request.file.resolve()) if request.file else None
    found = [
        offer.spec
        for name, offer in registry.segmenters.items()
        if (own is None or offer.plugin.name == own) and request.name in (None, name)
    ]
    if not found:
        known = ", ".join(registry.segmenters)
        problems = "".join(f"; {warning}" for warning in registry.warnings)
        raise PluginError(
            f"{request.file}: it offers no segmenter; return them from benchbird_segmenters"
            if request.file
            else f"no segmenter {request.name!r} is installed, nor is it a file; there are {known}{problems}"
        )
    if request.options and len(found) > 1:
        raise PluginError(f"{request.file}: offers {len(found)} segmenters; give --option only where there is one")
    yield from found


def _cost(spec: SegmenterSpec, request: CheckRequest) -> Cost:
    import time

    import torch

    from benchbird.peak_memory import MemoryGauge
    from benchbird.protocol import Protocol
    from benchbird.seeding import seed_everything
    from benchbird.workloads import count_gflop, make_step

    device = torch.device("cpu")
    size = -(-request.image_size // spec.size_multiple) * spec.size_multiple
    protocol = Protocol(image_size=size)
    seed_everything(0)
    model = spec.build(**spec.complete_options(request.options))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    gflop = count_gflop("inference", model, protocol, device)
    gauge = MemoryGauge(device)

    def milliseconds(step: Callable[[], object]) -> float:
        step()
        started = time.perf_counter()
        step()
        return (time.perf_counter() - started) * 1e3

    forward_ms = milliseconds(make_step("inference", model, 1, protocol, device))
    train_ms = None
    if spec.calibrate is None:
        train_ms = milliseconds(make_step("training", model, COST_BATCH, protocol, device))
    return Cost(
        parameters=parameters, gflop=gflop, forward_ms=forward_ms, train_step_ms=train_ms,
        memory_bytes=gauge.taken_bytes(),
    )  # fmt: skip
