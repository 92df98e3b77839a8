"""Where segmenters fail: by image, by group of images, by threshold."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from benchbird.plain_text import plain_text
from benchbird.report.charts import STYLES, Plot, Series, Strip, Strips, linear_axis, name_axis, number_text
from benchbird.report.figures.value import Figure, Table, extremes, shown_labels, styles
from benchbird.report.images import ImageScores, Stratification
from benchbird.report.texts import column_name, interval, name, score, short_name
from benchbird.score_tables import Curve, ScoreRow
from benchbird.standings import Leaderboard

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def distribution_figure(leaderboard: Leaderboard, scores: ImageScores) -> Figure | None:
    """How IoU spreads over the test images with bird; None where there is none."""
    style = styles(leaderboard)
    medians: dict[str, float | None] = {}
    strips, rows = [], []
    for label in shown_labels(leaderboard, scores):
        own = np.nan_to_num(scores.iou[label][scores.has_bird])
        if not len(own):
            continue
        low, inner_low, middle, inner_high, high = (float(one) for one in np.quantile(own, QUANTILES))
        medians[label] = middle
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
    if not rows:
        return None
    return Figure(
        name="distribution",
        chart=Strips(title="IoU of single test images", x=linear_axis("IoU of an image", [0.0, 1.0], low=0.0, high=1.0),
                     strips=tuple(strips)),
        table=Table(("segmenter", "5 %", "25 %", "median", "75 %", "95 %", "mean", "images"), tuple(rows)),
        caption="Symbol: median image; thick: the middle half of the images; thin: from 5 % to 95 % of them. Each "
        "image's IoU is its mean over seeds; images without bird are left out.",
        summary=extremes(medians, "IoU of the median image", digits=2),
    )  # fmt: skip


def scatter_figure(
    leaderboard: Leaderboard, scores: ImageScores, anchors: Mapping[str, str] | None = None
) -> Figure | None:
    """IoU of each test image under the two best segmenters; None without two, or without an image with bird.

    Args:
        leaderboard: of the study.
        scores: of its test images.
        anchors: name of an image → identity of its pictures in the page.
    """
    labels = shown_labels(leaderboard, scores)[:2]
    if len(labels) < 2 or not scores.has_bird.any():
        return None
    first, second = labels
    style = styles(leaderboard)
    shown = np.flatnonzero(scores.has_bird)
    # To three digits, as the page's script has them: what is equal there is equal here.
    values = [[round(value, 3) for value in np.nan_to_num(scores.iou[one])[shown].tolist()] for one in labels]
    points = tuple(zip(*values, strict=True))
    ids = [scores.sample_ids[place] for place in shown]
    leads = tuple((anchors or {}).get(one, "") for one in ids)
    rows = tuple((plain_text(one, 80), score(x), score(y)) for one, x, y in zip(ids, *values, strict=True))
    return Figure(
        name="scatter",
        chart=Plot(
            title="IoU of each test image under two segmenters",
            x=linear_axis(f"IoU by {short_name(first)}", [0.0, 1.0], low=0.0, high=1.0),
            y=linear_axis(f"IoU by {short_name(second)}", [0.0, 1.0], low=0.0, high=1.0),
            series=(
                Series(
                    name="",
                    style=style[first] % (STYLES // 2),  # discs, which the page's script moves
                    marks=points,
                    titles=tuple(f"{label}: {x} and {y}" for label, x, y in rows),
                    anchors=leads,
                ),
            ),
            guides=(((0.0, 0.0), (1.0, 1.0)),),
        ),
        table=Table(("image", name(first), name(second)), rows, anchors=leads),
        caption="A point is a test image with bird, its IoU a mean over seeds. Below the diagonal the segmenter named "
        "at the bottom is better, above it the one named at the side. Point at one to "
        "read its name; those in the gallery lead there.",
        summary=duel(name(first), points),
    )


def duel(first: str, points: Sequence[tuple[float, float]]) -> str:
    """On how many images the first of two is better, a sentence; the page's script says the same of any two."""
    better, equal = sum(x > y for x, y in points), sum(x == y for x, y in points)
    return f"{first} is better on {better} of {len(points)} images{f', equal on {equal}' if equal else ''}."


