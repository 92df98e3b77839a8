"""Axes hold what they show, with ticks that can be told apart."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbird.report.charts import (
    STYLES,
    Axis,
    Chart,
    Plot,
    Series,
    Strip,
    Strips,
    linear_axis,
    log_axis,
    name_axis,
    number_text,
)
from benchbird.report.svg import svg, svg_file

NUMBERS = st.floats(-1e9, 1e9, allow_subnormal=False)


def check_axis(axis: Axis, values: list[float]) -> None:
    assert axis.low < axis.high
    ticks = [tick for tick, _ in axis.ticks]
    assert ticks == sorted(set(ticks))
    assert all(-1e-6 <= axis.share(tick) <= 1 + 1e-6 for tick in ticks)
    assert len({text for _, text in axis.ticks}) == len(ticks), axis.ticks
    for value in values:
        assert -1e-6 <= axis.share(value) <= 1 + 1e-6


@given(st.lists(NUMBERS, max_size=8))
def test_a_linear_axis_holds_its_values_and_has_ticks_of_its_own(values: list[float]) -> None:
    axis = linear_axis("IoU", values)
    check_axis(axis, values)
    assert 2 <= len(axis.ticks) <= 12


@given(st.lists(st.floats(1e-6, 1e9), max_size=8))
def test_a_logarithmic_axis_too(values: list[float]) -> None:
    axis = log_axis("images/s", [*values, 0.0, -1.0, math.nan])
    check_axis(axis, values)
    assert axis.ticks


def test_ticks_are_round_and_say_what_they_are() -> None:
    assert [text for _, text in linear_axis("", [0.0, 1.0], low=0.0, high=1.0).ticks] == [
        "0.0", "0.2", "0.4", "0.6", "0.8", "1.0",
    ]  # fmt: skip
    assert [text for _, text in linear_axis("", [-12.0, 19.0]).ticks] == ["−20", "−10", "0", "10", "20"]
    assert [text for _, text in log_axis("", [28.0, 79_000.0]).ticks] == ["100", "1 k", "10 k", "100 k"]
    assert [text for _, text in name_axis("", ["rain", "wind"]).ticks] == ["rain", "wind"]
    assert number_text(-0.0004, 3) == "0.000" and number_text(-1.5, 1) == "−1.5"


CHARTS: list[Chart] = [
    Plot(
        title="<b>&\"'",
        x=linear_axis("<x>", [0.0, 2.0]),
        y=linear_axis("y", [0.0, 1.0]),
        series=tuple(
            Series(
                name=f"<script>{number}", style=number, lines=(((0.0, 0.1), (2.0, 0.9)),), marks=((1.0, 0.5),),
                bars=((1.0, 0.4, 0.6),), labels=((1.0, 0.5, "</svg>"),),
            )
            for number in range(STYLES + 2)
        ),
        guides=(((0.0, 0.0), (2.0, 1.0)),),
    ),
    Plot(title="none", x=linear_axis("x", []), y=linear_axis("y", []), series=()),
    Plot(title="names", x=name_axis("noise", [f"a long name of a group {n} (12)" for n in range(12)]),
         y=linear_axis("y", [0.5]), series=(Series(name="one", style=0, marks=((11.0, 0.5),)),)),
    Strips(title="strips", x=linear_axis("IoU", [0.1, 0.9]),
           strips=(Strip(name="<i>" * 30, style=3, middle=0.5, low=0.1, high=0.9, inner_low=0.2,
                         inner_high=0.7, note="group ab"),
                   Strip(name="unknown", style=4, middle=None))),
    Strips(title="no strips", x=linear_axis("IoU", []), strips=()),
]  # fmt: skip


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.title)
def test_a_drawing_is_well_formed_and_names_are_text(chart: Chart) -> None:
    drawn = svg(chart, identity="t-1")
    tree = ElementTree.fromstring(drawn)
    assert tree.find("title") is not None and tree.find("title").text == chart.title  # type: ignore[union-attr]
    assert not any(element.tag in ("script", "b", "i") or "style" in element.attrib for element in tree.iter())
    for element in tree.iter("text"):
        x = float(element.get("x", "20"))
        assert 0 <= x <= float(tree.get("viewBox", "").split()[2])


@pytest.mark.parametrize("chart", CHARTS, ids=lambda chart: chart.title)
def test_a_file_stands_alone(chart: Chart) -> None:
    tree = ElementTree.fromstring(svg_file(chart).encode())
    style = tree.find("{http://www.w3.org/2000/svg}style")
    assert style is not None and "--c0: #" in str(style.text) and "dark" not in str(style.text)


def test_labels_stay_within_the_drawing_and_marks_keep_their_names() -> None:
    names = [f"segmenter {number}" for number in range(40)]
    series = tuple(
        Series(name=one, style=place, marks=((1.0, 0.5),), labels=((1.0, 0.5, one),)) for place, one in enumerate(names)
    )
    chart = Plot(title="crowd", x=linear_axis("x", [0.0, 2.0]), y=linear_axis("y", [0.0, 1.0]), series=series)
    tree = ElementTree.fromstring(svg(chart, identity="t"))
    height = float(tree.get("viewBox", "").split()[3])
    texts = [(element.text, float(element.get("y", "0"))) for element in tree.iter("text")]
    drawn = [text for text, y in texts if text in names and y <= height]
    assert 5 < len(drawn) < len(names) and [text for text, _ in texts if text in names] == drawn
    assert [element.text for element in tree.iter("title")] == ["crowd", *names]


def test_marks_lead_where_they_are_said_to() -> None:
    series = Series(name="", style=0, marks=((0.0, 0.1), (1.0, 0.9)), titles=("<a>", "b"), anchors=("image-3", ""))
    chart = Plot(title="links", x=linear_axis("x", [0.0, 1.0]), y=linear_axis("y", [0.0, 1.0]), series=(series,))
    tree = ElementTree.fromstring(svg(chart, identity="t", description="d"))
    assert (tree.get("role"), tree.get("aria-describedby")) == ("group", "d")
    assert [(one.get("href"), one.get("tabindex"), one.get("aria-label")) for one in tree.iter("a")] == [
        ("#image-3", "-1", "<a>")
    ]
    assert [one.text for one in tree.iter("title")] == ["links", "<a>", "b"]


def test_epochs_are_whole_and_what_is_never_negative_begins_at_zero() -> None:
    assert [text for _, text in linear_axis("epoch", [1.0, 3.0], low=1.0, is_whole=True).ticks] == ["1", "2", "3"]
    assert all("." not in text for _, text in linear_axis("epoch", [1.0, 12.0], low=1.0, is_whole=True).ticks)
    assert linear_axis("IoU", [0.0, 0.0]).low == 0.0 and linear_axis("dB", [-1.0]).low == -1.6
