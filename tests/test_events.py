"""Event scores against hand-worked images, a flood fill, exhaustive matching, and invariances."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird import events
from benchbird.events import EventCounts, Mask

Pixels = frozenset[tuple[int, int]]

KNOWN = {"seconds": "2.0", "sample_rate": "8000"}
EDGES = ("onset_ms", "offset_ms", "low_hz", "high_hz")


def drawn(*rows: str) -> Mask:
    """A mask from text, `#` for bird."""
    return np.array([[pixel == "#" for pixel in row] for row in rows])


def box(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, dtype=np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def mask_pair(seed: int) -> tuple[Mask, Mask]:
    """Two masks of a few shared rectangles each, one of them disturbed: matches, splits, merges and strays."""
    rng = np.random.default_rng(seed)
    shape = (int(rng.integers(5, 14)), int(rng.integers(5, 14)))
    reference = np.zeros(shape, dtype=np.bool_)
    for _ in range(rng.integers(0, 5)):
        top, left = rng.integers(0, shape[0] - 2), rng.integers(0, shape[1] - 2)
        reference[top : top + rng.integers(1, 5), left : left + rng.integers(1, 6)] = True
    predicted = np.roll(reference, int(rng.integers(-1, 2)), axis=int(rng.integers(0, 2)))
    return predicted ^ (rng.random(shape) < rng.choice([0.0, 0.05, 0.15])), reference


def flood_filled(mask: Mask) -> list[Pixels]:
    """8-connected components, found without scipy."""
    waiting = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = []
    while waiting:
        stack = [waiting.pop()]
        component = set(stack)
        while stack:
            row, column = stack.pop()
            around = {(row + down, column + along) for down in (-1, 0, 1) for along in (-1, 0, 1)} & waiting
            waiting -= around
            component |= around
            stack.extend(around)
        found.append(frozenset(component))
    return found


def iou_of(one: Pixels, other: Pixels) -> float:
    return len(one & other) / len(one | other)


def best_by_trying_all(predicted: list[Pixels], reference: list[Pixels], least: float) -> tuple[int, float]:
    """Number of pairs and sum of IoU of the best of all one-to-one assignments."""
    few, many = sorted((predicted, reference), key=len)
    best = (0, 0.0)
    for order in itertools.permutations(many, len(few)):
        matched = [value for one, other in zip(few, order, strict=True) if (value := iou_of(one, other)) >= least]
        best = max(best, (len(matched), sum(matched)))
    return best


def box_of(component: Pixels) -> tuple[int, int, int, int]:
    rows = [row for row, _ in component]
    columns = [column for _, column in component]
    return min(rows), max(rows) + 1, min(columns), max(columns) + 1


def test_two_syllables_found_one_exactly_and_one_by_two_fifths() -> None:
    reference = drawn("##..####", "##..####")
    predicted = drawn("##...##.", "##......")  # IoU 1 and 2/8
    assert events.event_counts(predicted, reference) == EventCounts(matched=(1, 1), predicted=2, reference=2)
    predicted = drawn("##..###.", "##......")  # IoU 1 and 3/8
    assert events.event_counts(predicted, reference) == EventCounts(matched=(2, 1), predicted=2, reference=2)


def test_a_syllable_split_in_two_is_matched_once() -> None:
    reference = drawn("########")
    predicted = drawn("###.####")  # IoU 3/8 and 4/8
    matching = events.match_events(predicted, reference)
    assert events.matching_counts(matching) == EventCounts(matched=(1, 1), predicted=2, reference=1)
    assert [pairs.tolist() for pairs in matching.pairs] == [[[1, 0]], [[1, 0]]]  # of both, the better half


def test_two_syllables_merged_into_one_are_matched_once() -> None:
    assert events.event_counts(drawn("#######"), drawn("###.###")) == EventCounts(
        matched=(1, 0), predicted=1, reference=2
    )


def test_the_most_pairs_come_before_the_best_pair() -> None:
    # The best pair, second with first at 6/14, would leave the others alone; they have 3/10 each.
    matching = events.match_events(drawn("###.##########"), drawn("##########.###"))
    assert sorted(matching.pairs[0].tolist()) == [[0, 0], [1, 1]]
    assert len(matching.pairs[1]) == 0


def test_diagonal_neighbours_are_one_event() -> None:
    diagonal = drawn("#...", ".#..", "..##")
    assert events.event_counts(diagonal, diagonal) == EventCounts(matched=(1, 1), predicted=1, reference=1)
    apart = drawn("#...", "....", "..##")
    assert events.event_counts(apart, diagonal).predicted == 2


@pytest.mark.parametrize(
    ("predicted", "reference", "expected"),
    [
        (False, False, EventCounts(matched=(0, 0), predicted=0, reference=0)),
        (True, False, EventCounts(matched=(0, 0), predicted=1, reference=0)),
        (False, True, EventCounts(matched=(0, 0), predicted=0, reference=1)),
        (True, True, EventCounts(matched=(1, 1), predicted=1, reference=1)),
    ],
)
def test_no_bird_and_nothing_but_bird(predicted: bool, reference: bool, expected: EventCounts) -> None:
    masks = np.full((4, 6), predicted), np.full((4, 6), reference)
    assert events.event_counts(*masks) == expected
    assert len(events.edge_errors(*masks, KNOWN).onset_ms) == expected.matched[1]


@pytest.mark.parametrize(("pixels", "expected"), [(3, (1, 0)), (2, (0, 0)), (5, (1, 1)), (4, (1, 0))])
def test_an_iou_of_exactly_the_threshold_matches(pixels: int, expected: tuple[int, int]) -> None:
    counts = events.event_counts(box((1, 10), 0, 1, 0, pixels), np.ones((1, 10), dtype=np.bool_))
    assert counts.matched == expected


@given(st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_events_are_those_of_a_flood_fill(seed: int) -> None:
    predicted, reference = mask_pair(seed)
    matching = events.match_events(predicted, reference)
    for mask, boxes in ((predicted, matching.predicted_boxes), (reference, matching.reference_boxes)):
        assert sorted(map(tuple, boxes.tolist())) == sorted(map(box_of, flood_filled(mask)))


@given(st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_no_matching_of_all_possible_ones_is_better(seed: int) -> None:
    masks = mask_pair(seed)
    # Few enough to try all: the five largest.
    predicted, reference = (sorted(flood_filled(mask), key=len)[-5:] for mask in masks)
    drawn_again = [np.zeros(masks[0].shape, dtype=np.bool_) for _ in masks]
    for mask, components in zip(drawn_again, (predicted, reference), strict=True):
        for pixel in itertools.chain.from_iterable(components):
            mask[pixel] = True
    counts = events.event_counts(*drawn_again)
    expected = tuple(best_by_trying_all(predicted, reference, least)[0] for least in events.EVENT_THRESHOLDS)
    assert counts == EventCounts(matched=expected, predicted=len(predicted), reference=len(reference))


@given(st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_candidates_are_chosen_as_by_trying_all(seed: int) -> None:
    # Any bipartite graph, also such as masks can't give, where the most pairs have not the largest sum.
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(1, 6)), int(rng.integers(1, 6))
    table = np.where(rng.random(shape) < 0.5, rng.uniform(0.3, 1.0, shape), 0.0)
    chosen = events._best_pairs(np.argwhere(table > 0), table[table > 0])
    assert len(set(chosen[:, 0].tolist())) == len(set(chosen[:, 1].tolist())) == len(chosen)
    wide = table if shape[0] <= shape[1] else table.T
    best = (0, 0.0)
    for order in itertools.permutations(range(wide.shape[1]), wide.shape[0]):
        taken = [float(wide[row, column]) for row, column in enumerate(order) if wide[row, column] > 0]
        best = max(best, (len(taken), sum(taken)))
    total = float(table[chosen[:, 0], chosen[:, 1]].sum())
    assert len(chosen) == best[0]
    assert total == pytest.approx(best[1], abs=1e-9)


@given(st.integers(0, 100_000))
@settings(max_examples=200, deadline=None)
def test_counts_keep_their_invariances(seed: int) -> None:
    predicted, reference = mask_pair(seed)
    counts = events.event_counts(predicted, reference)
    swapped = events.event_counts(reference, predicted)
    assert swapped == EventCounts(matched=counts.matched, predicted=counts.reference, reference=counts.predicted)
    assert events.event_counts(predicted[:, ::-1], reference[:, ::-1]) == counts
    assert events.event_counts(predicted[::-1], reference[::-1]) == counts
    assert 0 <= counts.matched[1] <= counts.matched[0] <= min(counts.predicted, counts.reference)


@given(st.integers(0, 100_000))
@settings(max_examples=100, deadline=None)
def test_a_mask_matches_itself_without_error(seed: int) -> None:
    mask, _ = mask_pair(seed)
    n_events = len(flood_filled(mask))
    counts = events.event_counts(mask, mask)
    assert counts == EventCounts(matched=(n_events, n_events), predicted=n_events, reference=n_events)
    errors = events.edge_errors(mask, mask, KNOWN)
    for edge in EDGES:
        assert getattr(errors, edge).tolist() == [0.0] * n_events


@given(st.integers(0, 100_000), st.sampled_from(["", "half"]))
@settings(max_examples=200, deadline=None)
def test_edge_errors_equal_those_of_the_pixels(seed: int, spectrum: str) -> None:
    predicted, reference = mask_pair(seed)
    errors = events.edge_errors(predicted, reference, {**KNOWN, "spectrum": spectrum})
    height, width = predicted.shape
    expected = []
    for one, other in itertools.product(flood_filled(predicted), flood_filled(reference)):
        if iou_of(one, other) >= 0.5:
            found_edges, true_edges = (pixel_edges(each, height, width, spectrum) for each in (one, other))
            expected.append(np.subtract(found_edges, true_edges))
    found = np.stack([getattr(errors, edge) for edge in EDGES], axis=1)  # (M, 4), in another order
    assert len(found) == len(expected)
    for each in expected:
        assert np.isclose(found, each, atol=1e-6).all(axis=1).sum() == np.isclose(expected, each).all(axis=1).sum()


def pixel_edges(component: Pixels, height: int, width: int, spectrum: str) -> tuple[float, float, float, float]:
    """Onset, offset, low and high of `KNOWN`, from the band that each pixel covers."""
    bands = []
    for row, _ in component:
        if spectrum == "half":
            upper, lower = ((height - edge) / height * 4000.0 for edge in (row, row + 1))
        else:
            upper, lower = ((height / 2 - edge) / height * 8000.0 for edge in (row, row + 1))
        low = 0.0 if lower < 0 < upper else min(abs(lower), abs(upper))
        bands.append((low, max(abs(lower), abs(upper))))
    columns = [column for _, column in component]
    onset, offset = (1000.0 * 2.0 * edge / width for edge in (min(columns), max(columns) + 1))
    return onset, offset, min(low for low, _ in bands), max(high for _, high in bands)


def errors_of(predicted: Mask, reference: Mask, attributes: Mapping[str, str]) -> dict[str, list[float]]:
    errors = events.edge_errors(predicted, reference, attributes)
    return {edge: getattr(errors, edge).tolist() for edge in EDGES}


def test_edges_of_a_positive_and_of_a_negative_frequency_worked_by_hand() -> None:
    # 8 rows of 1000 Hz, 0 Hz between rows 3 and 4; 10 columns of 200 ms.
    reference = box((8, 10), 1, 3, 2, 6)  # 1000 … 3000 Hz
    predicted = box((8, 10), 0, 3, 3, 7)  # 1000 … 4000 Hz, a column later: IoU 6/14
    assert errors_of(predicted, reference, KNOWN)["onset_ms"] == []
    predicted = box((8, 10), 0, 3, 2, 7)  # IoU 8/15
    assert errors_of(predicted, reference, KNOWN) == {
        "onset_ms": [0.0], "offset_ms": [200.0], "low_hz": [0.0], "high_hz": [1000.0]
    }  # fmt: skip
    assert errors_of(predicted[::-1], reference[::-1], KNOWN) == errors_of(predicted, reference, KNOWN)
    assert errors_of(reference, predicted, KNOWN) == {
        "onset_ms": [0.0], "offset_ms": [-200.0], "low_hz": [0.0], "high_hz": [-1000.0]
    }  # fmt: skip
    assert errors_of(predicted[:, ::-1], reference[:, ::-1], KNOWN)["onset_ms"] == [-200.0]


def test_an_event_across_zero_hertz_begins_at_zero() -> None:
    reference = box((8, 10), 1, 3, 0, 4)  # 1000 … 3000 Hz
    predicted = box((8, 10), 1, 5, 0, 4)  # −1000 … 3000 Hz
    assert errors_of(predicted, reference, KNOWN)["low_hz"] == [-1000.0]
    assert errors_of(predicted, reference, KNOWN)["high_hz"] == [0.0]
    below = box((8, 10), 2, 7, 0, 4)  # 2000 … −3000 Hz: the far edge is the lower one
    assert errors_of(below, box((8, 10), 3, 7, 0, 4), KNOWN)["high_hz"] == [0.0]
    touching = box((8, 10), 1, 4, 0, 4)  # its edge is at 0 Hz
    assert errors_of(touching, reference, KNOWN)["low_hz"] == [-1000.0]
    odd = box((7, 10), 3, 4, 0, 4)  # the middle one of 7 rows, half a row to either side of 0 Hz
    assert errors_of(odd, box((7, 10), 2, 4, 0, 4), KNOWN) == {
        "onset_ms": [0.0], "offset_ms": [0.0], "low_hz": [0.0], "high_hz": [pytest.approx(-8000 / 7)]
    }  # fmt: skip


def test_a_half_spectrum_has_zero_hertz_at_the_bottom() -> None:
    half = {**KNOWN, "spectrum": "half"}  # 8 rows of 500 Hz
    reference = box((8, 10), 2, 6, 0, 4)  # 1000 … 3000 Hz
    predicted = box((8, 10), 1, 7, 0, 4)  # 500 … 3500 Hz
    assert errors_of(predicted, reference, half)["low_hz"] == [-500.0]
    assert errors_of(predicted, reference, half)["high_hz"] == [500.0]


@pytest.mark.parametrize("bad", [None, "", "unknown", "nan", "inf", "-inf", "0", "-3", "1e300", "2 s", "0x10"])
def test_what_has_no_usable_scale_has_no_errors(bad: str | None) -> None:
    mask = box((8, 10), 1, 3, 2, 6)
    for attribute, empty in (("seconds", EDGES[:2]), ("sample_rate", EDGES[2:])):
        attributes = {name: value for name, value in {**KNOWN, attribute: bad}.items() if value is not None}
        errors = errors_of(mask, mask, attributes)
        assert {edge for edge in EDGES if not errors[edge]} == set(empty)
    assert all(not errors for errors in errors_of(mask, mask, {}).values())


def test_rows_of_an_unknown_spectrum_have_no_frequency() -> None:
    mask = box((8, 10), 1, 3, 2, 6)
    errors = errors_of(mask, mask, {**KNOWN, "spectrum": "mel"})
    assert (errors["onset_ms"], errors["low_hz"], errors["high_hz"]) == ([0.0], [], [])


@given(st.text(max_size=5), st.floats().map(str), st.sampled_from(["", "half", "mel"]))
@settings(max_examples=100, deadline=None)
def test_no_attribute_raises_and_every_error_is_finite(text: str, number: str, spectrum: str) -> None:
    predicted, reference = box((8, 10), 1, 5, 2, 6), box((8, 10), 1, 4, 2, 7)
    for seconds, sample_rate in ((text, number), (number, text)):
        attributes = {"seconds": seconds, "sample_rate": sample_rate, "spectrum": spectrum}
        for errors in errors_of(predicted, reference, attributes).values():
            assert len(errors) <= 1
            assert np.isfinite(errors).all()


def test_a_summary_pools_the_events_of_images_with_and_without_units() -> None:
    reference = box((8, 10), 1, 3, 2, 6)
    later, earlier = box((8, 10), 1, 3, 2, 7), box((8, 10), 1, 3, 1, 6)  # 200 ms each
    wider = box((8, 10), 1, 3, 2, 8)  # 400 ms
    images = [
        events.edge_errors(later, reference, KNOWN),
        events.edge_errors(earlier, reference, KNOWN),
        events.edge_errors(wider, reference, {"seconds": "2.0"}),
        events.edge_errors(wider, reference, {}),
        events.edge_errors(np.zeros_like(wider), reference, KNOWN),
    ]
    summary = events.summarise_edges(iter(images))
    assert summary.onset_ms.n_events == 3
    assert summary.onset_ms.mean_absolute == pytest.approx(200 / 3)
    assert summary.onset_ms.bias == pytest.approx(-200 / 3)
    assert summary.offset_ms == events.EdgeStatistic(n_events=3, mean_absolute=200.0, bias=200.0)
    assert summary.low_hz == summary.high_hz == events.EdgeStatistic(n_events=2, mean_absolute=0.0, bias=0.0)


def test_opposite_errors_cancel_in_the_bias_alone() -> None:
    reference = box((8, 10), 1, 3, 2, 6)
    masks = box((8, 10), 1, 3, 2, 7), box((8, 10), 1, 3, 2, 5)
    summary = events.summarise_edges(events.edge_errors(mask, reference, KNOWN) for mask in masks)
    assert summary.offset_ms == events.EdgeStatistic(n_events=2, mean_absolute=200.0, bias=0.0)


def test_a_summary_without_events_is_undefined() -> None:
    nothing = events.EdgeStatistic(n_events=0, mean_absolute=None, bias=None)
    expected = events.EdgeSummary(onset_ms=nothing, offset_ms=nothing, low_hz=nothing, high_hz=nothing)
    assert events.summarise_edges([]) == expected


def test_noise_of_thousands_of_events_needs_no_table_of_all_pairs() -> None:
    noise = np.zeros((256, 256), dtype=np.bool_)
    noise[::2, ::2] = True  # 16384 events: all pairs would take 2 GB
    assert events.event_counts(noise, noise).matched == (16384, 16384)


@pytest.mark.parametrize(
    ("predicted", "reference"),
    [
        (np.zeros((2, 3), dtype=np.bool_), np.zeros((3, 2), dtype=np.bool_)),
        (np.zeros((2, 3), dtype=np.uint8), np.zeros((2, 3), dtype=np.bool_)),
        (np.zeros((1, 2, 3), dtype=np.bool_), np.zeros((1, 2, 3), dtype=np.bool_)),
        (np.zeros((0, 3), dtype=np.bool_), np.zeros((0, 3), dtype=np.bool_)),
    ],
)
def test_what_is_no_pair_of_masks_is_refused(predicted: npt.NDArray[np.bool_], reference: Mask) -> None:
    with pytest.raises(ValueError, match="found"):
        events.match_events(predicted, reference)
