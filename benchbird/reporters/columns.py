"""The one definition of what a leaderboard's table shows: columns, the words above it and the notes below.

Everything here is text of one line that nobody has escaped yet: escaping is each reporter's own work.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from benchbird.plain_text import plain_text
from benchbird.records import Estimate, Leaderboard, Row

MISSING = "–"
_LABEL_LIMIT = 60
_OPTIONS_LIMIT = 80
_REASON_LIMIT = 300
_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Column:
    """One column: its heading, what it shows of a row, and whether that is a number."""

    heading: str
    text: Callable[[Row], str]
    is_number: bool = True


def columns(leaderboard: Leaderboard) -> tuple[Column, ...]:
    """The columns in their order; headings are short, `notes` says what they mean."""

    def speed(value: float | None, row: Row) -> str:
        return speed_text(value) + machine_mark(leaderboard, row.machine) if value is not None else MISSING

    return (
        Column("#", lambda row: str(row.rank)),
        Column("segmenter", lambda row: shown_name(row.label), is_number=False),
        Column("options", options_text, is_number=False),
        Column("pretrained", lambda row: shown_name(row.pretraining), is_number=False),
        Column("IoU pooled", lambda row: headline_text(row.iou_pooled)),
        Column("n", lambda row: str(row.iou_pooled.n)),
        Column("native", lambda row: score_text(row.iou_native.mean)),
        Column("image", lambda row: score_text(row.iou_image_mean.mean)),
        Column("Dice", lambda row: score_text(row.dice.mean)),
        Column("selected on", lambda row: score_text(row.val_iou_pooled.mean)),
        Column("train/s", lambda row: speed(row.train_images_per_s, row)),
        Column(
            f"infer/s b{leaderboard.inference_batch_size}",
            lambda row: speed(row.inference_images_per_s, row),
        ),
        Column("p50 ms", lambda row: speed(row.latency_p50_ms, row)),
        Column("Mparam", lambda row: size_text(row.parameters, 1e6)),
        Column("GFLOP", lambda row: size_text(row.gflop, 1)),
    )


def cells(leaderboard: Leaderboard) -> tuple[list[str], list[list[str]]]:
    """Headings, and one list of texts a row."""
    shown = columns(leaderboard)
    return [column.heading for column in shown], [[column.text(row) for column in shown] for row in leaderboard.rows]


def shown_name(name: str) -> str:
    """A name from outside, on one line and of bearable length."""
    return plain_text(name, _LABEL_LIMIT) or MISSING


def headline_text(estimate: Estimate) -> str:
    """`0.673 ± 0.012`; without a spread, which one seed has not, it says so."""
    if estimate.mean is None:
        return MISSING
    if estimate.sd is None:
        return f"{estimate.mean:.3f} (1 seed)"
    return f"{estimate.mean:.3f} ± {estimate.sd:.3f}"


def score_text(value: float | None) -> str:
    """A score as a fraction with three decimals."""
    return MISSING if value is None else f"{value:.3f}"


def speed_text(value: float | None) -> str:
    """Three significant digits, three decimals at most: more than timings repeat to."""
    if value is None:
        return MISSING
    decimals = 0 if value >= 100 or value == 0 else 1 if value >= 10 else 2 if value >= 1 else 3
    return f"{value:.{decimals}f}"


def size_text(value: float | None, unit: float) -> str:
    """A size in `unit`s, as `speed_text` writes it."""
    return speed_text(None if value is None else value / unit)


def options_text(row: Row) -> str:
    """Options that aren't defaults, without the one that has a column of its own."""
    shown = [
        f"{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in sorted(row.options.items())
        if not (name.startswith("pretrain") and value == row.pretraining)
    ]
    return plain_text(", ".join(shown), _OPTIONS_LIMIT) or MISSING


def machine_mark(leaderboard: Leaderboard, machine: str) -> str:
    """Which machine a speed was measured on, where there is more than one: `²`."""
    if len(leaderboard.machines) < 2:
        return ""
    return str(leaderboard.machines.index(machine) + 1).translate(_SUPERSCRIPTS)


