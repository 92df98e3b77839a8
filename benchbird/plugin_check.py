"""Whether a plugin keeps the contract, told point by point, and what its segmenters cost.

Everything of the plugin runs in a child process: what it does to its process, or to torch's settings, stays there.
The points themselves are `testing.py`'s.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchbird.contract import OptionValue, SegmenterSpec
from benchbird.contract_points import POINTS, keys_for
from benchbird.errors import BenchbirdError, Interrupted, PluginError
from benchbird.execution.local import Bounds, run_in_child

COST_BATCH = 2
"""Images of the training step that is timed: the fewest that every network can train on."""

SILENCE_S = 600.0
"""A point that takes longer hangs."""

TIMED_STEPS = 5
TIMED_S = 2.0
"""A step is timed so often, or until this many seconds have passed; the fastest counts, since others may compute."""


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """What is to be checked.

    Attributes:
        file: the plugin's file, of which every segmenter is checked; None for an installed one.
        name: of the one segmenter to check; None for all of the file.
        options: those that differ from its defaults; only with one segmenter.
        image_size: side of the square test images in pixels.
        with_onnx: whether an export as ONNX is tried too, of those that keep the contract.
    """

    file: Path | None
    name: str | None
    options: Mapping[str, OptionValue]
    image_size: int
    with_onnx: bool


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a segmenter costs at the size of the check, at best of a few: a hint, no timing to quote.

    Attributes:
        image_size: side of the images in pixels: what was asked for, rounded up to a size that the segmenter takes.
        parameters: trainable or not.
        gflop: 10⁹ FLOP (2 × multiply-adds) of one image, forward; None where it can't be counted.
        forward_ms: of one image in `eval()`.
        train_step_ms: of `COST_BATCH` images; None without gradients.
        memory_bytes: that the step, or the forward pass, took at its peak.
    """

    image_size: int
    parameters: int
    gflop: float | None
    forward_ms: float
    train_step_ms: float | None
    memory_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class OnnxExport:
    """What came of a segmenter's export as ONNX: good to know, no point of the contract.

    Attributes:
        difference: the greatest of a logit from PyTorch's, relative to the largest logit where that is above 1; None
            where it can't be exported.
        reason: a sentence that says what stands in the way; None where it can be exported.
    """

    difference: float | None
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class SegmenterCheck:
    """One segmenter's check.

    Attributes:
        name: of the segmenter.
        points: what was looked at → the failures of it, none where it is kept.
        not_looked_at: points that can't be, since one before them is broken.
        cost: None where a point is broken.
        onnx: None where a point is broken, or it wasn't asked for.
    """

    name: str
    points: Mapping[str, tuple[str, ...]]
    not_looked_at: tuple[str, ...]
    cost: Cost | None
    onnx: OnnxExport | None

    @property
    def is_kept(self) -> bool:
        """Whether nothing is broken."""
        return not any(self.points.values())


def check_plugin(request: CheckRequest, observe: Callable[[Mapping[str, Any]], None]) -> tuple[SegmenterCheck, ...]:
    """Check a plugin in a child process.

    Args:
        request: what is to be checked.
        observe: called with each event, for progress: `{"segmenter": …, "point": …, "failures": […]}`, and of those
            that can't be looked at `{"segmenter": …, "not_looked_at": […]}`.

    Returns:
        A check of each segmenter, by name.

    Raises:
        PluginError: the plugin can't be loaded, offers no such segmenter, or several for one set of options.
        Interrupted: the child was asked to end from outside.
    """
    heard = _Heard()

    def listen(event: Mapping[str, Any]) -> None:
        heard.add(event)
        observe(event)

    ending = run_in_child(carry_out, request, log=None, on_event=listen, bounds=Bounds(silence_s=SILENCE_S))
    if heard.refusal:
        raise PluginError(heard.refusal)
    if ending.was_asked:
        raise Interrupted("the check was asked to end")
    if ending.exit_code != 0:
        died = f"its process {ending.cause}; run the plugin's own tests to see why"
        if not heard.points:
            raise PluginError(f"{request.file or request.name}: {died}")
        unfinished = heard.costs.keys() - heard.exports.keys()
        if heard.is_checked and request.with_onnx and unfinished:  # what an exporter does isn't the network's fault
            reason = f"the export's process {ending.cause}"
            heard.exports |= {name: OnnxExport(difference=None, reason=reason) for name in unfinished}
        else:
            listen({"segmenter": list(heard.points)[-1], "point": "stays alive", "failures": [died]})
    return heard.checks()


