"""Numbers and names as the page and the paper write them, plain text of one line.

Owns digits, dashes and lengths; escaping is for whoever puts them into a document.
"""

from __future__ import annotations

import math

from benchbird.plain_text import plain_text
from benchbird.report.charts import number_text

MISSING = "–"


def column_name(column: str) -> str:
    """A manifest's column as people write it."""
    return {"snr_db": "SNR"}.get(column, plain_text(column.replace("_", " "), 40))


def name(label: str) -> str:
    """A label on one line, of bearable length."""
    return plain_text(label, 60) or MISSING


def amount(value: float) -> str:
    """Three digits that count, without a power of ten: `79,200`, `28.1`."""
    return f"{float(f'{value:.3g}'):,.10g}"


def score(value: float | None) -> str:
    """Three decimals, or a dash."""
    return number(value, 3)


def number(value: float | None, digits: int) -> str:
    """So many decimals, or a dash."""
    return MISSING if value is None or not math.isfinite(value) else number_text(value, digits)


def interval(estimate: object) -> str:
    """`0.62 (0.55 to 0.70)`, without what isn't known."""
    mean, low, high = (getattr(estimate, key) for key in ("mean", "low", "high"))
    if low is None or high is None:
        return score(mean)
    return f"{score(mean)} ({score(low)} to {score(high)})"
