"""Timings in memory: a plan of made-up segmenters, findings as if they had been measured, and a plugin that fails."""

from __future__ import annotations

from pathlib import Path

from benchbird.config.choices import SegmenterChoice
from benchbird.plan import identify_segmenter
from benchbird.precisions import Precision
from benchbird.protocol import Protocol
from benchbird.records import Environment, SegmenterIdentity
from benchbird.registry import load_registry
from benchbird.sampling import Figures, Ratio, SamplingRule, WarmUp
from benchbird.throughput.machine_peak import MachinePeak
from benchbird.throughput.plan import RowKey, TimingPlan
from benchbird.throughput.report import Findings, SegmenterFacts
from benchbird.workloads import Work

QUICK = SamplingRule(
    warm_up_window=1, warm_up_tolerance=1e9, warm_up_min_seconds=0.0, warm_up_max_iterations=2,
    chunk_s=0.0, min_rounds=2, max_rounds=3, min_iterations=1, min_seconds=0.0, max_seconds=0.0,
)  # fmt: skip

PLUGIN = '''\
"""Segmenters with one convolution; each but `plain` does something that it shouldn't."""

import os
import signal

import torch
from torch import nn

from benchbird import SegmenterSpec, hookimpl

BENCHBIRD_API = 1


class OneConvolution(nn.Module):
    def __init__(self, misdeed=lambda number: None, channels=1):
        super().__init__()
        self.layer = nn.Conv2d(3, channels, 3, padding=1)
        self.misdeed = misdeed
        self.calls = 0

    def forward(self, images):
        self.calls += 1
        self.misdeed(self.calls)
        return self.layer(images)


def refuse():
    raise RuntimeError("no weights in /some/where/file.pth")


def flip(number):
    torch.backends.cudnn.benchmark = True


def sly(number):
    if number > 3:  # when it is warmed up
        torch.backends.cudnn.benchmark = True


def stubborn(number):
    if number > 3:
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False


def exhaust(number):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 PiB")


def late(number):
    if number > 4:
        raise ValueError("had enough")


def die(number):
    if number > 4:
        os.kill(os.getpid(), signal.SIGKILL)


MISDEEDS = {"flips": flip, "sly": sly, "stubborn": stubborn, "exhausts": exhaust, "tires": late, "dies": die}


@hookimpl
def benchbird_segmenters():
    specs = [SegmenterSpec(name=name, build=lambda deed=deed: OneConvolution(deed)) for name, deed in MISDEEDS.items()]
    return [
        *specs,
        SegmenterSpec(name="plain", build=OneConvolution),
        SegmenterSpec(name="wide", build=lambda: OneConvolution(channels=2)),
        SegmenterSpec(name="refuses", build=refuse),
        SegmenterSpec(name="calibrated", build=OneConvolution, calibrate=lambda model, batches: None),
    ]
'''


def write_plugin(folder: Path) -> Path:
    path = folder / "misbehaving.py"
    path.write_text(PLUGIN)
    return path


def plan_of(
    *names: str,
    plugin: Path,
    works: tuple[Work, ...] = ("training", "inference"),
    batch_sizes: tuple[int, ...] = (2,),
    precisions: tuple[Precision, ...] = ("fp32",),
    device: str = "cpu",
    rule: SamplingRule = QUICK,
) -> TimingPlan:
    """A plan of segmenters of the plugin."""
    registry = load_registry([plugin], groups={"segmenters"})
    choices = [SegmenterChoice(name=name, label=name, options={}) for name in names]
    return TimingPlan(
        benchmark=None, profile="full", protocol=Protocol(image_size=16),
        segmenters=tuple(identify_segmenter(choice, registry) for choice in choices),
        calibrated=frozenset(name for name in names if name == "calibrated"),
        plugin_files=(plugin,), works=works, batch_sizes=batch_sizes, precisions=precisions, device=device,
        threads=None, rule=rule,
    )  # fmt: skip


def made_up_plan(*labels: str, calibrated: tuple[str, ...] = (), precisions: tuple[Precision, ...] = ("fp32",),
                 batch_sizes: tuple[int, ...] = (1, 8), device: str = "cpu") -> TimingPlan:  # fmt: skip
    """A plan of segmenters that no plugin has."""
    return TimingPlan(
        benchmark="bench", profile="cpu", protocol=Protocol(image_size=32),
        segmenters=tuple(
            SegmenterIdentity(name=label, label=label, options={}, non_default_options={}, plugin="p 1",
                              source_sha256="0" * 64, pretraining="none") for label in labels
        ),
        calibrated=frozenset(calibrated), plugin_files=(), works=("training", "inference"), batch_sizes=batch_sizes,
        precisions=precisions, device=device,
    )  # fmt: skip


def figures_of(p50_ms: float, cv: float = 0.01) -> Figures:
    return Figures(iterations=100, set_aside=2, seconds=0.1 * p50_ms, p50_ms=p50_ms, p90_ms=1.1 * p50_ms,
                   p99_ms=1.2 * p50_ms, cv=cv, processes=6, round_medians_ms=(p50_ms,) * 6)  # fmt: skip


def ratio_of(median: float, spread: float = 0.005, *, is_disturbed: bool = False) -> Ratio:
    return Ratio(median=median, least=median * (1 - 2 * spread), most=median * (1 + 2 * spread),
                 low=median * (1 - spread), high=median * (1 + spread), rounds=6,
                 is_disturbed=is_disturbed)  # fmt: skip


WARM = WarmUp(first_call_s=0.5, iterations=12, seconds=1.0, is_stable=True)

PEAK = MachinePeak(gflop_per_s={"fp32": 900.0}, copy_gb_per_s=11.0)

ENVIRONMENT = Environment(
    machine=None, device="cpu", cpu="Some CPU", cores=4, threads=3, memory_bytes=8 * 2**30, accelerator=None,
    accelerator_memory_bytes=None, os="Linux x86_64", python="3.11.1", packages={"torch": "9.9.9"},
)  # fmt: skip


def findings_of(plan: TimingPlan) -> Findings:
    """Every row timed, with 10 ms an image for the first segmenter, half of it for the second, and so on."""
    found = Findings(environment=ENVIRONMENT)
    labels = [segmenter.label for segmenter in plan.segmenters]
    for label in labels:
        found.segmenters[label] = SegmenterFacts(parameters=1_500_000, gflop={"training": 3.0, "inference": 1.0})
    for key in plan.rows:
        found.timed[key] = timed(key, labels)
        found.memory_bytes[key] = 50_000_000 * key.batch_size
    found.peaks = [
        MachinePeak(gflop_per_s=dict.fromkeys(plan.precisions, 900.0), copy_gb_per_s=11.0),
        MachinePeak(gflop_per_s=dict.fromkeys(plan.precisions, 1000.0), copy_gb_per_s=10.0),
    ]
    found.others_cores = {block: 0.05 for block in plan.blocks}
    return found


def timed(key: RowKey, labels: list[str]) -> tuple[Figures, WarmUp, str, Ratio | None]:
    number = labels.index(key.label)
    ratio = None if number == 0 else ratio_of(number + 1.0)
    return figures_of(10.0 * key.batch_size / (number + 1)), WARM, labels[0], ratio
