from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from benchbird.data.resize import area_sums, bicubic_image, bicubic_mask, rule_name, shrink, shrink_image, shrink_mask

SIDES = st.integers(1, 13)


def exact_mean(image: npt.NDArray[np.uint8], size: int, row: int, column: int) -> Fraction:
    """The area average of one new pixel from its definition, in fractions."""

    def overlap(n: int, new: int, old: int) -> Fraction:
        low, high = Fraction(new * n, size), Fraction((new + 1) * n, size)
        return max(Fraction(0), min(high, Fraction(old + 1)) - max(low, Fraction(old)))

    height, width = image.shape
    total = sum(
        int(image[i, j]) * overlap(height, row, i) * overlap(width, column, j)
        for i in range(height)
        for j in range(width)
    )
    return Fraction(total) / (Fraction(height, size) * Fraction(width, size))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES)), st.integers(1, 6))
def test_an_image_is_the_exact_area_average_rounded_half_up(image: npt.NDArray[np.uint8], size: int) -> None:
    shrunk = shrink_image(image, size)
    for row in range(size):
        for column in range(size):
            expected = math.floor(exact_mean(image, size, row, column) + Fraction(1, 2))
            assert shrunk[0, row, column] == expected


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(SIDES, SIDES)), st.integers(1, 6))
def test_a_mask_keeps_the_cut_at_one_half_exactly(mask: npt.NDArray[np.bool_], size: int) -> None:
    shrunk = shrink_mask(mask, size)
    for row in range(size):
        for column in range(size):
            fraction = exact_mean(mask.astype(np.uint8), size, row, column)
            assert (shrunk[row, column] >= 128) == (fraction >= Fraction(1, 2))
            assert abs(Fraction(int(shrunk[row, column]), 255) - fraction) <= Fraction(1, 510)


@settings(max_examples=100, deadline=None)
@given(hnp.arrays(np.uint8, st.tuples(SIDES, SIDES)), st.integers(1, 30))
def test_no_mass_is_lost_whatever_the_sizes(image: npt.NDArray[np.uint8], size: int) -> None:
    assert area_sums(image, size).sum() == int(image.sum()) * size * size


def test_whole_ratios_are_block_means() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    blocks = image.reshape(16, 4, 16, 6).transpose(0, 2, 1, 3).reshape(16, 16, 24)
    assert np.array_equal(shrink_image(image, 16)[0], np.floor(blocks.mean(axis=2) + 0.5).astype(np.uint8))


def test_it_agrees_with_pillow_and_torch_where_they_must() -> None:
    image = np.random.default_rng(1).integers(0, 256, (128, 192), dtype=np.uint8)
    ours = shrink_image(image, 32)[0].astype(int)
    box = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BOX)).astype(int)
    pooled = torch.nn.functional.adaptive_avg_pool2d(torch.from_numpy(image)[None, None].double(), 32)
    assert abs(ours - box).max() <= 1  # Pillow rounds between the axes
    assert np.array_equal(ours, np.floor(pooled[0, 0].numpy() + 0.5))


def test_colour_channels_are_shrunk_one_by_one() -> None:
    image = np.random.default_rng(2).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    shrunk = shrink_image(image, 7)
    assert shrunk.shape == (3, 7, 7)
    for channel in range(3):
        assert np.array_equal(shrunk[channel], shrink_image(image[..., channel], 7)[0])


@pytest.mark.parametrize("shape", [(16, 700), (700, 16), (17, 16)])
def test_both_orders_of_the_axes_give_the_same(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(3).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(area_sums(image, 24), area_sums(np.ascontiguousarray(image.T), 24).T)


def test_enlarging_repeats_pixels() -> None:
    image = np.array([[0, 255], [100, 7]], dtype=np.uint8)
    assert np.array_equal(shrink_image(image, 6)[0], image.repeat(3, axis=0).repeat(3, axis=1))


def test_extremes_stay_extremes() -> None:
    white = np.full((999, 1001), 255, dtype=np.uint8)
    assert (shrink_image(white, 64) == 255).all()
    assert (shrink_mask(white > 0, 64) == 255).all()
    assert (shrink_mask(white == 0, 64) == 0).all()


def test_bicubic_is_pillows_filter_on_image_and_mask_alike() -> None:
    rng = np.random.default_rng(4)
    colour, mask = rng.integers(0, 256, (40, 90, 3), dtype=np.uint8), rng.random((40, 90)) < 0.3
    image, grey_mask = shrink(colour, mask, 16, "bicubic")
    whole = np.asarray(Image.fromarray(colour).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.array_equal(image, whole.transpose(2, 0, 1))
    assert np.array_equal(bicubic_image(colour[..., 1], 16)[0], whole[..., 1])
    painted = Image.fromarray((mask * 255).astype(np.uint8))
    assert np.array_equal(grey_mask, np.asarray(painted.resize((16, 16), Image.Resampling.BICUBIC)))
    assert len(np.unique(grey_mask)) > 2, "the mask stays grey"


def test_the_default_rule_is_the_area_average() -> None:
    rng = np.random.default_rng(5)
    grey, mask = rng.integers(0, 256, (33, 50), dtype=np.uint8), rng.random((33, 50)) < 0.3
    image, fraction = shrink(grey, mask, 16, "area")
    assert np.array_equal(image, shrink_image(grey, 16)) and np.array_equal(fraction, shrink_mask(mask, 16))
    assert not np.array_equal(image, bicubic_image(grey, 16))


@settings(max_examples=60, deadline=None)
@given(hnp.arrays(np.bool_, st.tuples(st.integers(16, 40), st.integers(16, 40))))
def test_a_bicubic_mask_cut_at_128_is_its_grey_cut_at_one_half(mask: npt.NDArray[np.bool_]) -> None:
    shrunk = bicubic_mask(mask, 16)
    assert np.array_equal(shrunk >= 128, shrunk / 255 > 0.5)
    assert np.array_equal(shrunk >= 128, (torch.from_numpy(shrunk).float() / 255 > 0.5).numpy())
    # Overshoot is cut off, not wrapped round: what is bird all over stays 255.
    assert (bicubic_mask(np.ones_like(mask), 16) == 255).all() and (bicubic_mask(np.zeros_like(mask), 16) == 0).all()


def test_the_name_of_a_rule_says_what_its_bits_depend_on() -> None:
    import PIL

    assert rule_name("area") == "area-1"
    assert rule_name("bicubic") == f"bicubic-1-pillow-{PIL.__version__}"
