"""Which charts a study has, each with the table behind it.

Owns what is drawn of what. How a chart looks is `svg.py`'s and `pdf.py`'s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchbird.definitions import DEFINITIONS
from benchbird.plain_text import plain_text
from benchbird.report.charts import (
    Axis,
    Chart,
    Plot,
    Point,
    Series,
    Strip,
    Strips,
    linear_axis,
    log_axis,
    name_axis,
    number_text,
)
from benchbird.report.curves import TrialCurve
from benchbird.report.images import ImageScores, Stratification
from benchbird.report.texts import MISSING, amount, column_name, interval, name, number, score
from benchbird.standings import Leaderboard, Row

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class Table:
    """What stands behind a chart, as text of one line a cell that nobody has escaped yet.

    Attributes:
        headings: of the columns.
        rows: one text a column each.
        texts: places of the columns that are words, not numbers.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: tuple[int, ...] = (0,)


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its table and a sentence that tells how to read it.

    Attributes:
        name: file name without its ending, and identity in the page.
        chart: the drawing.
        table: its values.
        caption: one or two sentences.
    """

    name: str
    chart: Chart
    table: Table
    caption: str


def styles(leaderboard: Leaderboard) -> dict[str, int]:
    """Label → line style, the same in every chart: by place in the leaderboard."""
    return {row.label: place for place, row in enumerate(leaderboard.rows)}


def standing_figure(leaderboard: Leaderboard) -> Figure:
    """Scores with their intervals and tie groups, best at the top."""
    title = DEFINITIONS[leaderboard.metric].title
    style = styles(leaderboard)
    shown = [row for row in leaderboard.rows if row.score.mean is not None]
    values = [value for row in shown for value in (row.score.mean, row.score.low, row.score.high) if value is not None]
    strips = tuple(
        Strip(
            name=name(row.label),
            style=style[row.label],
            middle=row.score.mean,
            low=row.score.low,
            high=row.score.high,
            note=f"group {row.letters}" if row.letters else "",
        )
        for row in shown
    )
    rows = tuple(
        (
            name(row.label),
            score(row.score.mean),
            score(row.score.low),
            score(row.score.high),
            row.score.covers,
            row.letters or MISSING,
        )
        for row in shown
    )
    return Figure(
        name="standing",
        chart=Strips(title=f"{title} on test with 95 % intervals", x=linear_axis(title, values), strips=strips),
        table=Table(("segmenter", title, "low", "high", "interval covers", "group"), rows, texts=(0, 4, 5)),
        caption="Symbol: mean over seeds; line: 95 % interval. Segmenters that share a letter are not separable.",
    )


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


def cost_figures(leaderboard: Leaderboard) -> list[Figure]:
    """IoU against throughput, against training throughput and against parameters."""
    batch = leaderboard.inference_batch_size
    machine = leaderboard.machines[0] if leaderboard.machines else ""
    slower = [row for row in leaderboard.rows if row.machine == machine]
    where = f" Machine: {plain_text(machine, 120)}." if machine else ""
    if len(leaderboard.machines) > 1:
        where += " Segmenters that were timed on other machines are not drawn."
    speed = "The step line joins those that no other one beats in both."
    figures = [
        _cost(leaderboard, slower, "cost-inference", f"images/s in inference, batch {batch}",
              lambda row: row.inference_images_per_s, f"{speed}{where}", more_is_better=True),
        _cost(leaderboard, slower, "cost-training", "images/s in training",
              lambda row: row.train_images_per_s, f"{speed}{where}", more_is_better=True),
        _cost(leaderboard, leaderboard.rows, "cost-parameters", "parameters",
              lambda row: None if row.parameters is None else float(row.parameters),
              "Fewer parameters to the left. Those without parameters are not drawn.", more_is_better=False),
    ]  # fmt: skip
    return [figure for figure in figures if figure is not None]


def _cost(
    leaderboard: Leaderboard,
    rows: Iterable[Row],
    identity: str,
    label: str,
    value_of: Callable[[Row], float | None],
    caption: str,
    *,
    more_is_better: bool,
) -> Figure | None:
    style = styles(leaderboard)
    title = DEFINITIONS[leaderboard.metric].title
    points = [(row, value) for row in rows if row.score.mean is not None and (value := value_of(row))]
    if len(points) < 2:
        return None
    ends = [end for row, _ in points for end in (row.score.mean, row.score.low, row.score.high) if end is not None]
    series = []
    for row, value in points:
        assert row.score.mean is not None
        bars = (
            ((value, row.score.low, row.score.high),)
            if row.score.low is not None and row.score.high is not None
            else ()
        )
        series.append(
            Series(
                name=name(row.label),
                style=style[row.label],
                marks=((value, row.score.mean),),
                bars=bars,
                labels=((value, row.score.mean, name(row.label)),),
            )
        )
    axis = log_axis(label, [value for _, value in points])
    guide = _frontier([(value, row.score.mean or 0.0) for row, value in points], axis) if more_is_better else ()
    table = tuple(
        (name(row.label), score(row.score.mean), score(row.score.low), score(row.score.high), amount(value))
        for row, value in points
    )
    return Figure(
        name=identity,
        chart=Plot(title=f"{title} against {label}", x=axis, y=linear_axis(title, ends), series=tuple(series),
                   guides=(guide,) if guide else ()),
        table=Table(("segmenter", title, "low", "high", label), table),
        caption=f"{title} on test with 95 % intervals against {label} (logarithmic). {caption}",
    )  # fmt: skip


def pareto(points: Mapping[str, tuple[float, float]]) -> list[str]:
    """Names that no other one beats in both values, from the slowest to the fastest.

    Args:
        points: name → speed and score, more is better in both.
    """

    def is_beaten(one: tuple[float, float]) -> bool:
        return any(other != one and other[0] >= one[0] and other[1] >= one[1] for other in points.values())

    return sorted((name for name, one in points.items() if not is_beaten(one)), key=lambda name: points[name])


def _frontier(points: Sequence[Point], axis: Axis) -> tuple[Point, ...]:
    best = [points[int(place)] for place in pareto({str(place): point for place, point in enumerate(points)})]
    line: list[Point] = [(axis.low, best[0][1])]
    for place, (x, y) in enumerate(best):
        line.append((x, y))
        if place + 1 < len(best):
            line.append((x, best[place + 1][1]))
    return tuple(line)


def distribution_figure(leaderboard: Leaderboard, scores: ImageScores) -> Figure:
    """How IoU spreads over the test images with bird."""
    style = styles(leaderboard)
    strips, rows = [], []
    for label in _shown(leaderboard, scores):
        own = np.nan_to_num(scores.iou[label][scores.has_bird])
        if not len(own):
            continue
        low, inner_low, middle, inner_high, high = (float(one) for one in np.quantile(own, QUANTILES))
        strips.append(
            Strip(
                name=name(label),
                style=style[label],
                middle=middle,
                low=low,
                high=high,
                inner_low=inner_low,
                inner_high=inner_high,
                note=f"median {middle:.2f}",
            )
        )
        values = (low, inner_low, middle, inner_high, high, float(own.mean()))
        rows.append((name(label), *(score(value) for value in values), str(len(own))))
    return Figure(
        name="distribution",
        chart=Strips(title="IoU of single test images", x=linear_axis("IoU of an image", [0.0, 1.0], low=0.0, high=1.0),
                     strips=tuple(strips)),
        table=Table(("segmenter", "5 %", "25 %", "median", "75 %", "95 %", "mean", "images"), tuple(rows)),
        caption="Symbol: median image; thick: the middle half of the images; thin: from 5 % to 95 % of them. Each "
        "image's IoU is its mean over seeds; images without bird are left out.",
    )  # fmt: skip


def scatter_figure(leaderboard: Leaderboard, scores: ImageScores) -> Figure | None:
    """IoU of each test image under the two best segmenters."""
    labels = _shown(leaderboard, scores)[:2]
    if len(labels) < 2:
        return None
    first, second = labels
    style = styles(leaderboard)
    shown = np.flatnonzero(scores.has_bird)
    points = tuple(
        (float(x), float(y))
        for x, y in zip(np.nan_to_num(scores.iou[first][shown]), np.nan_to_num(scores.iou[second][shown]), strict=True)
    )
    rows = tuple(
        (
            plain_text(scores.sample_ids[place], 80),
            *(score(float(np.nan_to_num(scores.iou[one][place]))) for one in labels),
        )
        for place in shown
    )
    return Figure(
        name="scatter",
        chart=Plot(
            title="IoU of each test image under two segmenters",
            x=linear_axis(f"IoU by {name(first)}", [0.0, 1.0], low=0.0, high=1.0),
            y=linear_axis(f"IoU by {name(second)}", [0.0, 1.0], low=0.0, high=1.0),
            series=(Series(name="", style=style[first], marks=points),),
            guides=(((0.0, 0.0), (1.0, 1.0)),),
        ),
        table=Table(("image", name(first), name(second)), rows),
        caption="A point is a test image with bird, its IoU a mean over seeds. Below the diagonal the segmenter named "
        "at the bottom is better, above it the one named at the side.",
    )


def stratum_figures(leaderboard: Leaderboard, scores: ImageScores) -> list[Figure]:
    """IoU pooled by group of images, a chart a column of the manifest."""
    return [_stratum_figure(leaderboard, scores, one) for one in scores.strata]


def _stratum_figure(leaderboard: Leaderboard, scores: ImageScores, strata: Stratification) -> Figure:
    style = styles(leaderboard)
    labels = _shown(leaderboard, scores)
    groups = [row for row in strata.rows if any(row.estimates[label].mean is not None for label in labels)]
    series = []
    for number_of, label in enumerate(labels):
        # Beside one another, so that no interval hides another's.
        shift = (number_of - (len(labels) - 1) / 2) * (0.3 if strata.is_ordered else 0.7) / len(labels)
        known = [(place + shift, row.estimates[label]) for place, row in enumerate(groups)]
        points = tuple((x, one.mean) for x, one in known if one.mean is not None)
        bars = tuple((x, one.low, one.high) for x, one in known if one.low is not None and one.high is not None)
        lines = (points,) if strata.is_ordered else ()
        series.append(Series(name=name(label), style=style[label], lines=lines, marks=points, bars=bars))
    column = column_name(strata.column)
    rows = tuple(
        (
            plain_text(row.name, 60),
            str(row.n_images),
            str(row.n_recordings),
            *(interval(row.estimates[label]) for label in labels),
        )
        for row in strata.rows
    )
    return Figure(
        name=f"by-{''.join(letter if letter.isalnum() else '-' for letter in strata.column)}",
        chart=Plot(
            title=f"IoU pooled by {column}",
            x=name_axis(column, [f"{plain_text(row.name, 16)} ({row.n_images})" for row in groups]),
            y=linear_axis("IoU pooled", [0.0, 1.0], low=0.0, high=1.0),
            series=tuple(series),
        ),
        table=Table((column, "images", "recordings", *map(name, labels)), rows),
        caption="IoU pooled over the test images of each group, with 95 % intervals where there are enough "
        "recordings; in parentheses, how many images there are. Groups without any bird are left out.",
    )


def threshold_figure(leaderboard: Leaderboard, scores: ImageScores) -> Figure:
    """IoU pooled on test by the logit above which a pixel counts as bird."""
    style = styles(leaderboard)
    curve = scores.thresholds
    labels = _shown(leaderboard, scores)
    series = tuple(
        Series(
            name=name(label),
            style=style[label],
            lines=(tuple((float(x), float(y)) for x, y in zip(curve.thresholds, curve.test[label], strict=True)
                         if math.isfinite(y)),),
        )
        for label in labels
    )  # fmt: skip
    rows = tuple(
        (number_text(float(threshold), 2), *(score(float(curve.test[label][place])) for label in labels))
        for place, threshold in enumerate(curve.thresholds)
    )
    return Figure(
        name="thresholds",
        chart=Plot(
            title="IoU pooled on test by threshold",
            x=linear_axis("logit above which a pixel is bird", curve.thresholds.tolist()),
            y=linear_axis("IoU pooled", [0.0, 1.0], low=0.0, high=1.0),
            series=series,
            guides=(((0.0, 0.0), (0.0, 1.0)),),
        ),
        table=Table(("logit", *map(name, labels)), rows, texts=()),
        caption="Scores are taken at logit 0 (dotted); a curve that peaks elsewhere is of a segmenter whose logits are "
        "shifted. Choosing a threshold on test would be no result.",
    )


def _shown(leaderboard: Leaderboard, scores: ImageScores) -> list[str]:
    """Labels with image scores, in the order of the leaderboard."""
    return [row.label for row in leaderboard.rows if row.label in scores.iou]
