from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird.annotations.boxes import Box, boxes_of, mask_of

RATES = st.sampled_from([8_000, 16_000, 22_050, 44_100, 48_000, 192_000])


@settings(max_examples=150, deadline=None)
@given(RATES, st.data())
def test_a_box_covers_the_cells_whose_middle_is_in_it(rate_hz: int, data: st.DataObject) -> None:
    frames = 60
    seconds = (frames + 2) * 64 / rate_hz
    start_s = data.draw(st.floats(0, seconds * 0.99))
    end_s = data.draw(st.floats(start_s + seconds / 1000, seconds * 1.5))
    low_hz = data.draw(st.floats(0, rate_hz / 2 * 0.99))
    high_hz = data.draw(st.floats(low_hz + rate_hz / 4096, rate_hz))
    mask = mask_of([Box(start_s=start_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz)], rate_hz, frames)
    for frame in range(frames):
        middle_s = (64 * frame + 64) / rate_hz
        if min(abs(middle_s - start_s), abs(middle_s - end_s)) * rate_hz < 1e-3:
            continue  # on an edge but for rounding
        column = mask[:, frame]
        assert start_s < middle_s < end_s or not column.any()
        if start_s < middle_s < end_s:
            bins = np.arange(513) * rate_hz / 1024
            inside = (bins >= low_hz) & ((bins < high_hz) | (high_hz >= rate_hz / 2))
            assert np.abs(column.astype(int) - inside).sum() <= 1  # a bin on the edge, but for rounding


@settings(max_examples=100, deadline=None)
@given(RATES, st.integers(0, 2**32 - 1), st.integers(0, 5000))
def test_boxes_of_a_mask_cover_it_again_cell_for_cell(rate_hz: int, seed: int, first_frame: int) -> None:
    random = np.random.default_rng(seed)
    mask = np.zeros((513, 80), dtype=bool)
    for column in range(4):  # apart from one another, so that each is a piece
        low, high = sorted(random.integers(0, 514, 2))
        start = 20 * column + int(random.integers(0, 5))
        mask[low : max(high, low + 1), start : start + int(random.integers(1, 14))] = True
    boxes = boxes_of(mask, rate_hz, first_frame=first_frame, label="bird")
    assert len(boxes) == sum(bool(mask[:, 20 * column : 20 * column + 20].any()) for column in range(4))
    again = mask_of(boxes, rate_hz, first_frame + 80)
    np.testing.assert_array_equal(again[:, first_frame:], mask)
    assert not again[:, :first_frame].any()
    assert all(box.label == "bird" and box.fault() is None for box in boxes)


@settings(max_examples=150, deadline=None)
@given(RATES, st.data())
def test_any_box_comes_back_to_one_frame_and_one_bin(rate_hz: int, data: st.DataObject) -> None:
    frame_s, bin_hz = 64 / rate_hz, rate_hz / 1024
    start_s = data.draw(st.floats(2 * frame_s, 40 * frame_s))
    end_s = data.draw(st.floats(start_s + 2 * frame_s, 60 * frame_s))
    low_hz = data.draw(st.floats(0, 400 * bin_hz))
    high_hz = data.draw(st.floats(low_hz + 2 * bin_hz, 512 * bin_hz))
    [back] = boxes_of(
        mask_of([Box(start_s=start_s, end_s=end_s, low_hz=low_hz, high_hz=high_hz)], rate_hz, 80), rate_hz
    )
    assert back.low_hz is not None and back.high_hz is not None
    for found, meant, step in (
        (back.start_s, start_s, frame_s),
        (back.end_s, end_s, frame_s),
        (back.low_hz, low_hz, bin_hz),
        (back.high_hz, high_hz, bin_hz),
    ):
        assert abs(found - meant) <= step * (1 + 1e-6)


def test_pieces_that_touch_at_a_corner_are_one_and_order_is_by_time() -> None:
    mask = np.zeros((513, 20), dtype=bool)
    mask[100:110, 10:12] = mask[110:120, 12:14] = mask[300:310, 2:5] = True
    first, second = boxes_of(mask, 16_000)
    assert (first.start_s, first.end_s) == ((2 * 64 + 32) / 16_000, (5 * 64 + 32) / 16_000)
    assert (second.low_hz, second.high_hz) == (99.5 * 15.625, 119.5 * 15.625)
    assert boxes_of(np.zeros((513, 4), dtype=bool), 16_000) == ()


def test_a_box_without_frequencies_covers_them_all() -> None:
    mask = mask_of([Box(start_s=0.01, end_s=0.02)], 16_000, 20)
    assert mask.any(axis=0).tolist() == mask.all(axis=0).tolist()
    assert mask.any() and not mask.all()


@pytest.mark.parametrize(
    ("box", "said"),
    [
        (Box(start_s=1, end_s=1), "expected 0 ≤ begin < end"),
        (Box(start_s=-1, end_s=1), "expected 0 ≤ begin < end"),
        (Box(start_s=math.nan, end_s=1), "no finite number"),
        (Box(start_s=0, end_s=math.inf), "no finite number"),
        (Box(start_s=0, end_s=1, low_hz=5), "one frequency without the other"),
        (Box(start_s=0, end_s=1, low_hz=5, high_hz=5), "expected 0 ≤ low < high"),
        (Box(start_s=0, end_s=1, low_hz=-5, high_hz=5), "expected 0 ≤ low < high"),
    ],
)
def test_what_cannot_be_about_a_box_is_said(box: Box, said: str) -> None:
    assert said in (box.fault() or "")


def test_a_sound_box_has_no_fault() -> None:
    assert Box(start_s=0, end_s=1, low_hz=0, high_hz=5).fault() is None
