"""`benchbird time`: what training and inference cost here, in figures that a paper can quote."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from benchbird.errors import UsageError
from benchbird.option_types import FiniteRange

if TYPE_CHECKING:
    from benchbird.config.benchmark import BenchmarkConfig
    from benchbird.precisions import Precision
    from benchbird.throughput.plan import TimingPlan

WORKS = ("training", "inference")
PRECISIONS = ("fp32", "tf32", "bf16")
MOST_IMAGES = 65536


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The command line of one timing."""

    targets: tuple[str, ...]
    profile: str | None
    overrides: tuple[str, ...]
    plugins: tuple[Path, ...]
    labels: tuple[str, ...]
    size: int | None
    works: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    precisions: tuple[str, ...] | None
    min_seconds: float
    max_seconds: float
    threads: int | None
    device: str
    as_json: bool


class Words(click.ParamType[tuple[str, ...]]):
    """Words with commas between, each one of a few."""

    name = "words"

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allowed = allowed

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """The words in the order given, each once."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        for word in words:
            if word not in self._allowed:
                self.fail(
                    f"found {word!r}, expected some of {', '.join(self._allowed)}, with commas between", param, ctx
                )
        return tuple(dict.fromkeys(words))


class BatchSizes(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between."""

    name = "batch sizes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers, ascending, each once."""
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in str(value).split(",")]
        if not all(word.isascii() and word.isdigit() and 1 <= int(word[:9]) <= MOST_IMAGES for word in words):
            self.fail(f"found {value!r}, expected whole numbers from 1 to {MOST_IMAGES}, such as 1,8,16,32", param, ctx)
        return tuple(sorted({int(word) for word in words}))


@click.command(epilog="Example: benchbird time unet atrous_segnet --size 128 --work inference")
@click.argument("targets", nargs=-1, required=True, metavar="BENCHMARK|SEGMENTER…")
@click.option("--work", "works", type=Words(WORKS), default="training,inference", show_default=True,
              metavar="KIND,…", help="What to time.")  # fmt: skip
@click.option("--batch-sizes", type=BatchSizes(), default="1,8,16,32", show_default=True, metavar="B,…",
              help="Images in an iteration.")  # fmt: skip
@click.option("--precision", "precisions", type=Words(PRECISIONS), metavar="NAME,…",
              help="fp32, tf32 or bf16, a row each.  [default: the protocol's and those in hardware]")  # fmt: skip
@click.option("--size", type=click.IntRange(16, 4096), metavar="PIXELS",
              help="Side of the images, for segmenters by name.  [default: 256]")  # fmt: skip
@click.option("--only", "labels", multiple=True, metavar="LABEL", help="Only this segmenter. Can be repeated.")
@click.option("--profile", metavar="NAME", help="A profile of the benchmark, chosen as in `benchbird run`.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change one key. Can be repeated.")
@click.option("--plugin", "plugins", multiple=True, type=click.Path(path_type=Path), metavar="FILE",
              help="Also load this plugin file. Can be repeated.")  # fmt: skip
@click.option("--min-seconds", type=FiniteRange(0, 3600), default=3.0, show_default=True, metavar="S",
              help="Measure a row for so long, or for 100 iterations if they take less.")  # fmt: skip
