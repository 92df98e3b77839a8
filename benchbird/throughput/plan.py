"""What a timing is going to do: its segmenters, kinds of work, batch sizes and precisions, row by row.

Owns the decisions before anything is built; everything in it can be pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from benchbird.config.benchmark import BenchmarkConfig
from benchbird.config.choices import resolve_segmenters
from benchbird.plan import identify_segmenter
from benchbird.precisions import Precision
from benchbird.protocol import Protocol
from benchbird.records import SegmenterIdentity
from benchbird.registry import Registry
from benchbird.sampling import SamplingRule
from benchbird.workloads import WORKS, Work

BATCH_SIZES = (1, 8, 16, 32)


@dataclass(frozen=True, kw_only=True)
class RowKey:
    """One row of a timing: what is timed.

    Attributes:
        label: of the segmenter.
        precision: that it computes in.
        work: what it does.
        batch_size: images in an iteration.
    """

    label: str
    precision: Precision
    work: Work
    batch_size: int

    def __str__(self) -> str:
        return f"{self.label} {self.precision} {self.work} batch {self.batch_size}"


@dataclass(frozen=True, kw_only=True)
class Block:
    """Rows that take turns: one kind of work at one batch size."""

    work: Work
    batch_size: int
    rows: tuple[RowKey, ...]


@dataclass(frozen=True, kw_only=True)
class TimingPlan:
    """A timing, decided.

    Attributes:
        benchmark: name of the benchmark; None for segmenters by name.
        profile: that was applied, `full` for none.
        protocol: the recipe; each row replaces its precision.
        segmenters: in the order given; the first is the reference of ratios.
        calibrated: labels of segmenters without gradients, which have no training rows.
        plugin_files: plugins that the user named.
        works: kinds of work.
        batch_sizes: ascending.
        precisions: the first is the protocol's, where nothing else was asked for.
        device: `cpu`, `cuda` or `mps`.
        threads: for torch on the CPU; None leaves torch's choice.
        rule: how much is measured.
    """

    benchmark: str | None
    profile: str
    protocol: Protocol
    segmenters: tuple[SegmenterIdentity, ...]
    calibrated: frozenset[str]
    plugin_files: tuple[Path, ...]
    works: tuple[Work, ...]
    batch_sizes: tuple[int, ...]
    precisions: tuple[Precision, ...]
    device: str
    threads: int | None = None
    rule: SamplingRule = field(default_factory=SamplingRule)

    @property
    def torch_device(self) -> torch.device:
        """Where it computes."""
        return torch.device(self.device)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block that has a row, training first, small batches first."""
        blocks = [
            Block(work=work, batch_size=batch_size, rows=self._rows(work, batch_size))
            for work in WORKS
            if work in self.works
            for batch_size in self.batch_sizes
        ]
        return tuple(block for block in blocks if block.rows)

    @property
    def rows(self) -> tuple[RowKey, ...]:
        """Every row, block by block."""
        return tuple(row for block in self.blocks for row in block.rows)

    def protocol_in(self, precision: Precision) -> Protocol:
        """The recipe in one of the precisions."""
        return replace(self.protocol, precision=precision)

    def segmenter(self, label: str) -> SegmenterIdentity:
        """The segmenter with a label."""
        return next(one for one in self.segmenters if one.label == label)

    def _rows(self, work: Work, batch_size: int) -> tuple[RowKey, ...]:
        return tuple(
            RowKey(label=segmenter.label, precision=precision, work=work, batch_size=batch_size)
            for precision in self.precisions
            for segmenter in self.segmenters
            if work == "inference" or segmenter.label not in self.calibrated
        )


def make_timing_plan(
    config: BenchmarkConfig,
    registry: Registry,
    *,
    is_named: bool,
    plugin_files: Sequence[Path],
    works: Sequence[Work],
    batch_sizes: Sequence[int],
    precisions: Sequence[Precision],
    device: str,
    threads: int | None,
    rule: SamplingRule,
) -> TimingPlan:
    """Decide a timing.

    Args:
        config: the benchmark, or one made of named segmenters.
        registry: the loaded plugins.
        is_named: whether it is made of named segmenters.
        plugin_files: that the user named.
        works: kinds of work, at least one.
        batch_sizes: at least one.
        precisions: at least one, those of the table's first rows first.
        device: `cpu`, `cuda` or `mps`.
        threads: for torch on the CPU; None leaves torch's choice.
        rule: how much is measured.

    Raises:
        ConfigError: a segmenter or an option that isn't there, or an unfit image size.
    """
    specs = {name: offer.spec for name, offer in registry.segmenters.items()}
    choices = resolve_segmenters(config, specs)
    return TimingPlan(
        benchmark=None if is_named else config.name,
        profile=config.profile,
        protocol=config.protocol,
        segmenters=tuple(identify_segmenter(choice, registry) for choice in choices),
        calibrated=frozenset(choice.label for choice in choices if specs[choice.name].calibrate is not None),
        plugin_files=tuple(path.resolve() for path in plugin_files),
        works=tuple(works),
        batch_sizes=tuple(sorted(set(batch_sizes))),
        precisions=tuple(dict.fromkeys(precisions)),
        device=device,
        threads=threads,
        rule=rule,
    )
