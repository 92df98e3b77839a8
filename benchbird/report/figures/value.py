"""A figure as a value: a chart with the table behind it and the words around it.

Owns no drawing and no choice of what is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchbird.report.charts import Chart
from benchbird.report.images import ImageScores
from benchbird.standings import Leaderboard


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


def shown_labels(leaderboard: Leaderboard, scores: ImageScores) -> list[str]:
    """Labels with image scores, in the order of the leaderboard."""
    return [row.label for row in leaderboard.rows if row.label in scores.iou]
