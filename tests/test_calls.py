"""Calls are the connected pieces of the whole mask, wherever the stretches end."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird import calls
from benchbird.annotations.boxes import Box, boxes_of, mask_of
from benchbird.calls import find_calls
from benchbird.listening import Stretch

RATE_HZ = 16_000
Mask = npt.NDArray[np.bool_]


def stretches_of(masks: Mask, cuts: list[int]) -> Iterator[Stretch]:
    """Masks `(channels, 513, frames)` in stretches that begin at 0 and at each cut, and a rest."""
    frames = masks.shape[2]
    edges = sorted({0, frames, *(cut for cut in cuts if cut < frames)})
    for start, stop in itertools.pairwise(edges):
        logits = np.where(masks[:, :, start:stop], 1.0, -1.0).astype(np.float32)
        yield stretch(start, logits)
    yield stretch(frames, np.ones((len(masks), 513, 1), dtype=np.float32), is_rest=True)


def stretch(first_frame: int, logits: npt.NDArray[np.float32], is_rest: bool = False) -> Stretch:
    return Stretch(
        first_frame=first_frame,
        logits=logits,
        spectra=logits.astype(np.complex128),
        samples=np.zeros((0, len(logits))),
        is_rest=is_rest,
    )


def in_order(boxes: list[Box]) -> list[tuple[object, ...]]:
    return sorted((box.channel, box.start_s, box.low_hz, box.end_s, box.high_hz) for box in boxes)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.001, 0.02), st.lists(st.integers(1, 119), max_size=8), st.integers(1, 2))
def test_stretches_change_nothing(seed: int, density: float, cuts: list[int], channels: int) -> None:
    random = np.random.default_rng(seed)
    coarse = random.random((channels, 57, 30)) < density * 10
    masks = coarse.repeat(9, axis=1).repeat(4, axis=2)
    found = list(find_calls(stretches_of(masks, cuts), RATE_HZ, 0.0, label="wren"))
    expected = [
        (channel, box.start_s, box.low_hz, box.end_s, box.high_hz)
        for channel, mask in enumerate(masks, start=1)
        for box in boxes_of(mask, RATE_HZ)
    ]
    assert in_order(found) == sorted(expected)
    assert {box.label for box in found} <= {"wren"}


def test_the_boxes_of_rectangles_cover_exactly_the_mask() -> None:
    mask = np.zeros((1, 513, 100), dtype=bool)
    mask[0, 100:200, 20:50] = mask[0, 300:513, 60:100] = True
    found = list(find_calls(stretches_of(mask, [30, 61, 62]), RATE_HZ, 0.0))
    assert len(found) == 2
    np.testing.assert_array_equal(mask_of(found, RATE_HZ, 100), mask[0])


def test_short_pieces_are_left_out_and_endless_ones_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = np.zeros((1, 513, 400), dtype=bool)
    mask[0, 10, 5] = mask[0, 50:60, 20:390] = True
    cuts = list(range(10, 400, 10))
    [long] = find_calls(stretches_of(mask, cuts), RATE_HZ, 0.0, least_s=0.01)
    assert long.end_s - long.start_s == pytest.approx(370 * 64 / RATE_HZ)
    monkeypatch.setattr(calls, "LONGEST_S", 100 * 64 / RATE_HZ)
    pieces = list(find_calls(stretches_of(mask, cuts), RATE_HZ, 0.0, least_s=0.01))
    assert len(pieces) == 4
    assert [piece.end_s for piece in pieces[:-1]] == [piece.start_s for piece in pieces[1:]]


def test_pieces_beside_an_endless_one_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "LONGEST_S", 100 * 64 / RATE_HZ)
    mask = np.zeros((1, 513, 400), dtype=bool)
    mask[0, 50:60, 20:390] = True
    for start in range(5, 395, 15):
        mask[0, 300:310, start : start + 12] = True
    found = list(find_calls(stretches_of(mask, list(range(10, 400, 10))), RATE_HZ, 0.0))
    beside = [box for box in found if box.low_hz is not None and box.low_hz > 200 * RATE_HZ / 1024]
    assert len(beside) == 26 and len(found) == 26 + 4
    assert {round((box.end_s - box.start_s) * RATE_HZ / 64) for box in beside} == {12}
    np.testing.assert_array_equal(mask_of(found, RATE_HZ, 400), mask[0])


def test_a_recording_without_bird_has_no_call() -> None:
    assert list(find_calls(stretches_of(np.zeros((2, 513, 50), dtype=bool), [10]), RATE_HZ, 0.0)) == []
    assert list(find_calls(iter(()), RATE_HZ, 0.0)) == []
