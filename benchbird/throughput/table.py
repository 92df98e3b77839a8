"""A timing in words: a Markdown document and a JSON one.

Owns wording and layout. The numbers are `timing_report.py`'s; printing is the command's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from benchbird.environment import describe_machine
from benchbird.plain_text import plain_text
from benchbird.reporters.columns import MISSING
from benchbird.reporters.markdown import escape, escape_line, table
from benchbird.sampling import Ratio
from benchbird.throughput.report import UNSTEADY_CV, Failure, LargestBatch, TimedRow, TimingReport
from benchbird.workloads import WORKS, Work

REASON_LENGTH = 300

HEADINGS = (
    "batch", "precision", "segmenter", "images/s", "ratio (least–most)", "p50 ms", "p90 ms", "p99 ms", "CV %",
    "memory MB", "Mparam", "GFLOP", "GFLOP/s", "of peak", "first s",
)  # fmt: skip

ARE_NUMBERS = (True, False, False, *[True] * (len(HEADINGS) - 3))

TITLES: dict[Work, str] = {
    "training": "Training: forward, loss, backward and optimiser step, a batch on the device",
    "inference": "Inference: forward in eval mode without gradients, a batch on the device",
}

NOTES = (
    "images/s: batch / p50. p50, p90, p99: percentiles of one iteration in ms, the device idle before and after it. "
    "CV: standard deviation / mean of the iterations; ! above 5 %.",
    "ratio: how many times as fast as the first segmenter of the same precision and batch, in processes in each of "
    "which all are built anew and take turns; median of the processes, least and most. Quote it before images/s: noise "
    "meets all alike. On a CPU, iterations that others disturbed are set aside where enough are left; with one thread "
    "the waiting is.",
    "GFLOP: 10⁹ FLOP (2 × multiply-adds) of one image, in training forward and backward. of peak: share of the peak "
    "above in the row's precision. first: seconds of the first call in the first process, compilation included, which "
    "counts nowhere else.",
)

MEMORY_NOTES = {
    "cpu": "memory: most that the process of one row held beyond what it held before the model was built.",
    "cuda": "memory: most that torch's allocator held beyond what it held before the model was built.",
}


def render_timing(report: TimingReport, bf16: str) -> str:
    """Title, a table a kind of work, what couldn't be timed, warnings, notes.

    Args:
        report: what was found.
        bf16: a phrase on the device's bf16.
    """
    blocks = ["\n".join(_facts(report, bf16))]
    for work in WORKS:
        rows = [row for row in report.rows if row.key.work == work]
        if rows:
            blocks += [f"{TITLES[work]}:", table(HEADINGS, [_cells(row) for row in rows], ARE_NUMBERS)]
    if not report.rows:
        blocks.append("Nothing could be timed.")
    if report.largest:
        blocks += ["Largest batch that fits:", _largest_table(report.largest)]
    if report.failures:
        blocks.append("\n".join(["Not timed:", "", *map(_failure_line, report.failures)]))
    if report.warnings:
        lines = [f"- {escape_line(plain_text(warning, 600))}" for warning in report.warnings]
        blocks.append("\n".join(["Warnings:", "", *lines]))
    memory = [MEMORY_NOTES[report.plan.device]] if report.plan.device in MEMORY_NOTES else []
    blocks.append("\n".join(map(escape, [*NOTES, *memory])))
    return "\n\n".join(blocks) + "\n"


def timing_document(report: TimingReport) -> dict[str, Any]:
    """The same as JSON values, with whatever a reader may want to compute again."""
    plan = report.plan
    return {
        "benchmark": plan.benchmark,
        "profile": plan.profile if plan.benchmark else None,
        "image_size": plan.protocol.image_size,
        "device": plan.device,
        "protocols": {
            precision: {**plan.protocol_in(precision).as_dict(), "digest": plan.protocol_in(precision).digest}
            for precision in plan.precisions
        },
        "segmenters": [asdict(segmenter) for segmenter in plan.segmenters],
        "rule": asdict(plan.rule),
        "environment": asdict(report.environment) if report.environment else None,
        "machine_peak": asdict(report.peak) if report.peak else None,
        "machine_peaks_measured": [asdict(peak) for peak in report.peaks],
        "others_cores": report.others_cores,
        "rows": [_row_document(row) for row in report.rows],
        "largest_batches": [
            {**asdict(one.key), "batch_size": one.batch_size, "is_bound": one.is_bound, "stopped": one.stopped}
            for one in report.largest
        ],
        "failures": [asdict(failure) for failure in report.failures],
        "warnings": list(report.warnings),
    }


def _row_document(row: TimedRow) -> dict[str, Any]:
    return {
        **asdict(row.key),
        "images_per_s": row.images_per_s,
        **asdict(row.figures),
        "ratio": asdict(row.ratio) if row.ratio else None,
        "reference": row.reference,
        "warm_up": asdict(row.warm_up),
        "memory_bytes": row.memory_bytes,
        "parameters": row.parameters,
        "gflop_per_image": row.gflop_per_image,
        "gflop_per_s": row.gflop_per_s,
        "peak_share": row.peak_share,
    }


def _facts(report: TimingReport, bf16: str) -> list[str]:
    plan = report.plan
    size = plan.protocol.image_size
    what = f"{plan.benchmark}, profile {plan.profile}" if plan.benchmark else "Segmenters by name"
    digests = ", ".join(f"{one} {plan.protocol_in(one).digest}" for one in plan.precisions)
    lines = [f"**{escape(what)}**: timed at {size}×{size}, protocol {digests}."]
    for segmenter in plan.segmenters:
        options = ", ".join(f"{name}={value}" for name, value in segmenter.non_default_options.items())
        name = "" if segmenter.name == segmenter.label else f"{segmenter.name}, "
        if name or options:
            chosen = plain_text(f"{segmenter.label}: {name}{options or 'defaults'}", 200)
            lines.append(f"{escape(chosen)}.")
    environment = report.environment
    if environment is not None:
        software = f"torch {environment.packages.get('torch', '?')}, threads {environment.threads}"
        lines.append(escape(f"Machine: {describe_machine(environment)}; {plan.device}, {software}; {bf16}."))
    if (peak := report.peak) is not None:
        products = ", ".join(f"{name} {_number(value)} GFLOP/s" for name, value in peak.gflop_per_s.items())
        copy = f"copy {_number(peak.copy_gb_per_s)} GB/s"
        lines.append(escape(f"Peak measured here: {products} (matrix product), {copy} (read and written)."))
    if report.rows:
        processes = [row.figures.processes for row in report.rows]
        least, most = min(processes), max(processes)
        lines.append(f"Processes of each row: {least}{'' if least == most else f' to {most}'}.")
    return lines


def _cells(row: TimedRow) -> list[str]:
    ratio, figures = row.ratio, row.figures
    return [
        str(row.key.batch_size),
        row.key.precision,
        plain_text(row.key.label, 64),
        _number(row.images_per_s),
        "1" if ratio is None else _ratio(ratio),
        _number(figures.p50_ms),
        _number(figures.p90_ms),
        _number(figures.p99_ms),
        f"{100 * figures.cv:.1f}{' !' if figures.cv > UNSTEADY_CV else ''}",
        _maybe(row.memory_bytes, lambda value: f"{value / 1e6:.0f}"),
        _number(row.parameters / 1e6),
        _maybe(row.gflop_per_image, _number),
        _maybe(row.gflop_per_s, _number),
        _maybe(row.peak_share, lambda value: f"{100 * value:.0f} %" if value >= 0.01 else f"{100 * value:.1g} %"),
        _number(row.warm_up.first_call_s),
    ]


def _ratio(ratio: Ratio) -> str:
    least, most = (f"{value:.2f}" if value < 10 else _number(value) for value in (ratio.least, ratio.most))
    return f"{f'{ratio.median:.3f}' if ratio.median < 10 else _number(ratio.median)} ({least}–{most})"


def _largest_table(largest: Sequence[LargestBatch]) -> str:
    def found(one: LargestBatch) -> str:
        return f"at least {one.batch_size}" if one.is_bound else str(one.batch_size)

    rows = [
        [one.key.work, one.key.precision, plain_text(one.key.label, 64), found(one),
         plain_text(one.stopped, 80) or "memory"]
        for one in largest
    ]  # fmt: skip
    return table(["work", "precision", "segmenter", "batch", "limited by"], rows, [False, False, False, True, False])


def _failure_line(failure: Failure) -> str:
    rows = ""
    if failure.rows:
        sizes: dict[str, list[str]] = {}
        for row in failure.rows:
            sizes.setdefault(f"{row.work} {row.precision}", []).append(str(row.batch_size))
        rows = f" ({'; '.join(f'{kind} at batch {chr(44).join(found)}' for kind, found in sizes.items())})"
    reason = plain_text(failure.reason, REASON_LENGTH)
    fate = f"{rows}: {failure.status.replace('_', ' ')}: {reason}"
    # Bold first: a label such as `# x` would open a block of its own after the bullet.
    return f"- **{escape(plain_text(failure.label, 64))}**{escape(fate)}"


def _maybe(value: float | None, show: Callable[[float], str]) -> str:
    return MISSING if value is None else show(value)


def _number(value: float) -> str:
    """Three significant digits without an exponent: `0.0123`, `4.56`, `78.9`, `12345`."""
    if value == 0 or abs(value) < 1e-4:
        return f"{value:.1g}"
    return f"{value:#.3g}".removesuffix(".") if abs(value) < 99.95 else f"{value:.0f}"
