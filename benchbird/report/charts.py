"""Charts as values: what is drawn, not how it looks.

Owns axes and their ticks. `svg.py` draws them for the page and as files, `pdf.py` for print; both show the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Point = tuple[float, float]

STYLES = 16
"""Line styles that can be told apart: eight colours, each solid with discs and dashed with squares."""

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_NARROWEST = 1e-9
_LOG_TICKS = ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7), range(1, 10))
"""Factors of powers of ten, from the fewest on."""
_TICKS, _FEWEST_TICKS = 5, 3


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: with its unit.
        low: value at its beginning, finite.
        high: value at its end, above `low`.
        ticks: value and text, ascending, within the axis.
        is_log: whether equal ratios are equally far apart; then `low` is above 0.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]
    is_log: bool = False

    def share(self, value: float) -> float:
        """How far along the axis a value is: 0 at `low`, 1 at `high`."""
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


@dataclass(frozen=True, kw_only=True)
class Series:
    """What belongs to one name in a chart.

    Attributes:
        name: in the legend.
        style: which of the line styles, from 0.
        lines: each drawn through its points in order.
        marks: points with a symbol.
        bars: vertical intervals: x, low, high.
        labels: texts beside points.
        titles: what a pointer over each mark is told; empty, or one for each.
        anchors: identity of what in the page each mark leads to, or an empty text; empty, or one for each.
    """

    name: str
    style: int
    lines: tuple[tuple[Point, ...], ...] = ()
    marks: tuple[Point, ...] = ()
    bars: tuple[tuple[float, float, float], ...] = ()
    labels: tuple[tuple[float, float, str], ...] = ()
    titles: tuple[str, ...] = ()
    anchors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Two axes with series.

    Attributes:
        title: what is shown, in a few words; also the name of its file.
        x: the horizontal axis.
        y: the vertical axis.
        series: drawn one over the other.
        guides: lines without a name, such as a diagonal.
    """

    title: str
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    guides: tuple[tuple[Point, ...], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Strip:
    """One line of a `Strips` chart; values None are not drawn.

    Attributes:
        name: at its beginning.
        style: as in `Series`.
        middle: a symbol.
        low: beginning of the thin line.
        high: its end.
        inner_low: beginning of the thick one.
        inner_high: its end.
        note: at its end.
    """

    name: str
    style: int
    middle: float | None
    low: float | None = None
    high: float | None = None
    inner_low: float | None = None
    inner_high: float | None = None
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Strips:
    """Named horizontal intervals over one axis.

    Attributes:
        title: as in `Plot`.
        x: the axis.
        strips: from top to bottom.
    """

    title: str
    x: Axis
    strips: tuple[Strip, ...]


Chart = Plot | Strips


def linear_axis(
    label: str, values: Iterable[float], *, low: float | None = None, high: float | None = None, is_whole: bool = False
) -> Axis:
    """An axis with round ticks that holds the finite ones of the values.

    Args:
        label: of the axis.
        values: to be shown.
        low: where it begins; None for a round number below the values.
        high: where it ends, likewise.
        is_whole: whether there is nothing between whole numbers.
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    first = min(finite) if low is None else low
    last = max(finite) if high is None else high
    if last - first < max(_NARROWEST, _NARROWEST * abs(first)):
        # What is counted from zero up has no room below it.
        below = 0.0 if 0 <= first < 0.5 else first - 0.5
        first, last = (below if low is None else first), (first + 0.5 if high is None else last)
    last = last if last > first else first + 1.0
    step = _round_step((last - first) / _TICKS)
    if is_whole:
        step = float(math.ceil(step - _NARROWEST))
    start = math.floor(first / step + 1e-9) * step if low is None else first
    end = math.ceil(last / step - 1e-9) * step if high is None else last
    count = math.floor((end - start) / step + 1e-6)
    begin = math.ceil(start / step - 1e-9) * step
    ticks = [begin + step * index for index in range(count + 1) if begin + step * index <= end + step * 1e-6]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9), 1 if step in (2.5,) else 0)
    if step * 10**decimals % 1 > 1e-6:
        decimals += 1
    return Axis(label, start, end, tuple((tick, number_text(tick, decimals)) for tick in ticks))


def log_axis(label: str, values: Iterable[float]) -> Axis:
    """A logarithmic axis, with ticks at powers of ten or between, that holds the positive ones of the values."""
    positive = [value for value in values if math.isfinite(value) and value > 0] or [1.0, 10.0]
    low, high = min(positive) / 1.3, max(positive) * 1.3
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in (
        (1,),
        (1, 3),
        (1, 2, 5),
        (1, 1.5, 2, 3, 4, 5, 7),
        range(1, 10),
        [step / 4 for step in range(4, 40)],
    ):
        ticks = [factor * 10.0**power for power in powers for factor in factors if low <= factor * 10.0**power <= high]
        if len(ticks) >= _FEWEST_TICKS:
            break
    return Axis(label, low, high, tuple((tick, _size_text(tick)) for tick in ticks), is_log=True)


def name_axis(label: str, names: Sequence[str]) -> Axis:
    """An axis of names, the first at 0, the next at 1 and so on."""
    return Axis(label, -0.5, max(len(names), 1) - 0.5, tuple((float(place), name) for place, name in enumerate(names)))


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step for step in _STEPS if step * power >= rough * (1 - 1e-9)) * power


def number_text(value: float, decimals: int) -> str:
    """A number with a proper minus, and no minus before zero."""
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def _size_text(value: float) -> str:
    for unit, letter in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= unit:
            return f"{value / unit:g}{letter}"
    return f"{value:g}"
