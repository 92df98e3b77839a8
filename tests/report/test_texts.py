"""Times as people say them, names as axes have room for."""

import math

import pytest

from benchbird.report.texts import MISSING, short_name, span


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.42, "0.4 s"), (12.2, "12 s"), (59.7, "1 min 0 s"), (125, "2 min 5 s"), (4980, "1 h 23 min"),
        (90_000, "1 d 1 h"), (math.nan, MISSING), (-1.0, MISSING),
    ],
)  # fmt: skip
def test_a_time_in_its_two_largest_units(seconds: float, said: str) -> None:
    assert span(seconds) == said


def test_a_name_is_cut_to_an_axis() -> None:
    assert short_name("unet") == "unet" and len(short_name("x" * 200)) == 30