@dataclass
class _Heard:
    """What the child has reported so far, by segmenter."""

    points: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    not_looked_at: dict[str, tuple[str, ...]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    exports: dict[str, OnnxExport] = field(default_factory=dict)
    refusal: str = ""
    is_checked: bool = False

    def add(self, event: Mapping[str, Any]) -> None:
        """Take one of the child's events in."""
        if "refused" in event:
            self.refusal = event["refused"]
        elif "checked" in event:
            self.is_checked = True
        elif "cost" in event:
            self.costs[event["segmenter"]] = Cost(**event["cost"])
        elif "onnx" in event:
            self.exports[event["segmenter"]] = OnnxExport(**event["onnx"])
        elif "not_looked_at" in event:
            self.not_looked_at[event["segmenter"]] = tuple(event["not_looked_at"])
        else:
            points = self.points.setdefault(event["segmenter"], {})
            if "point" in event:
                points[event["point"]] = tuple(event["failures"])

    def checks(self) -> tuple[SegmenterCheck, ...]:
        """A check of each segmenter, by name."""
        return tuple(
            SegmenterCheck(
                name=name,
                points=points,
                not_looked_at=self.not_looked_at.get(name, ()),
                cost=self.costs.get(name),
                onnx=self.exports.get(name),
            )
            for name, points in sorted(self.points.items())
        )


def carry_out(request: CheckRequest, report: Callable[[Mapping[str, Any]], None]) -> None:
    """The child's part of `check_plugin`."""
    try:
        specs = _specs(request)
    except BenchbirdError as error:
        report({"refused": str(error)})
        return
    from benchbird.testing import contract_points

    kept = []
    for spec in specs:
        report({"segmenter": spec.name})
        is_kept, seen = True, set()
        for point in contract_points(spec, options=request.options, image_size=request.image_size):
            report({"segmenter": spec.name, "point": point.name, "failures": list(point.failures)})
            is_kept = is_kept and not point.failures
            seen.add(point.key)
        if left := [POINTS[key] for key in keys_for(spec) if key not in seen]:
            report({"segmenter": spec.name, "not_looked_at": left})
        if is_kept:
            report({"segmenter": spec.name, "cost": dataclasses.asdict(_cost(spec, request))})
            kept.append(spec)
    report({"checked": True})
    # After all of them: the exporter is foreign code, which may take this process down.
    for spec in kept if request.with_onnx else ():
        report({"segmenter": spec.name, "onnx": dataclasses.asdict(_onnx(spec, request))})


def specs_of(file: Path | None, name: str | None) -> tuple[SegmenterSpec, ...]:
    """The segmenters of a plugin's file, or an installed one.

    Args:
        file: the plugin's file; None for an installed one.
        name: of the one segmenter; None for all of the file.

    Raises:
        PluginError: the plugin can't be loaded, or offers no such segmenter.
    """
    from benchbird.registry import SEGMENTERS, load_registry

    registry = load_registry([file] if file else [], groups={SEGMENTERS})
    own = str(file.resolve()) if file else None
    found = tuple(
        offer.spec
        for offered, offer in registry.segmenters.items()
        if (own is None or offer.plugin.name == own) and name in (None, offered)
    )
    if not found:
        known = ", ".join(registry.segmenters)
        problems = "".join(f"; {warning}" for warning in registry.warnings)
        raise PluginError(
            f"{file}: it offers no segmenter; return them from benchbird_segmenters"
            if file
            else f"no segmenter {name!r} is installed, nor is it a file; there are {known}{problems}"
        )
    return found


def file_and_name(target: str) -> tuple[Path | None, str | None]:
    """`FILE|NAME` as people give it: a plugin's file, or else the name of an installed segmenter."""
    is_file = target.endswith(".py") or Path(target).is_file()
    return (Path(target), None) if is_file else (None, target)


def _specs(request: CheckRequest) -> tuple[SegmenterSpec, ...]:
    found = specs_of(request.file, request.name)
    if request.options and len(found) > 1:
        raise PluginError(f"{request.file}: offers {len(found)} segmenters; give --option only where there is one")
    return found


def _cost(spec: SegmenterSpec, request: CheckRequest) -> Cost:
    import torch

    from benchbird.peak_memory import MemoryGauge
    from benchbird.protocol import Protocol
    from benchbird.seeding import seed_everything
    from benchbird.workloads import count_gflop, make_step

    device = torch.device("cpu")
    protocol = Protocol(image_size=_size(spec, request))
    seed_everything(0)
    model = spec.build(**spec.complete_options(request.options))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    gflop = count_gflop("inference", model, protocol, device)
    gauge = MemoryGauge(device)

    forward_ms = _milliseconds(make_step("inference", model, 1, protocol, device))
    train_ms = None
    if spec.calibrate is None:
        train_ms = _milliseconds(make_step("training", model, COST_BATCH, protocol, device))
    return Cost(
        image_size=protocol.image_size, parameters=parameters, gflop=gflop, forward_ms=forward_ms,
        train_step_ms=train_ms, memory_bytes=gauge.taken_bytes(),
    )  # fmt: skip


def _milliseconds(step: Callable[[], object]) -> float:
    """Of the fastest of a few, after one to warm up."""
    step()
    durations: list[float] = []
    while len(durations) < TIMED_STEPS and sum(durations) < TIMED_S:
        started = time.perf_counter()
        step()
        durations.append(time.perf_counter() - started)
    return min(durations) * 1e3


def _onnx(spec: SegmenterSpec, request: CheckRequest) -> OnnxExport:
    from benchbird.onnx_export import export_onnx
    from benchbird.seeding import seed_everything

    seed_everything(0)
    model = spec.build(**spec.complete_options(request.options))
    try:
        _, difference = export_onnx(model, _size(spec, request), {})
    except BenchbirdError as error:
        return OnnxExport(difference=None, reason=str(error))
    return OnnxExport(difference=difference, reason=None)


def _size(spec: SegmenterSpec, request: CheckRequest) -> int:
    """Side of the test images in pixels: the size that was asked for, rounded up to one that the segmenter takes."""
    return -(-request.image_size // spec.size_multiple) * spec.size_multiple
