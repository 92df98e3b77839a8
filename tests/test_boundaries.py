"""Boundary IoU against the distance that defines it, hand-worked images, and invariances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbird import boundaries
from benchbird.boundaries import Mask


def random_mask(seed: int, shape: tuple[int, int]) -> Mask:
    rng = np.random.default_rng(seed)
    mask = rng.random(shape) < 0.02
    for _ in range(3):
        top, left = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        mask[top : top + rng.integers(1, shape[0]), left : left + rng.integers(1, shape[1])] = True
    return mask ^ (rng.random(shape) < 0.005)


def region_by_distance(mask: Mask, distance: int) -> Mask:
    """The pixels with a pixel outside the mask, or outside the image, at chessboard distance ≤ `distance`."""
    height, width = mask.shape
    region = np.zeros_like(mask)
    for row, column in np.argwhere(mask):
        for other_row in range(row - distance, row + distance + 1):
            for other_column in range(column - distance, column + distance + 1):
                inside = 0 <= other_row < height and 0 <= other_column < width
                if not inside or not mask[other_row, other_column]:
                    region[row, column] = True
    return region


@pytest.mark.parametrize(
    ("shape", "width"),
    [
        ((1, 1), 1),
        ((40, 30), 1),
        ((60, 80), 2),
        ((256, 256), 7),
        ((512, 512), 14),
        ((1024, 1), 20),
        ((75, 100), 2),
        ((105, 140), 4),
    ],
)
def test_the_width_is_a_fiftieth_of_the_diagonal(shape: tuple[int, int], width: int) -> None:
    assert boundaries.boundary_width(*shape) == width  # 2.5 and 3.5 go to the even one, as in Python


@given(st.integers(0, 100_000), st.sampled_from([(12, 9), (60, 80), (90, 120)]))
@settings(max_examples=25, deadline=None)
def test_regions_are_those_of_the_distance_to_the_contour(seed: int, shape: tuple[int, int]) -> None:
    predicted, reference = random_mask(seed, shape), random_mask(seed + 1, shape)
    width = {(12, 9): 1, (60, 80): 2, (90, 120): 3}[shape]
    regions = region_by_distance(predicted, width), region_by_distance(reference, width)
    assert (boundaries.boundary_region(predicted) == regions[0]).all()
    expected = int((regions[0] & regions[1]).sum()), int((regions[0] | regions[1]).sum())
    assert boundaries.boundary_counts(predicted, reference) == expected


def test_the_border_of_the_image_is_a_contour() -> None:
    everything = np.ones((10, 8), dtype=np.bool_)
    assert boundaries.boundary_counts(everything, everything) == (80 - 8 * 6, 80 - 8 * 6)


def test_a_square_moved_by_one_column_worked_by_hand() -> None:
    reference = np.zeros((12, 12), dtype=np.bool_)
    reference[2:7, 2:7] = True  # 5 × 5, its ring has 16 pixels
    predicted = np.roll(reference, 1, axis=1)
    # The rings share 4 pixels of the upper and 4 of the lower side; the uprights lie on different columns.
    assert boundaries.boundary_counts(predicted, reference) == (8, 24)


def test_boundaries_punish_a_hole_that_whole_masks_hardly_show() -> None:
    reference = np.ones((256, 256), dtype=np.bool_)
    predicted = reference.copy()
    predicted[128, 128] = False
    ring = 256**2 - (256 - 14) ** 2
    assert boundaries.boundary_counts(predicted, reference) == (ring, ring + 15**2 - 1)


@given(st.integers(0, 100_000))
@settings(max_examples=50, deadline=None)
def test_counts_keep_their_invariances(seed: int) -> None:
    predicted, reference = random_mask(seed, (60, 80)), random_mask(seed + 1, (60, 80))
    intersection, union = boundaries.boundary_counts(predicted, reference)
    assert boundaries.boundary_counts(reference, predicted) == (intersection, union)
    assert boundaries.boundary_counts(predicted[:, ::-1], reference[:, ::-1]) == (intersection, union)
    assert intersection <= int((predicted & reference).sum())
    assert intersection <= union <= int((predicted | reference).sum())
    itself = boundaries.boundary_counts(reference, reference)
    assert itself[0] == itself[1] > 0


def test_masks_without_a_pixel_have_no_boundary() -> None:
    nothing = np.zeros((5, 5), dtype=np.bool_)
    assert boundaries.boundary_counts(nothing, nothing) == (0, 0)
