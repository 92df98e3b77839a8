"""Which image is in which stratum: nobody is lost and nobody counted in the wrong place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.errors import UsageError
from benchbird.predictions import Predictions
from benchbird.strata import columns, group
from tests.predictions_factory import MadeUpImages, make_predictions, random_predictions


def with_values(column: str, values: Sequence[str | None]) -> Predictions:
    base = random_predictions(1, n_images=len(values))
    attributes = tuple({"other": "x", **({} if value is None else {column: value})} for value in values)
    return replace(base, attributes=attributes)


def places(column: str, values: Sequence[str | None]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(one).tolist() for name, one in group(with_values(column, values), column).items()}


def test_decibels_are_cut_every_five_with_the_lower_border_inside() -> None:
    values = ["-12.5", "-10", "-5.0001", "-5", "-0.1", "-0.0", "0", "4.999", "5", "10", None, "", "nan", "inf", " 7 "]
    assert places("snr_db", values) == {
        "−15 to −10 dB": [0],
        "−10 to −5 dB": [1, 2],
        "−5 to 0 dB": [3, 4],
        "0 to 5 dB": [5, 6, 7],
        "5 to 10 dB": [8, 14],
        "10 to 15 dB": [9],
        "not stated": [10, 11, 12, 13],
    }


def test_minus_zero_first_is_zero_too() -> None:
    assert list(places("snr_db", ["-0.0", "1"])) == ["0 to 5 dB"]


@given(st.lists(st.none() | st.floats(-1e7, 1e7).map(str), min_size=1, max_size=30).filter(any))
@settings(max_examples=60, deadline=None, database=None)
def test_every_image_is_in_one_bin_of_decibels_and_of_quartiles(values: list[str | None]) -> None:
    for column in ("snr_db", "gain"):
        groups = group(with_values(column, values), column)
        assert sum(int(images.sum()) for images in groups.values()) == len(values)
        assert np.array(list(groups.values())).sum(0).tolist() == [1] * len(values)
        assert all(images.any() for images in groups.values())


def test_many_numbers_are_cut_at_their_quartiles() -> None:
    assert places("gain", [str(number) for number in range(9)] + [None]) == {
        "0 to 2": [0, 1],
        "2 to 4": [2, 3],
        "4 to 6": [4, 5],
        "6 to 8": [6, 7, 8],
        "not stated": [9],
    }


def test_quartiles_that_three_digits_don_t_tell_apart() -> None:
    groups = places("hour", [str(1000 + place / 10) for place in range(12)])
    assert len(groups) == 4
    assert sorted(place for one in groups.values() for place in one) == list(range(12))
    assert next(iter(groups)) == "1000 to 1000.3"


def test_one_number_written_in_many_ways_is_no_quartile() -> None:
    values = [f"1.{'0' * zeros}" for zeros in range(1, 12)]
    assert sum(map(len, places("gain", values).values())) == 11


def test_few_numbers_are_groups_of_their_own_in_their_order() -> None:
    assert places("channels", ["10", "9", "1e+05", "9", None]) == {
        "9": [1, 3],
        "10": [0],
        "1e+05": [2],
        "not stated": [4],
    }


def test_categories() -> None:
    assert places("weather", ["rain", "rain+wind", "wind + ", "", None, "+", "5"]) == {
        "5": [6],
        "rain": [0, 1],
        "wind": [1, 2],
        "not stated": [3, 4, 5],
    }


def test_one_text_makes_numbers_categories() -> None:
    assert list(places("snr_db", ["3", "loud", "-4"])) == ["-4", "3", "loud"]


def test_recordings_are_never_taken_apart() -> None:
    predictions = replace(random_predictions(1, n_images=3), recording_ids=("a+b", "a", "10+"))
    assert {name: images.tolist() for name, images in group(predictions, "recording").items()} == {
        "10+": [False, False, True], "a": [False, True, False], "a+b": [True, False, False],
    }  # fmt: skip


def test_mask_sizes() -> None:
    predictions = make_predictions(images=MadeUpImages(without_bird=3))
    groups = group(predictions, "mask_size")
    assert groups["no bird"].sum() == 3
    assert sum(int(images.sum()) for images in groups.values()) == len(predictions)
    size = predictions.image_size**2
    for name, images in groups.items():
        for place in np.flatnonzero(images):
            share = 100 * predictions.masks(int(place))[1].sum() / size
            if name == "no bird":
                assert share == 0
            else:
                low, _, high = name.removesuffix(" %").partition(" to ")
                assert float(low) < share <= float(high)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2, 1.0])
def test_a_mask_at_a_border_counts_below_it(share: float) -> None:
    predictions = random_predictions(1, n_images=2, image_size=10)
    counts = np.array([[round(100 * share), 0, 0, 100 - round(100 * share)], [0, 0, 0, 100]])
    groups = group(replace(predictions, test=replace(predictions.test, protocol=counts)), "mask_size")
    first, second = groups
    assert first == "no bird"
    assert second.endswith(f" to {100 * share:g} %")


def test_an_unknown_column_lists_those_there_are() -> None:
    predictions = replace(with_values("weather", ["rain", "wind", ""]))
    assert columns(predictions) == ("recording", "mask_size", "weather")
    with pytest.raises(UsageError, match=r"--by 'snr_db'.*expected one of recording, mask_size, weather$"):
        group(predictions, "snr_db")
    # A column with one value alone parts nothing, but may be asked for.
    assert list(group(predictions, "other")) == ["x"]
