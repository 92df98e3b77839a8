"""Charts as SVG, for the page and as files of their own.

Owns the drawing: sizes, symbols, where labels go. Colours come from a style sheet (`STYLE`), so that a page can be
light or dark; nothing here writes an attribute `style`, which a strict page would refuse.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from html import escape

from benchbird.report.charts import STYLES, Axis, Chart, Plot, Series, Strip, Strips

WIDTH, HEIGHT = 520, 320
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 44
_STRIP_HEIGHT, _NAME_WIDTH, _NOTE_WIDTH = 26, 150, 96
_LETTER = 6.4
"""Mean width of a letter of the labels, in units of the drawing; names are cut by it, never placed."""
_MOST_LETTERS, _SHORT_LETTERS = 20, 15
_LINE = 13

PLOT_BOX = {"left": _LEFT, "right": WIDTH - _RIGHT, "top": _TOP, "bottom": HEIGHT - _BOTTOM}
"""Where a plot's axes begin and end, for the script that moves points."""

LIGHT = ("#0b62a4", "#b3470a", "#007a54", "#a1377f", "#5b4fb5", "#7a5c00", "#00707e", "#b01030")
DARK = ("#6db5ee", "#f2924e", "#3fc795", "#e888c6", "#ada3f7", "#d9b53f", "#4cc7d6", "#ff8095")
"""Eight colours for each background, all at 4.5 : 1 or more against it."""


def _colours(colours: tuple[str, ...]) -> str:
    return " ".join(f"--c{number}: {colour};" for number, colour in enumerate(colours))


STYLE = (
    ":root { " + _colours(LIGHT) + " --paper: #ffffff; --faint: #d8dde3; }\n"
    "@media screen and (prefers-color-scheme: dark) { :root { "
    + _colours(DARK)
    + " --paper: #14181d; --faint: #39414b; } }\n"
    + "".join(
        f".s{number} {{ --s: var(--c{number % len(LIGHT)}); }}"
        + (f" .s{number} .l {{ stroke-dasharray: 5 3; }}" if number >= len(LIGHT) else "")
        + "\n"
        for number in range(STYLES)
    )
    + """\
.chart { display: block; width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.chart text { fill: currentColor; }
.chart a:hover .m { stroke: currentColor; stroke-width: 1.5; }
.chart .grid { stroke: var(--faint); fill: none; }
.chart .axis, .chart .guide { stroke: currentColor; fill: none; opacity: .55; }
.chart .guide { stroke-dasharray: 2 3; }
.chart .l { stroke: var(--s); fill: none; stroke-width: 1.6; stroke-linejoin: round; }
.chart .m { fill: var(--s); stroke: var(--paper); stroke-width: .8; }
.chart .b { stroke: var(--s); stroke-width: 1.8; fill: none; }
.chart .t { stroke: var(--s); stroke-width: 7; fill: none; opacity: .45; }
"""
)


def svg(chart: Chart, *, identity: str, description: str = "") -> str:
    """The drawing as an element for a page.

    Args:
        chart: what to draw.
        identity: unique in the page; its title is named by it.
        description: identity of the text that says what the drawing shows, or empty.
    """
    width, height, body = _drawn(chart)
    described = f' aria-describedby="{description}"' if description else ""
    # Links are no part of an image to a screen reader.
    has_links = isinstance(chart, Plot) and any(any(series.anchors) for series in chart.series)
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="{"group" if has_links else "img"}" '
        f'aria-labelledby="{identity}"{described}>'
        f'<title id="{identity}">{escape(chart.title)}</title>{body}</svg>'
    )


def svg_file(chart: Chart) -> str:
    """The drawing as a file of its own, on white, with its colours."""
    width, height, body = _drawn(chart)
    light = STYLE.split("@media", 1)[0] + STYLE.split("\n", 2)[2]
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{escape(chart.title)}">\n'
        f"<style>{light}</style>\n"
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n{body}\n</svg>\n'
    )


def _drawn(chart: Chart) -> tuple[int, int, str]:
    if isinstance(chart, Strips):
        height = _TOP + _STRIP_HEIGHT * len(chart.strips) + _BOTTOM
        return WIDTH, height, "".join(_strips(chart, height))
    legend = [one for one in chart.series if one.name and not one.labels]
    rows = math.ceil(len(legend) / _legend_columns(legend))
    ticks = _LINE * (_levels(chart.x, WIDTH - _LEFT - _RIGHT) - 1)
    height = HEIGHT + ticks + 18 * rows + (4 if rows else 0)
    return WIDTH, height, "".join(_plot(chart, legend, HEIGHT + ticks + 12))


