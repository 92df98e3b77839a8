"""Charts as PDF, for print, by matplotlib.

Owns their look on paper: black on white, the colours of `svg.py`, letters that can be searched.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from benchbird.errors import UsageError
from benchbird.report.charts import STYLES, Axis, Chart, Plot, Strips
from benchbird.report.svg import LIGHT, cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = "DejaVu Sans"
"""Which matplotlib brings along, so that the same chart looks the same everywhere."""
_LABEL_SHARE = 0.7
"""Farther along the axis than this a label stands left of its point, where it has room."""
_WIDTH_INCHES, _HEIGHT_INCHES, _STRIP_INCHES = 4.6, 3.0, 0.24


def pdf_file(chart: Chart) -> bytes:
    """The drawing as a file; the same chart gives the same bytes.

    Raises:
        UsageError: matplotlib isn't installed.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError("figures as PDF need matplotlib: pip install 'benchbird[plots]'") from error
    style: Any = {"pdf.fonttype": 42, "font.size": 8.0, "font.family": _FONT, "svg.hashsalt": "benchbird"}
    with matplotlib.rc_context(style):
        height = _HEIGHT_INCHES
        if isinstance(chart, Strips):
            height = 0.7 + _STRIP_INCHES * max(1, len(chart.strips))
        figure = Figure(figsize=(_WIDTH_INCHES, height), layout="constrained")
        axes = figure.add_subplot()
        if isinstance(chart, Strips):
            _draw_strips(axes, chart)
        else:
            _draw_plot(axes, chart)
        stream = io.BytesIO()
        # Without a date, which would make other bytes of the same chart.
        figure.savefig(stream, format="pdf", metadata={"CreationDate": None, "Title": chart.title})
    return stream.getvalue()


def _draw_plot(axes: Axes, plot: Plot) -> None:
    _set_axis(axes, plot.x, "x")
    _set_axis(axes, plot.y, "y")
    axes.grid(color="#d8dde3", linewidth=0.5)
    for guide in plot.guides:
        axes.plot(*zip(*guide, strict=True), color="0.4", linewidth=0.8, linestyle=":", zorder=1)
    for series in plot.series:
        colour, dashes, symbol = _style(series.style)
        for line in series.lines:
            if line:
                axes.plot(*zip(*line, strict=True), color=colour, linestyle=dashes, linewidth=1.0)
        for x, low, high in series.bars:
            axes.plot([x, x], [low, high], color=colour, linewidth=1.2)
        if series.marks:
            axes.plot(*zip(*series.marks, strict=True), color=colour, marker=symbol, markersize=4, linestyle="")
        for x, y, text in series.labels:
            is_right = plot.x.share(x) > _LABEL_SHARE
            axes.annotate(_plain(cut(text)), (x, y), xytext=(-4 if is_right else 4, 4), textcoords="offset points",
                          fontsize=7, ha="right" if is_right else "left")  # fmt: skip
        if series.name and not series.labels:
            axes.plot(
                [], [], color=colour, linestyle=dashes, marker=symbol, markersize=4, label=_plain(cut(series.name))
            )
    if axes.get_legend_handles_labels()[0]:
        # Outside, where the layout gives it room of its own: names of ticks may be long.
        axes.figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=7)


def _draw_strips(axes: Axes, chart: Strips) -> None:
    _set_axis(axes, chart.x, "x")
    axes.grid(axis="x", color="#d8dde3", linewidth=0.5)
    for place, strip in enumerate(chart.strips):
        colour, _, symbol = _style(strip.style)
        y = -place
        if strip.low is not None and strip.high is not None:
            axes.plot([strip.low, strip.high], [y, y], color=colour, linewidth=1.2)
        if strip.inner_low is not None and strip.inner_high is not None:
            axes.plot([strip.inner_low, strip.inner_high], [y, y], color=colour, linewidth=4.5, alpha=0.45,
                      solid_capstyle="butt")  # fmt: skip
        if strip.middle is not None:
            axes.plot([strip.middle], [y], color=colour, marker=symbol, markersize=4)
        if strip.note:
            axes.annotate(_plain(strip.note), (1.02, y), xycoords=("axes fraction", "data"), va="center", fontsize=7)
    axes.set_yticks([-place for place in range(len(chart.strips))], [_plain(cut(strip.name)) for strip in chart.strips])
    axes.set_ylim(-len(chart.strips) + 0.4, 0.6)


def _set_axis(axes: Axes, axis: Axis, which: str) -> None:
    set_scale, set_limits, set_ticks, set_label = (
        getattr(axes, f"set_{which}{what}") for what in ("scale", "lim", "ticks", "label")
    )
    if axis.is_log:
        set_scale("log")
    set_limits(axis.low, axis.high)
    set_ticks([tick for tick, _ in axis.ticks], [_plain(text) for _, text in axis.ticks])
    set_ticks([], minor=True)
    set_label(_plain(axis.label))
    if which == "x" and any(len(text) > 8 for _, text in axis.ticks):
        axes.tick_params(axis="x", labelrotation=30)


def _style(number: int) -> tuple[str, str, str]:
    style = number % STYLES
    is_second = style >= len(LIGHT)
    return LIGHT[style % len(LIGHT)], "--" if is_second else "-", "s" if is_second else "o"


def _plain(text: str) -> str:
    """Text in which matplotlib finds no formula (a `$` begins one); what the font lacks stands as its code point."""
    known = _characters()
    shown = "".join(one if ord(one) in known else f"[U+{ord(one):04X}]" for one in text)
    return shown.replace("$", r"\$")


@lru_cache(maxsize=1)
def _characters() -> frozenset[int]:
    """Those that the font has."""
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(_FONT)).get_charmap())
