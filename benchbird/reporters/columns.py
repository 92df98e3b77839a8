"""The one definition of what a leaderboard's table shows: columns, the words above it and the notes below.

Everything here is text of one line that nobody has escaped yet: escaping is each reporter's own work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from benchbird.definitions import DEFINITIONS
from benchbird.plain_text import plain_text
from benchbird.standings import Estimate, Leaderboard, Row
from benchbird.verdict import MOST_FOR_ALL_PAIRS

MISSING = "–"
NOT_ABOVE_FLOOR = "†"
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
    return (*_standing_columns(leaderboard), *_score_columns(leaderboard), *_cost_columns(leaderboard))


def _standing_columns(leaderboard: Leaderboard) -> list[Column]:
    shown = [Column("#", lambda row: MISSING if leaderboard.unranked else str(row.rank))]
    if any(row.letters for row in leaderboard.rows) and not leaderboard.unranked:
        if len(leaderboard.rows) > MOST_FOR_ALL_PAIRS:
            shown.append(Column("ranks", ranks_text))
        shown.append(Column("group", lambda row: row.letters or MISSING, is_number=False))
    return [
        *shown,
        Column("segmenter", lambda row: shown_name(row.label) + floor_mark(row), is_number=False),
        Column("options", options_text, is_number=False),
        Column("pretrained", lambda row: shown_name(row.pretraining), is_number=False),
    ]


def _score_columns(leaderboard: Leaderboard) -> list[Column]:
    title = DEFINITIONS[leaderboard.metric].title
    columns = [
        Column(title, lambda row: headline_text(row.score)),
        Column("95 %", lambda row: interval_text(row.score)),
        Column("n", lambda row: str(row.score.n)),
    ]
    if leaderboard.metric != "iou_pooled":
        columns.append(Column("IoU pooled", lambda row: score_text(row.iou_pooled.mean)))
    return [
        *columns,
        Column("native", lambda row: score_text(row.iou_native.mean)),
        Column("image", lambda row: score_text(row.iou_image_mean.mean)),
        Column("tuned", lambda row: score_text(row.iou_val_threshold.mean)),
        Column("last", lambda row: score_text(row.last_iou_pooled.mean)),
        Column("selected on", lambda row: score_text(row.val_iou_pooled.mean)),
    ]


def _cost_columns(leaderboard: Leaderboard) -> list[Column]:
    def speed(value: float | None, row: Row) -> str:
        return speed_text(value) + machine_mark(leaderboard, row.machine) if value is not None else MISSING

    return [
        Column("train/s", lambda row: speed(row.train_images_per_s, row)),
        Column(
            f"infer/s b{leaderboard.inference_batch_size}",
            lambda row: speed(row.inference_images_per_s, row),
        ),
        Column("p50 ms", lambda row: speed(row.latency_p50_ms, row)),
        Column("Mparam", lambda row: size_text(row.parameters, 1e6)),
        Column("GFLOP", lambda row: size_text(row.gflop, 1)),
    ]


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


def interval_text(estimate: Estimate) -> str:
    """`0.641–0.705`; with a mark where it covers less than seeds and recordings."""
    if estimate.low is None or estimate.high is None:
        return MISSING
    mark = {"recordings": "ʳ", "seeds": "ˢ"}.get(estimate.covers, "")
    return f"{estimate.low:.3f}–{estimate.high:.3f}{mark}"


def ranks_text(row: Row) -> str:
    """`2–4`: the ranks that the comparisons leave open."""
    if row.rank_low is None or row.rank_high is None:
        return MISSING
    return str(row.rank_low) if row.rank_low == row.rank_high else f"{row.rank_low}–{row.rank_high}"


def floor_mark(row: Row) -> str:
    """What a network carries that doesn't beat every floor."""
    return f" {NOT_ABOVE_FLOOR}" if row.is_above_floor is False else ""


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
    if leaderboard.detectable_difference is not None:
        counts += f"; minimum detectable difference {100 * leaderboard.detectable_difference:.1f} points"
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
    rendering, spectrum = (leaderboard.protocol.get(key) for key in ("rendering", "spectrum"))
    pictures = [f"rendering {plain_text(str(rendering), 20)}"] if rendering else []
    pictures += [f"{plain_text(str(spectrum), 20)} spectrum"] if spectrum else []
    if pictures:
        resolution += f"; {', '.join(pictures)}"
    folds = (
        f" Pooled over the {leaderboard.folds} folds of a cross-validation, whose training sets overlap: intervals are "
        "somewhat too short."
        if leaderboard.folds
        else ""
    )
    sentences = [
        f"Data {shown_name(leaderboard.dataset)}: {leaderboard.n_train} train, {leaderboard.n_val} val, "
        f"{leaderboard.n_test} test images ({_count(leaderboard.n_recordings_test, 'test recording')}).{folds}",
        f"Study {leaderboard.study}. {resolution}.",
        *_tuning(leaderboard),
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


def _tuning(leaderboard: Leaderboard) -> list[str]:
    """How the networks of a tuned track got their learning rates."""
    rule = leaderboard.protocol.get("tuning")
    rates = rule.get("learning_rates") if isinstance(rule, Mapping) else None
    if not isinstance(rule, Mapping) or not isinstance(rates, list | tuple):
        return []  # a record may hold anything
    listed = plain_text(", ".join(f"{rate:g}" if isinstance(rate, float) else str(rate) for rate in rates), 200)
    return [
        f"Tuned track: each network at the learning rate of {listed} with the best score on validation (seed "
        f"{plain_text(str(rule.get('seed')), 20)}, which is in no result); it stands among the options."
    ]


def verdict_lines(leaderboard: Leaderboard) -> list[str]:
    """The verdict, a sentence each; empty where there is nothing to say."""
    return [plain_text(sentence, 600) for sentence in leaderboard.verdict]


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
    definition = DEFINITIONS[leaderboard.metric]
    lines = [
        f"{definition.title}: {definition.meaning.rstrip('.')}; mean ± sd (n − 1) over n seeds."
        + ("" if definition.higher_is_better else " Lower is better."),
        *_interval_notes(leaderboard),
        "native: IoU pooled at the images' own size. image: mean over the images with bird. tuned: IoU "
        "pooled at the threshold that is best on validation. last: of the last epoch's weights. selected on: "
        "validation IoU pooled of the weights, which were chosen by it, so it is no result.",
        f"Speeds: images/s in training and in inference at batch {leaderboard.inference_batch_size}, latency "
        "in ms at batch 1, medians over seeds; "
        + ("the raised figure names the machine, " if several else "")
        + "compare them on one machine only. "
        "Mparam: million parameters. GFLOP: of one image, forward.",
    ]
    if any(row.is_above_floor is False for row in leaderboard.rows):
        lines.insert(2, f"{NOT_ABOVE_FLOOR}: not shown to be better than the floor, which learns nothing.")
    if leaderboard.superseded:
        lines.append(f"Not shown: {_count(leaderboard.superseded, 'trial')} of older versions of these segmenters.")
    return lines


def _interval_notes(leaderboard: Leaderboard) -> list[str]:
    covers = {row.score.covers for row in leaderboard.rows if row.score.low is not None}
    reasons = sorted({row.score.reason for row in leaderboard.rows if row.score.low is None and row.score.reason})
    parts = []
    if "seeds and recordings" in covers:
        parts.append("interval over new seeds and new test recordings, from a crossed design.")
    if "recordings" in covers:
        parts.append("ʳ: over new test recordings alone, for these weights.")
    if "seeds" in covers:
        parts.append("ˢ: over new seeds alone, on these recordings.")
    if reasons:
        parts.append(f"No interval: {'; '.join(plain_text(reason, 200).rstrip('.') for reason in reasons)}.")
    lines = [f"95 %: {' '.join(parts)}"] if parts else []
    if any(row.letters for row in leaderboard.rows) and not leaderboard.unranked:
        lines.append("group: segmenters that share a letter are not separable (paired, 0.05 after Holm).")
    return lines


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