def _plot(plot: Plot, legend: list[Series], legend_top: float) -> Iterator[str]:
    left, right, top, bottom = _LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM

    def at_x(value: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, plot.x.share(value)))

    def at_y(value: float) -> float:
        return bottom - (bottom - top) * min(1.0, max(0.0, plot.y.share(value)))

    for value, text in plot.y.ticks:
        yield f'<path class="grid" d="M{left} {at_y(value):.1f}H{right}"/>'
        yield _text(left - 6, at_y(value) + 4, text, anchor="end")
    yield from _bottom_axis(plot.x, left, right, bottom, grid_top=top)
    yield f'<path class="axis" d="M{left} {top}V{bottom}H{right}"/>'
    yield (
        f'<text class="y-label" transform="translate(13 {(top + bottom) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{escape(plot.y.label)}</text>"
    )
    for guide in plot.guides:
        yield f'<polyline class="guide" points="{" ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in guide)}"/>'
    taken: list[tuple[float, float, float]] = []
    for series in plot.series:
        yield f'<g class="s{series.style % STYLES}">' + _title(series.name)
        for line in series.lines:
            yield f'<polyline class="l" points="{" ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line)}"/>'
        for x, low, high in series.bars:
            yield f'<path class="b" d="M{at_x(x):.1f} {at_y(low):.1f}V{at_y(high):.1f}"/>'
        for place, (x, y) in enumerate(series.marks):
            title = series.titles[place] if series.titles else ""
            anchor = series.anchors[place] if series.anchors else ""
            mark = _mark(at_x(x), at_y(y), series.style, title)
            # No stop for the tab key: the table below leads to the same places.
            yield f'<a href="#{anchor}" tabindex="-1" aria-label="{escape(title)}">{mark}</a>' if anchor else mark
        yield "</g>"
        for x, y, text in series.labels:
            yield _beside(at_x(x), at_y(y), cut(text), (right, top, bottom), taken)
    columns = _legend_columns(legend)
    for place, series in enumerate(legend):
        x, y = left + (place % columns) * ((right - left) / columns), legend_top + 18 * (place // columns)
        yield f'<g class="s{series.style % STYLES}"><path class="l" d="M{x:.0f} {y - 4}h18"/>'
        yield _mark(x + 9, y - 4, series.style) + "</g>" + _text(x + 24, y, cut(series.name))


def _legend_columns(legend: list[Series]) -> int:
    return 3 if all(len(series.name) <= _SHORT_LETTERS for series in legend) else 2


def _strips(chart: Strips, height: int) -> Iterator[str]:
    has_notes = any(strip.note for strip in chart.strips)
    left, right, bottom = _NAME_WIDTH, WIDTH - (_NOTE_WIDTH if has_notes else _RIGHT), height - _BOTTOM

    def at_x(value: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, chart.x.share(value)))

    yield from _bottom_axis(chart.x, left, right, bottom, grid_top=_TOP)
    for place, strip in enumerate(chart.strips):
        y = _TOP + _STRIP_HEIGHT * (place + 0.5)
        yield _text(left - 8, y + 4, cut(strip.name), anchor="end")
        yield f'<g class="s{strip.style % STYLES}">' + "".join(_strip(strip, at_x, y)) + "</g>"
        if strip.note:
            yield _text(right + 8, y + 4, strip.note)
    yield f'<path class="axis" d="M{left} {bottom}H{right}"/>'


def _strip(strip: Strip, at_x: Callable[[float], float], y: float) -> Iterator[str]:
    if strip.low is not None and strip.high is not None:
        yield f'<path class="b" d="M{at_x(strip.low):.1f} {y:.1f}H{at_x(strip.high):.1f}"/>'
    if strip.inner_low is not None and strip.inner_high is not None:
        yield f'<path class="t" d="M{at_x(strip.inner_low):.1f} {y:.1f}H{at_x(strip.inner_high):.1f}"/>'
    if strip.middle is not None:
        yield _mark(at_x(strip.middle), y, strip.style)


def _levels(axis: Axis, length: float) -> int:
    """Lines that the tick texts need, so that none covers its neighbour."""
    widest = max((len(text) for _, text in axis.ticks), default=0) * _LETTER + 8
    return max(1, math.ceil(widest * len(axis.ticks) / length))


def _bottom_axis(axis: Axis, left: float, right: float, bottom: float, *, grid_top: float) -> Iterator[str]:
    levels = _levels(axis, right - left)
    for place, (value, text) in enumerate(axis.ticks):
        x = left + (right - left) * axis.share(value)
        yield f'<path class="grid" d="M{x:.1f} {grid_top}V{bottom}"/>'
        within = min(x, WIDTH - 2 - len(text) * _LETTER / 2)
        yield _text(within, bottom + 15 + _LINE * (place % levels), text, anchor="middle")
    yield (
        f'<text class="x-label" x="{(left + right) / 2:.1f}" y="{bottom + 38 + _LINE * (levels - 1):.1f}" '
        f'text-anchor="middle">{escape(axis.label)}</text>'
    )


def _mark(x: float, y: float, style: int, title: str = "") -> str:
    if style % STYLES >= len(LIGHT):
        shape, tag = f'<rect class="m" x="{x - 3.6:.1f}" y="{y - 3.6:.1f}" width="7.2" height="7.2"', "rect"
    else:
        shape, tag = f'<circle class="m" cx="{x:.1f}" cy="{y:.1f}" r="4.2"', "circle"
    return f"{shape}>{_title(title)}</{tag}>" if title else f"{shape}/>"


def _title(text: str) -> str:
    """What a pointer that rests on a shape is told."""
    return f"<title>{escape(text)}</title>" if text else ""


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _beside(
    x: float, y: float, text: str, room: tuple[float, float, float], taken: list[tuple[float, float, float]]
) -> str:
    """A label beside its point, moved down, or up, until it covers none of those before it; none without room.

    Whoever points at a mark is told its name all the same.
    """
    right, top, bottom = room
    width = len(text) * _LETTER
    is_left = x + 8 + width > right
    begin = x - 8 - width if is_left else x + 8
    start = max(y - 5, top + 8)
    for step in (12, -12):
        at = start
        while any(abs(at - other) < 12 and begin < end and left < begin + width for left, end, other in taken):
            at += step
        if top < at <= bottom:
            break
    else:
        return ""
    taken.append((begin, begin + width, at))
    return _text(x - 8 if is_left else x + 8, at, text, anchor="end" if is_left else "start")


def cut(text: str) -> str:
    """A name of bearable length."""
    return text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
