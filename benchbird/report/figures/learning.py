"""How trials learned, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from benchbird.plain_text import plain_text
from benchbird.report.charts import Plot, Series, linear_axis
from benchbird.report.curves import TrialCurve
from benchbird.report.figures.value import Figure, Table
from benchbird.report.texts import name, number

MOST_NAMED = 6
"""Trials whose names a sentence can hold."""


def learning_figures(curves: Sequence[TrialCurve], order: Mapping[str, int]) -> list[Figure]:
    """Loss and validation IoU of every trial, two charts a segmenter, all on one scale.

    Args:
        curves: of the trials.
        order: label → place of its segmenter; one without comes last.
    """
    losses = [value for curve in curves for value in curve.loss if value is not None]
    ious = [value for curve in curves for value in curve.val_iou if value is not None]
    last = max((curve.epochs[-1] for curve in curves), default=1)
    figures = []
    labels = sorted({curve.label for curve in curves}, key=lambda label: (order.get(label, len(order)), label))
    for place, label in enumerate(labels):
        own = [curve for curve in curves if curve.label == label]
        marked = ", the selected epoch marked" if any(curve.best_epoch is not None for curve in own) else ""
        for kind, heading, values in (("val", "validation IoU", ious), ("loss", "training loss", losses)):
            series = tuple(_series(curve, kind, number_of) for number_of, curve in enumerate(own))
            figures.append(
                Figure(
                    name=f"curve-{kind}-{place}",
                    chart=Plot(
                        title=f"{name(label)}: {heading} by epoch",
                        x=linear_axis("epoch", [1.0, float(last)], low=1.0 if last > 1 else None, is_whole=True),
                        y=linear_axis(heading, values, low=0.0),
                        series=series,
                    ),
                    table=_curve_table(own, kind),
                    caption=f"A line a trial{marked}.",
                    summary=_summary(own, kind),
                )
            )
    return figures


def _series(curve: TrialCurve, kind: str, place: int) -> Series:
    values = curve.val_iou if kind == "val" else curve.loss
    line = tuple((float(x), y) for x, y in zip(curve.epochs, values, strict=True) if y is not None)
    marks = tuple(point for point in line if point[0] == curve.best_epoch)
    # By trial, not by segmenter: its name is on the chart, and its seeds must be told apart.
    return Series(name=plain_text(curve.name, 60), style=place, lines=(line,), marks=marks)


def _summary(curves: Sequence[TrialCurve], kind: str) -> str:
    """How far its trials came, a sentence."""
    words, digits = ("It ends at", "They end at"), 4
    if kind == "val":
        words, digits = ("Its best epoch has", "Their best epochs have"), 3
    told, reached = [], []
    for curve in curves:
        known = [one for one in (curve.val_iou if kind == "val" else curve.loss) if one is not None]
        if known:
            told.append(curve)
            reached.append(max(known) if kind == "val" else known[-1])
    if not reached:
        return ""
    low, high = number(min(reached), digits), number(max(reached), digits)
    if len(reached) == 1:
        return f"{words[0]} {low} ({_named(told)})."
    return f"{words[1]} {low if low == high else f'{low} to {high}'} ({_named(told)})."


def _named(curves: Sequence[TrialCurve]) -> str:
    names = [plain_text(curve.name, 60) for curve in curves]
    return "; ".join(names) if len(names) <= MOST_NAMED else f"{len(names)} trials"


def _curve_table(curves: Sequence[TrialCurve], kind: str) -> Table:
    by_trial = [
        dict(zip(curve.epochs, curve.val_iou if kind == "val" else curve.loss, strict=True)) for curve in curves
    ]
    epochs = sorted({epoch for curve in curves for epoch in curve.epochs})
    digits = 3 if kind == "val" else 4
    rows = tuple((str(epoch), *(number(values.get(epoch), digits) for values in by_trial)) for epoch in epochs)
    return Table(("epoch", *(curve.name for curve in curves)), rows, texts=())
