"""A noise budget in words: a Markdown document and a JSON one.

Owns wording and layout. The numbers are `noise.py`'s; printing is the command's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchbird.environment import describe_machine
from benchbird.noise import Budget, Kind, Moved, SegmenterNoise, machines
from benchbird.plain_text import plain_text
from benchbird.records import TrialRecord
from benchbird.reporters.markdown import escape, escape_line, table

WHAT_DIFFERS: dict[Kind, str] = {
    "repeat": "nothing, the same seed again",
    "initialisation": "the first weights alone",
    "order": "the order of batches alone",
    "both": "both, as between two seeds",
}

HEADINGS = ("kind", "what differs", "n", "test IoU pooled", "sd", "95 % of sd", "min–max", "val IoU sd")

NOTES = (
    "IoU pooled of the selected weights. A point is 0.01 of it. n: trainings that have a score; in every kind one "
    "of them is the base seed's own training (repeat 1).",
    "sd: standard deviation (n − 1). So few trainings tell it only roughly: its 95 % interval is by chi-square, for "
    "scores that are normally distributed.",
    "order: of the batches, with whatever else an epoch draws at random, such as dropout. val IoU sd: of the "
    "validation score that chose the weights.",
)

REASON_LENGTH = 300


def render_noise(
    budget: Budget, records: Sequence[TrialRecord], noise: Sequence[SegmenterNoise], left_out: Sequence[str]
) -> str:
    """Title, a table and its sentences for each segmenter, failed trainings, notes.

    Args:
        budget: what was run.
        records: of all its trainings, at least one.
        noise: what they say, by segmenter.
        left_out: labels of segmenters that no seed changes.
    """
    facts = _facts(budget, records)
    if left_out:
        facts.append(f"Left out, since no seed changes what is calibrated: {', '.join(left_out)}.")
    blocks = ["\n".join(map(escape, facts))]
    for one in noise:
        blocks += [_title(one), _table(one), "\n".join(map(escape_line, sentences(one, is_exact=_is_exact(records))))]
        if one.failed:
            lines = [f"- **{variation}**, {escape(_fate(record))}" for variation, record in one.failed]
            blocks.append("\n".join(["Failed trainings:", "", *lines]))
    blocks.append("\n".join(map(escape, NOTES)))
    return "\n\n".join(blocks) + "\n"


def noise_document(
    budget: Budget, records: Sequence[TrialRecord], noise: Sequence[SegmenterNoise], left_out: Sequence[str]
) -> dict[str, Any]:
    """The same as JSON values; scores and deviations in [0, 1]."""
    plan = budget.plan
    return {
        "benchmark": plan.config.name,
        "profile": plan.config.profile,
        "study": plan.study,
        "seed": budget.seed,
        "repeats": max(variation.number for variation in budget.variations),
        "machines": machines(records),
        "segmenters": [_segmenter_document(one) for one in noise],
        "left_out": list(left_out),
    }


def plan_document(budget: Budget, left_out: Sequence[str], seconds: float) -> dict[str, Any]:
    """A budget before it is spent, as JSON values."""
    plan = budget.plan
    return {
        "benchmark": plan.config.name,
        "profile": plan.config.profile,
        "study": plan.study,
        "trainings": len(plan.trials),
        "to_run": len(plan.unended),
        "left_out": list(left_out),
        "estimate_s": seconds,
    }


def sentences(noise: SegmenterNoise, *, is_exact: bool) -> list[str]:
    """What the table says, in words.

    Args:
        noise: of one segmenter.
        is_exact: whether the same seed should repeat to the last bit where it was trained.
    """
    moved = {one.kind: one for one in noise.moved}
    lines = [f"{noise.segmenter.label}: {_reaches(moved)}; {_repeats(noise, moved['repeat'])}."]
    if is_exact and noise.repeats_identical is False:
        lines.append(
            "On a CPU in deterministic mode it should repeat exactly: look for random numbers from a generator of "
            "the segmenter's own, or for trainings of another machine."
        )
    if noise.segmenter.pretraining != "none":
        pretraining = plain_text(noise.segmenter.pretraining, REASON_LENGTH)
        lines.append(f"Its pretrained weights ({pretraining}) are no draw: the initialisation is that of the rest.")
    if noise.epoch_sd is not None:
        lines.append(
            f"Within a training, the validation IoU moves by {_points(noise.epoch_sd)} over the last {noise.epochs} "
            "epochs (sd, trend included): a change of that size between two epochs is no sign of progress."
        )
    return lines


def _reaches(moved: Mapping[Kind, Moved]) -> str:
    names: dict[Kind, str] = {"initialisation": "the initialisation", "order": "the order", "both": "both together"}
    told, shared = [], 0
    for kind, name in names.items():
        sd, n = moved[kind].test_sd, len(moved[kind].test)
        if sd is None:
            told.append(f"{name} can't be told from {n}")
        elif not shared:
            told.append(f"{name} moves the test IoU by {_points(sd)} (sd, {n} trainings)")
            shared = n
        else:
            told.append(f"{name} by {_points(sd)}" + (f" ({n} trainings)" if n != shared else ""))
    return ", ".join(told)


def _repeats(noise: SegmenterNoise, repeat: Moved) -> str:
    if noise.repeats_identical is None or repeat.test_sd is None:
        return "fewer than two repeats are done, so nothing can be said of the same seed"
    if repeat.test_sd == 0 and noise.repeats_identical:
        return "the same seed repeats exactly, weights identical bit for bit"
    if repeat.test_sd == 0:
        return "the same seed repeats its test IoU, though not its weights bit for bit"
    weights = "though the weights are identical" if noise.repeats_identical else "and the weights differ"
    return f"the same seed does not repeat: it moves the test IoU by {_points(repeat.test_sd)}, {weights}"


def _facts(budget: Budget, records: Sequence[TrialRecord]) -> list[str]:
    plan = budget.plan
    repeats = max(variation.number for variation in budget.variations)
    facts = [
        f"{plan.config.name}, profile {plan.config.profile}: noise budget, base seed {budget.seed}, "
        f"{repeats} trainings of each kind.",
        f"Study {plan.study}, data {plan.data.dataset}, {plan.protocol.epochs} epochs.",
        f"Machine: {describe_machine(records[-1].environment)}, {records[-1].environment.device}.",
    ]
    if (kinds := machines(records)) > 1:
        facts.append(
            f"Trainings of {kinds} machines or software versions are mixed: the spread is not the seeds' alone."
        )
    return facts


def _is_exact(records: Sequence[TrialRecord]) -> bool:
    return all(
        record.environment.device == "cpu" and record.protocol.get("deterministic") is True for record in records
    )


def _title(noise: SegmenterNoise) -> str:
    segmenter = noise.segmenter
    options = ", ".join(f"{name}={value}" for name, value in segmenter.non_default_options.items())
    return f"**{escape(segmenter.label)}**" + (f" ({escape(plain_text(options, REASON_LENGTH))})" if options else "")


def _table(noise: SegmenterNoise) -> str:
    rows = [[moved.kind, WHAT_DIFFERS[moved.kind], str(len(moved.test)), *_cells(moved)] for moved in noise.moved]
    return table(HEADINGS, rows, [False, False, *[True] * 6])


def _cells(moved: Moved) -> Iterable[str]:
    values = moved.test
    yield f"{sum(values) / len(values):.4f}" if values else "–"
    yield _sd(moved.test_sd)
    yield "–" if moved.test_sd_interval is None else "{:.4f}–{:.4f}".format(*moved.test_sd_interval)
    yield f"{min(values):.4f}–{max(values):.4f}" if values else "–"
    yield _sd(moved.val_sd)


def _sd(value: float | None) -> str:
    """An sd of exactly 0 is not one that rounds to it."""
    return "–" if value is None else "0" if value == 0 else f"{value:.4f}" if value >= 5e-5 else f"{value:.0e}"


def _points(value: float) -> str:
    points = 100 * value
    number = "0" if points == 0 else f"{points:.1f}" if points >= 0.1 else f"{points:.1g}"
    return f"{number} points"


def _fate(record: TrialRecord) -> str:
    return plain_text(f"{record.status.replace('_', ' ')}: {record.reason}", REASON_LENGTH)


def _segmenter_document(noise: SegmenterNoise) -> dict[str, Any]:
    return {
        "label": noise.segmenter.label,
        "options": dict(noise.segmenter.options),
        "kinds": [
            {
                "kind": moved.kind,
                "n": len(moved.test),
                "test_iou_pooled": list(moved.test),
                "val_iou_pooled": list(moved.val),
                "test_sd": moved.test_sd,
                "test_sd_interval_95": moved.test_sd_interval,
                "val_sd": moved.val_sd,
            }
            for moved in noise.moved
        ],
        "repeats_identical": noise.repeats_identical,
        "epoch_sd": noise.epoch_sd,
        "epochs_in_epoch_sd": noise.epochs,
        "failed": [
            {"kind": variation.kind, "number": variation.number, "status": record.status, "reason": record.reason}
            for variation, record in noise.failed
        ],
    }