@click.option("--max-seconds", type=FiniteRange(0, 3600), default=12.0, show_default=True, metavar="S",
              help="Go on for so long a row while a ratio isn't known to 1 %; three times as long where it isn't "
              "even to 2.5 %.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 1024), metavar="N",
              help="Threads to compute with on a CPU; 1 takes waiting for other processes out.  "
              "[default: torch's choice]")  # fmt: skip
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True,
              help="Where to compute.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout in place of the tables.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Time training and inference of a benchmark's segmenters, or of segmenters by name.

    A segmenter's options follow its name: `unet:encoder=resnet18,pretrained=none`. No data are read:
    images are noise. All rows of one batch size take turns in at least six processes, one after the other,
    so that their ratios hold on a noisy machine and in another process; a ratio is to the first segmenter.
    Leave the machine alone meanwhile. Exit code 1 if any row couldn't be timed.
    """  # fmt: skip
    ctx.exit(time(Settings(**options)))


def time(settings: Settings) -> int:
    """Carry out one timing; the exit code."""
    from benchbird.precisions import describe_bf16, emulation_warning
    from benchbird.throughput.session import run_timing
    from benchbird.throughput.table import render_timing, timing_document

    plan = _decide(settings)
    device = plan.torch_device
    notice = emulation_warning(plan.precisions, device)
    if notice:
        click.echo(f"warning    {notice}", err=True)
    for line in _lines(plan):
        click.echo(line, err=True)
    progress = Progress(plan)
    try:
        report = run_timing(plan, progress.observe, (notice,) if notice else ())
    finally:
        progress.close()
    if settings.as_json:
        click.echo(json.dumps({**timing_document(report), "bf16": describe_bf16(device)}, indent=2))
    else:
        click.echo(render_timing(report, describe_bf16(device)).encode(), nl=False)
    return 1 if report.failures else 0


def _decide(settings: Settings) -> TimingPlan:
    """Read and check what needs no model.

    Raises:
        ConfigError: the benchmark, a name, an option or an override can't be used.
        UsageError: options that can't go together, or nothing to time.
    """
    from benchbird.config.benchmark import only
    from benchbird.registry import SEGMENTERS, load_registry
    from benchbird.sampling import SamplingRule
    from benchbird.throughput.plan import make_timing_plan
    from benchbird.throughput.target import is_benchmark

    if settings.max_seconds < settings.min_seconds:
        raise UsageError(
            f"found --max-seconds {settings.max_seconds:g} below --min-seconds {settings.min_seconds:g}, "
            "expected at least as much"
        )
    config, device = _target(settings)
    if settings.labels:
        config = only(config, settings.labels)
    plugin_files = (*config.plugins, *settings.plugins)
    registry = load_registry(plugin_files, groups={SEGMENTERS})
    for warning in registry.warnings:
        click.echo(f"warning    {warning}", err=True)
    plan = make_timing_plan(
        config, registry,
        is_named=not is_benchmark(settings.targets), plugin_files=plugin_files,
        works=[work for work in ("training", "inference") if work in settings.works],
        batch_sizes=settings.batch_sizes,
        precisions=_precisions(settings, config, device), device=device, threads=settings.threads,
        rule=SamplingRule(min_seconds=settings.min_seconds, max_seconds=settings.max_seconds),
    )  # fmt: skip
    if not plan.rows:
        labels = ", ".join(segmenter.label for segmenter in plan.segmenters)
        raise UsageError(f"nothing to time: {labels} is calibrated, not trained by gradients; try --work inference")
    return plan


def _target(settings: Settings) -> tuple[BenchmarkConfig, str]:
    from benchbird.backend import choose_device
    from benchbird.config.schema import CPU_PROFILE
    from benchbird.throughput.target import is_benchmark, load_target

    def load(profile: str | None) -> BenchmarkConfig:
        return load_target(settings.targets, profile=profile, overrides=settings.overrides, size=settings.size)

    config = load(settings.profile)
    device = settings.device if settings.device == "cpu" else choose_device(settings.device).type
    is_default = settings.profile is None and is_benchmark(settings.targets)
    if is_default and device == "cpu" and CPU_PROFILE in config.profile_names:
        config = load(CPU_PROFILE)
    return config, device


def _precisions(settings: Settings, config: BenchmarkConfig, device: str) -> tuple[Precision, ...]:
    import torch

    from benchbird.precisions import PRECISIONS, default_precisions, precision_fault

    if settings.precisions is None:
        return default_precisions(config.protocol.precision, torch.device(device))
    asked = tuple(one for word in settings.precisions for one in PRECISIONS if one == word)
    if fault := precision_fault(asked, torch.device(device)):
        raise UsageError(f"--precision {','.join(asked)}: {fault}")
    return asked


def _lines(plan: TimingPlan) -> list[str]:
    what = f"benchmark {plan.benchmark}, profile {plan.profile}" if plan.benchmark else "segmenters by name"
    left_out = [label for label in (one.label for one in plan.segmenters) if label in plan.calibrated]
    size = f"{plan.protocol.image_size}×{plan.protocol.image_size}"
    lines = [
        f"timing     {what}: {len(plan.segmenters)} segmenters at {size} "
        f"on {plan.device}, {', '.join(plan.precisions)}",
        f"rows       {len(plan.rows)}: {', '.join(plan.works)} at batch {', '.join(map(str, plan.batch_sizes))}",
    ]
    if left_out and "training" in plan.works:
        lines.append(f"notice     no training rows, since it is calibrated: {', '.join(left_out)}")
    return lines


class Progress:
    """Shows what is timed, on stderr: one bar on a terminal, else a line where something begins."""

    def __init__(self, plan: TimingPlan) -> None:
        from tqdm import tqdm

        self._blocks = len(plan.blocks)
        self._process = 0
        self._bar: tqdm[Any] | None = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=self._blocks, unit="block", file=sys.stderr, leave=False)
        self._memory = False

    def observe(self, event: Mapping[str, Any]) -> None:
        """Show one event."""
        kind = event["event"]
        if kind == "inspecting":
            self._show(f"look       {event['label']}", event["label"])
        elif kind == "measuring_memory":
            if self._bar is not None or not self._memory:
                self._show("memory     a process for each row", f"memory of {event['row']}")
            self._memory = True
        elif kind in ("failed", "unusable"):
            self._line(f"warning    {event.get('row', event.get('label'))}: {event['reason']}")
        elif kind == "process_started":
            self._process = event["number"]
            line = f"time       process {self._process}"
            if self._blocks > 1:
                line += f": {event['blocks']} of {self._blocks} kinds of work and batch sizes"
            self._show(line, f"process {self._process}")
        elif kind == "block_started" and self._bar is not None:
            block = event["block"]
            self._bar.set_description_str(f"process {self._process}, {block.work} batch {block.batch_size}")
        elif kind == "block_ended" and self._bar is not None:
            self._bar.update()
        elif kind == "largest":
            self._show(f"largest    {event['row']}: {event['batch_size']}", "largest batch")

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show(self, line: str, brief: str) -> None:
        if self._bar is not None:
            self._bar.set_description_str(brief)
        else:
            self._line(line)

    def _line(self, text: str) -> None:
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr)
        else:
            click.echo(text, err=True)
