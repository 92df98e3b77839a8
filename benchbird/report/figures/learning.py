"""How trials learned, epoch by epoch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchbird.report.charts import Plot, Point, Series, linear_axis
from benchbird.report.curves import TrialCurve
from benchbird.report.figures.value import Figure, Table, styles
from benchbird.report.texts import name, number
from benchbird.standings import Leaderboard


def learning_figures(leaderboard: Leaderboard, curves: Sequence[TrialCurve]) -> list[Figure]:
    """Loss and validation IoU of every trial, two charts a segmenter, all on one scale."""
    losses = [value for curve in curves for value in curve.loss if value is not None]
    ious = [value for curve in curves for value in curve.val_iou if value is not None]
    last = max((curve.epochs[-1] for curve in curves), default=1)
    style = styles(leaderboard)
    figures = []
    labels = sorted({curve.label for curve in curves}, key=lambda label: (style.get(label, len(style)), label))
    for place, label in enumerate(labels):
        own = [curve for curve in curves if curve.label == label]
        for kind, heading, values in (("val", "validation IoU", ious), ("loss", "training loss", losses)):
            lines = tuple(_points(curve.epochs, curve.val_iou if kind == "val" else curve.loss) for curve in own)
            marks = tuple(point for curve, line in zip(own, lines, strict=True) for point in _best(curve, line))
            series = Series(name="", style=style.get(label, 15), lines=lines, marks=marks)
            figures.append(
                Figure(
                    name=f"curve-{kind}-{place}",
                    chart=Plot(
                        title=f"{name(label)}: {heading} by epoch",
                        x=linear_axis("epoch", [1.0, float(last)], low=1.0 if last > 1 else None),
                        y=linear_axis(heading, values, low=0.0),
                        series=(series,),
                    ),
                    table=_curve_table(own, kind),
                    caption=f"{name(label)}, {heading}: a line a trial, the selected epoch marked.",
                )
            )
    return figures


def _points(xs: Sequence[int], ys: Sequence[float | None]) -> tuple[Point, ...]:
    return tuple((float(x), y) for x, y in zip(xs, ys, strict=True) if y is not None)


def _best(curve: TrialCurve, line: Sequence[Point]) -> Iterable[Point]:
    return [point for point in line if point[0] == curve.best_epoch]


def _curve_table(curves: Sequence[TrialCurve], kind: str) -> Table:
    by_trial = [
        dict(zip(curve.epochs, curve.val_iou if kind == "val" else curve.loss, strict=True)) for curve in curves
    ]
    epochs = sorted({epoch for curve in curves for epoch in curve.epochs})
    digits = 3 if kind == "val" else 4
    rows = tuple((str(epoch), *(number(values.get(epoch), digits) for values in by_trial)) for epoch in epochs)
    return Table(("epoch", *(curve.name for curve in curves)), rows, texts=())
