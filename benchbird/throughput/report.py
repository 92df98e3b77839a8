"""What a timing found: its rows, its machine's peak and what to be warned of; frozen values, pure functions.

Owns how the reports of the child processes come together. Layout is `timing_table.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchbird.records import Environment, Status
from benchbird.sampling import Figures, Ratio, WarmUp, is_known
from benchbird.throughput.machine_peak import MachinePeak, best_of
from benchbird.throughput.plan import Block, RowKey, TimingPlan
from benchbird.workloads import Work

UNSTEADY_CV = 0.05
"""Above it a row's durations vary so much that its absolute figures are worth a warning."""

BUSY_CORES = 0.2
"""What others may use of the processor before that is worth a warning."""


@dataclass(frozen=True, kw_only=True)
class SegmenterFacts:
    """What doesn't depend on the machine.

    Attributes:
        parameters: their number, trainable or not.
        gflop: work → 10⁹ FLOP (2 × multiply-adds) of one image; None where torch can't count it.
    """

    parameters: int
    gflop: Mapping[Work, float | None]


@dataclass(frozen=True, kw_only=True)
class TimedRow:
    """A row that was timed.

    Attributes:
        key: what was timed.
        figures: its durations.
        warm_up: before them.
        reference: label of the segmenter that its ratio is to.
        ratio: to the reference, same precision, work and batch size; None for the reference itself.
        memory_bytes: that the work took at the most; None where it couldn't be told.
        parameters: of the model.
        gflop_per_image: of this work; None where torch can't count it.
        peak_gflop_per_s: of the machine in this precision; None if it wasn't measured.
    """

    key: RowKey
    figures: Figures
    warm_up: WarmUp
    reference: str
    ratio: Ratio | None
    memory_bytes: int | None
    parameters: int
    gflop_per_image: float | None
    peak_gflop_per_s: float | None

    @property
    def images_per_s(self) -> float:
        """Images divided by the median duration."""
        return 1e3 * self.key.batch_size / self.figures.p50_ms

    @property
    def gflop_per_s(self) -> float | None:
        """Operations that were done in a second, 10⁹."""
        return None if self.gflop_per_image is None else self.gflop_per_image * self.images_per_s

    @property
    def peak_share(self) -> float | None:
        """Of the machine's measured peak."""
        if self.gflop_per_s is None or self.peak_gflop_per_s is None:
            return None
        return self.gflop_per_s / self.peak_gflop_per_s


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Rows of one segmenter that could not be timed, for one reason.

    Attributes:
        label: of the segmenter.
        rows: which; empty for all of them.
        status: how they ended.
        reason: one line, fit to be published.
    """

    label: str
    rows: tuple[RowKey, ...]
    status: Status
    reason: str


@dataclass(frozen=True, kw_only=True)
class LargestBatch:
    """The largest batch that fits into the device's memory.

    Attributes:
        key: whose; its batch size is where the search began.
        batch_size: found; 0 if none fits.
        stopped: what other error than a lack of memory ended the search; empty for none.
        is_bound: whether a larger one wasn't tried.
    """

    key: RowKey
    batch_size: int
    stopped: str
    is_bound: bool


@dataclass
class Findings:
    """What the child processes have reported so far."""

    environment: Environment | None = None
    segmenters: dict[str, SegmenterFacts] = field(default_factory=dict)
    unusable: dict[str, tuple[Status, str]] = field(default_factory=dict)
    memory_bytes: dict[RowKey, int | None] = field(default_factory=dict)
    failed: dict[RowKey, tuple[Status, str]] = field(default_factory=dict)
    timed: dict[RowKey, tuple[Figures, WarmUp, str, Ratio | None]] = field(default_factory=dict)
    peaks: list[MachinePeak] = field(default_factory=list)
    others_cores: dict[Block, float | None] = field(default_factory=dict)
    largest: list[LargestBatch] = field(default_factory=list)

    def is_open(self, row: RowKey) -> bool:
        """Whether nothing is known against a row."""
        return row.label not in self.unusable and row not in self.failed


@dataclass(frozen=True, kw_only=True)
class TimingReport:
    """A timing that is over.

    Attributes:
        plan: what was to be done.
        environment: the machine and its software; None if no process could tell.
        rows: in the plan's order, those that were timed.
        failures: the others, with their reasons.
        largest: on devices that report a lack of memory.
        peaks: as measured, before and after.
        others_cores: that others used during a block, mean over its processes, of the worst block; None if unknown.
        warnings: sentences, the one that matters most first.
    """

    plan: TimingPlan
    environment: Environment | None
    rows: tuple[TimedRow, ...]
    failures: tuple[Failure, ...]
    largest: tuple[LargestBatch, ...]
    peaks: tuple[MachinePeak, ...]
    others_cores: float | None
    warnings: tuple[str, ...]

    @property
    def peak(self) -> MachinePeak | None:
        """The best of what was measured."""
        return best_of(self.peaks) if self.peaks else None


def assemble(plan: TimingPlan, findings: Findings, notices: Sequence[str] = ()) -> TimingReport:
    """Bring together what the child processes reported.

    Args:
        plan: of the timing.
        findings: all of them.
        notices: warnings that were known before.
    """
    peak = best_of(findings.peaks) if findings.peaks else None
    rows = []
    for key in plan.rows:
        facts = findings.segmenters.get(key.label)
        if key not in findings.timed or facts is None:
            continue
        figures, warm_up, reference, ratio = findings.timed[key]
        rows.append(
            TimedRow(
                key=key, figures=figures, warm_up=warm_up, reference=reference, ratio=ratio,
                memory_bytes=findings.memory_bytes.get(key), parameters=facts.parameters,
                gflop_per_image=facts.gflop.get(key.work),
                peak_gflop_per_s=peak.gflop_per_s.get(key.precision) if peak else None,
            )
        )  # fmt: skip
    loads = [cores for cores in findings.others_cores.values() if cores is not None]
    others = max(loads) if loads else None
    return TimingReport(
        plan=plan,
        environment=findings.environment,
        rows=tuple(rows),
        failures=_failures(findings),
        largest=tuple(findings.largest),
        peaks=tuple(findings.peaks),
        others_cores=others,
        warnings=(*notices, *_warnings(rows, others, plan)),
    )


def _failures(findings: Findings) -> tuple[Failure, ...]:
    failures = [
        Failure(label=label, rows=(), status=status, reason=reason)
        for label, (status, reason) in findings.unusable.items()
    ]
    by_reason: dict[tuple[str, Status, str], list[RowKey]] = {}
    for row, (status, reason) in findings.failed.items():
        by_reason.setdefault((row.label, status, reason), []).append(row)
    for (label, status, reason), rows in by_reason.items():
        failures.append(Failure(label=label, rows=tuple(rows), status=status, reason=reason))
    return tuple(failures)


def _warnings(rows: Sequence[TimedRow], others_cores: float | None, plan: TimingPlan) -> list[str]:
    sentences = []
    if others_cores is not None and others_cores > BUSY_CORES:
        sentences.append(
            f"other processes used up to {others_cores:.1f} cores meanwhile: end them, or time when they are done; "
            "until then trust the ratios alone"
        )
    unsteady = sorted((row for row in rows if row.figures.cv > UNSTEADY_CV), key=lambda row: -row.figures.cv)
    if unsteady:
        sentences.append(
            f"durations vary by more than 5 % in {len(unsteady)} of {len(rows)} rows, most in {unsteady[0].key} "
            f"(CV {100 * unsteady[0].figures.cv:.0f} %): quote medians and ratios, not means; for steadier figures end "
            "other programs, keep to mains power and cool air, and time again"
        )
    compared = [(row, row.ratio) for row in rows if row.ratio is not None]
    disturbed = [row for row, ratio in compared if ratio.is_disturbed]
    if disturbed:
        sentences.append(
            f"{len(disturbed)} of {len(compared)} ratios rest on rounds in which others computed too, as that of "
            f"{disturbed[0].key} does, and may not repeat: time on a quiet machine, or at least with --threads 1, "
            "which takes waiting out"
        )
    unsure = [(ratio.uncertainty, row) for row, ratio in compared
              if not ratio.is_disturbed and not is_known(ratio, plan.rule)]  # fmt: skip
    if unsure:
        share, worst = max(unsure, key=lambda one: one[0])
        known = f", that of {worst.key} to ± {100 * share:.1f} %" if share < math.inf else ""
        sentences.append(
            f"{len(unsure)} of {len(compared)} ratios are known less well than to ± "
            f"{100 * plan.rule.ratio_tolerance:g} %{known}: --max-seconds gives them more processes"
        )
    restless = [row for row in rows if not row.warm_up.is_stable]
    if restless:
        sentences.append(
            f"{len(restless)} of {len(rows)} rows had not come to rest when their warm-up ended, {restless[0].key} "
            "among them: the device may have been changing its clock, or others were at work"
        )
    return sentences
