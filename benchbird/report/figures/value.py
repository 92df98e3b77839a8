"""A figure as a value: a chart with the table behind it and the words around it.

Owns no drawing and no choice of what is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from benchbird.report.charts import Chart
from benchbird.report.images import ImageScores
from benchbird.report.texts import name, number
from benchbird.standings import Leaderboard


@dataclass(frozen=True)
class Table:
    """What stands behind a chart, as text of one line a cell that nobody has escaped yet.

    Attributes:
        headings: of the columns.
        rows: one text a column each.
        texts: places of the columns that are words, not numbers.
        anchors: identity of what in the page each row's first cell leads to, or an empty text; empty, or one a row.
    """

    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: tuple[int, ...] = (0,)
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart with its table and a sentence that tells how to read it.

    Attributes:
        name: file name without its ending, and identity in the page.
        chart: the drawing.
        table: its values.
        caption: one or two sentences on how to read it; its title stands before.
        summary: a sentence on what it shows; empty where it shows nothing.
    """

    name: str
    chart: Chart
    table: Table
    caption: str
    summary: str


def styles(leaderboard: Leaderboard) -> dict[str, int]:
    """Label → line style, the same in every chart: by place in the leaderboard."""
    return {row.label: place for place, row in enumerate(leaderboard.rows)}


def extremes(values: Mapping[str, float | None], noun: str, digits: int = 3) -> str:
    """A sentence on the highest and the lowest of values by name; empty without any."""
    known = {key: value for key, value in values.items() if value is not None and math.isfinite(value)}
    if not known:
        return ""
    high, low = max(known, key=lambda key: known[key]), min(known, key=lambda key: known[key])
    if len(known) > 1 and known[high] == known[low]:
        return f"The {noun} of each is {number(known[high], digits)}."
    if len(known) == 1:
        return f"The {noun} of {name(high)} is {number(known[high], digits)}."
    return (
        f"The {noun} is highest for {name(high)}, {number(known[high], digits)}, and lowest for {name(low)}, "
        f"{number(known[low], digits)}."
    )


def shown_labels(leaderboard: Leaderboard, scores: ImageScores) -> list[str]:
    """Labels with image scores, in the order of the leaderboard."""
    return [row.label for row in leaderboard.rows if row.label in scores.iou]