def stratum_figures(leaderboard: Leaderboard, scores: ImageScores) -> list[Figure]:
    """IoU pooled by group of images, a chart a column of the manifest."""
    figures: dict[str, Figure] = {}
    for one in scores.strata:
        # Letters that every file system, LaTeX and a page's identities take.
        words = f"by-{re.sub('[^a-z0-9]+', '-', one.column.lower()).strip('-') or 'column'}"
        identity = words if words not in figures else f"{words}-{len(figures)}"
        figures[identity] = _stratum_figure(leaderboard, scores, one, identity)
    return list(figures.values())


def _stratum_figure(leaderboard: Leaderboard, scores: ImageScores, strata: Stratification, identity: str) -> Figure:
    style = styles(leaderboard)
    labels = shown_labels(leaderboard, scores)
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
        name=identity,
        chart=Plot(
            title=f"IoU pooled by {column}",
            x=name_axis(column, [f"{plain_text(row.name, 16)} ({row.n_images})" for row in groups]),
            y=linear_axis("IoU pooled", [0.0, 1.0], low=0.0, high=1.0),
            series=tuple(series),
        ),
        table=Table((column, "images", "recordings", *map(name, labels)), rows),
        caption="Over the test images of each group, with 95 % intervals where there are enough "
        "recordings; in parentheses, how many images there are. Groups without any bird are left out.",
        summary=_stratum_summary(labels[0], column, groups) if labels else "",
    )


def _stratum_summary(label: str, column: str, groups: Sequence[ScoreRow]) -> str:
    """Where the best segmenter's mean is lowest and highest, a sentence that claims no difference."""
    known = [(mean, plain_text(row.name, 40)) for row in groups if (mean := row.estimates[label].mean) is not None]
    if len(known) < 2:
        return ""
    low, high = min(known), max(known)
    return (
        f"By {column}, the mean of {name(label)} goes from {score(low[0])} ({low[1]}) to {score(high[0])} ({high[1]})."
    )


def threshold_figure(leaderboard: Leaderboard, scores: ImageScores) -> Figure:
    """IoU pooled on test by the logit above which a pixel counts as bird."""
    style = styles(leaderboard)
    curve = scores.thresholds
    labels = shown_labels(leaderboard, scores)
    axis = linear_axis("logit above which a pixel is bird", curve.thresholds.tolist())
    stated = leaderboard.protocol.get("logit_threshold")
    own = float(stated) if isinstance(stated, int | float) else 0.0
    is_drawn = axis.low <= own <= axis.high
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
            x=axis,
            y=linear_axis("IoU pooled", [0.0, 1.0], low=0.0, high=1.0),
            series=series,
            guides=(((own, 0.0), (own, 1.0)),) if is_drawn else (),
        ),
        table=Table(("logit", *map(name, labels)), rows, texts=()),
        caption=f"A segmenter gives every pixel a number, its logit; pixels above {own:g}"
        f"{' (dotted)' if is_drawn else ''} count as bird, and all scores are taken there. A curve that peaks "
        "elsewhere is of a segmenter that would do better with another threshold, but one chosen on test would be no "
        "result.",
        summary=_threshold_summary(labels[0], curve) if labels else "",
    )


def _threshold_summary(label: str, curve: Curve) -> str:
    own = np.nan_to_num(curve.test[label], nan=-1.0)
    peak = int(own.argmax())
    if own[peak] <= 0:
        return ""
    logit = number_text(float(curve.thresholds[peak]), 2)
    return f"The curve of {name(label)} peaks at logit {logit}, with {score(own[peak])}."
