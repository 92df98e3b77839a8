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


def short_name(label: str) -> str:
    """A label that an axis has room for; the page's script cuts likewise."""
    return plain_text(label, 30) or MISSING


def amount(value: float) -> str:
    """Three digits that count, without a power of ten: `79,200`, `28.1`."""
    return f"{float(f'{value:.3g}'):,.10g}"


def span(seconds: float) -> str:
    """A time as people say it, in its two largest units: `1 h 23 min`, `2 min 5 s`, `12 s`, `0.4 s`."""
    if not math.isfinite(seconds) or seconds < 0:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    days, hours, minutes = whole // 86_400, whole // 3600 % 24, whole // 60 % 60
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


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