def headline(leaderboard: Leaderboard) -> tuple[str, str]:
    """The benchmark's name, and what was run: what a title begins with."""
    done = sum(len(row.seeds) for row in leaderboard.rows)
    counts = f"{_count(len(leaderboard.rows), 'segmenter')}, {_count(done, 'trial')} done"
    if leaderboard.failed:
        counts += f", {len(leaderboard.failed)} failed"
    profile = plain_text(leaderboard.profile, _LABEL_LIMIT)
    return shown_name(leaderboard.benchmark), f"profile {profile}: {counts}."


def facts(leaderboard: Leaderboard) -> list[str]:
    """Data, study, resolution and machines: a sentence each."""
    size = leaderboard.protocol.get("image_size")
    resolution = f"Images of {size}×{size}" if isinstance(size, int) else "Images of the protocol's size"
    if leaderboard.ceiling_iou_native is not None:
        resolution += (
            f": resolution ceiling {leaderboard.ceiling_iou_native:.3f} "
            "(IoU native that the exact mask would reach at this size)"
        )
    sentences = [
        f"Data {shown_name(leaderboard.dataset)}: {leaderboard.n_train} train, {leaderboard.n_val} val, "
        f"{leaderboard.n_test} test images ({_count(leaderboard.n_recordings_test, 'test recording')}).",
        f"Study {leaderboard.study}. {resolution}.",
    ]
    if leaderboard.leaks_allowed:
        recordings = "recording is" if leaderboard.leaks_allowed == 1 else "recordings are"
        sentences.append(
            f"Attention: {leaderboard.leaks_allowed} {recordings} in more than one split; scores on test are too high."
        )
    machines = [plain_text(machine, 120) for machine in leaderboard.machines]
    if len(machines) == 1:
        sentences.append(f"Machine: {machines[0]}.")
    elif machines:
        listed = "; ".join(
            f"{machine_mark(leaderboard, machine)} {shown}"
            for machine, shown in zip(leaderboard.machines, machines, strict=True)
        )
        sentences.append(f"Machines: {listed}.")
    return sentences


def failures(leaderboard: Leaderboard) -> list[tuple[str, str]]:
    """Label and fate of the trials without a score; seeds with one fate share an entry."""
    seeds: dict[tuple[str, str, str], list[int]] = {}
    for trial in leaderboard.failed:
        seeds.setdefault((trial.label, trial.status, trial.reason), []).append(trial.seed)
    return [
        (
            shown_name(label),
            f"seed{'s' if len(failed) > 1 else ''} {', '.join(map(str, failed))}: "
            f"{status.replace('_', ' ')}{_because(reason)}",
        )
        for (label, status, reason), failed in seeds.items()
    ]


def _because(reason: str) -> str:
    shown = plain_text(reason, _REASON_LIMIT)
    return f": {shown}" if shown else ""


def notes(leaderboard: Leaderboard) -> list[str]:
    """What the columns mean, and what isn't in the table."""
    several = len(leaderboard.machines) > 1
    lines = [
        "IoU pooled: ΣTP / Σ(TP+FP+FN) over all pixels of the test images, mean ± sd (n − 1) over n seeds. "
        "native: the same at the images' own size. image: mean over the images with bird. Dice: pooled.",
        "selected on: validation IoU pooled of the weights, which were chosen by it, so it is no result.",
        f"Speeds: images/s in training and in inference at batch {leaderboard.inference_batch_size}, latency "
        "in ms at batch 1, medians over seeds; "
        + ("the raised figure names the machine, " if several else "")
        + "compare them on one machine only. "
        "Mparam: million parameters. GFLOP: of one image, forward.",
    ]
    if leaderboard.superseded:
        lines.append(f"Not shown: {_count(leaderboard.superseded, 'trial')} of older versions of these segmenters.")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
