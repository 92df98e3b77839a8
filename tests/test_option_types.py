from __future__ import annotations

import click
import pytest

from benchbird.option_types import FiniteRange


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "-inf", "1e999", "x", "", "-1", "11"])
def test_what_is_no_finite_number_in_the_range_is_a_usage_error(text: str) -> None:
    with pytest.raises(click.BadParameter):
        FiniteRange(min=0, max=10).convert(text, None, None)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_without_bounds_too(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a finite number"):
        FiniteRange().convert(text, None, None)


def test_a_number_in_the_range_is_that_number() -> None:
    assert FiniteRange(min=0, max=10).convert("2.5", None, None) == 2.5
