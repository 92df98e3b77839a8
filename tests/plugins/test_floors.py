"""Floors: each against a plain count or a plain loop, and the best level against every level tried."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

from benchbird_floors import levels
from benchbird_floors.morphology import Morphology, dilate, erode
from benchbird_floors.noise_gate import NoiseGate
from benchbird_floors.otsu import MIDDLE, Otsu, otsu_levels
from benchbird_floors.threshold import GreyThreshold

Batches = list[tuple[torch.Tensor, torch.Tensor]]


def normalised(level: np.ndarray) -> torch.Tensor:
    """uint8 `(N, H, W)` → float32 `(N, 3, H, W)`, as the protocol does it."""
    grey = (torch.from_numpy(level.astype(np.float32)) / 255 - 0.5) / 0.5
    return grey[:, None].expand(-1, 3, -1, -1).contiguous()


def batches_of(level: np.ndarray, target: np.ndarray, size: int) -> Batches:
    images, targets = normalised(level), torch.from_numpy(target.astype(np.float32))[:, None]
    starts = range(0, len(level), size)
    return [(images[start : start + size], targets[start : start + size]) for start in starts]


def brute_force(level: np.ndarray, bird: np.ndarray) -> int:
    """The lowest of the best thresholds, by counting anew for each of them."""
    scores = []
    for threshold in range(256):
        marked = level > threshold
        union = int((marked | bird).sum())
        scores.append(int((marked & bird).sum()) / union if union else 0.0)
    return int(np.argmax(scores)) if bird.any() else 255


def calibrated(batches: Batches) -> GreyThreshold:
    model = GreyThreshold().eval()
    levels.calibrate(model, batches)
    return model


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
# Few distinct levels make ties, all of them make every cell of the histogram matter.
any_level = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 254, 255]))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=shapes, batch_size=st.integers(1, 5))
def test_threshold_is_the_brute_force_optimum(
    data: st.DataObject, shape: tuple[int, int, int], batch_size: int
) -> None:
    level = data.draw(arrays.arrays(np.uint8, shape, elements=any_level))
    fraction = data.draw(arrays.arrays(np.float32, shape, elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])))
    bird = fraction >= 0.5
    expected = brute_force(level, bird)
    model = calibrated(batches_of(level, fraction, batch_size))
    assert model.threshold.item() == expected
    with torch.no_grad():
        marked = (model(normalised(level)) > 0)[:, 0].numpy()
    assert np.array_equal(marked, level > expected)


def test_every_level_survives_normalisation() -> None:
    level = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    assert np.array_equal(levels.grey_levels(normalised(level))[:, 0].numpy(), level)


@pytest.mark.parametrize("threshold", [0, 1, 100, 254, 255])
def test_logit_is_positive_exactly_above_the_threshold(threshold: int) -> None:
    model = GreyThreshold()
    model.threshold.fill_(threshold)
    level = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    logits = model(normalised(level))
    assert logits.dtype == torch.float32 and logits.shape == (1, 1, 16, 16)
    assert np.array_equal((logits > 0)[0, 0].numpy(), level[0] > threshold)


def test_colours_are_averaged_before_rounding() -> None:
    pixel = torch.tensor([10.0, 20.0, 31.0]).view(1, 3, 1, 1) / 255  # mean 20.33
    assert levels.grey_levels((pixel - 0.5) / 0.5).item() == 20


def test_ties_go_to_the_lowest_level_and_no_bird_marks_nothing() -> None:
    level = np.array([[[10, 200]]], dtype=np.uint8)
    assert calibrated(batches_of(level, np.array([[[0, 1]]]), 1)).threshold.item() == 10
    without = calibrated(batches_of(level, np.zeros((1, 1, 2)), 1))
    assert not (without(normalised(level)) > 0).any()


def test_better_scores_too_close_for_a_float_are_told_apart() -> None:
    # TP / (birds + FP): n/(n+2) at level 0 and n/(n+1) at level 1, equal in float64 for n = 10**17.
    bird, other = [0] * 256, [0] * 256
    bird[255], other[1], other[2] = 10**17, 1, 1
    assert 10**17 / (10**17 + 2) == 10**17 / (10**17 + 1)
    assert levels.best_threshold(bird, other)[0] == 2


def test_uncalibrated_model_marks_nothing() -> None:
    assert not (GreyThreshold()(torch.ones(1, 3, 2, 2)) > 0).any()


def test_another_model_is_refused() -> None:
    with pytest.raises(TypeError, match="found Identity, expected the floor"):
        levels.calibrate(nn.Identity(), [])


def test_the_best_variant_is_taken_and_the_first_of_equals() -> None:
    # A column of noise in one row, and a bird that only stands out once the row's median is gone.
    level = np.full((1, 4, 9), 10, dtype=np.uint8)
    level[0, 1] = 200
    level[0, 1, 4] = 255
    level[0, 3, 4] = 60
    bird = np.zeros(level.shape)
    bird[0, [1, 3], 4] = 1
    model = NoiseGate().eval()
    levels.calibrate(model, batches_of(level, bird, 1))
    assert model.variant.item() == 1.0
    marked = (model(normalised(level)) > 0)[0, 0].numpy()
    assert np.array_equal(marked, bird[0] == 1)
    # Without any noise all variants are the same.
    levels.calibrate(model, batches_of(np.where(bird > 0, 255, 0).astype(np.uint8), bird, 1))
    assert model.variant.item() == NoiseGate.variants[0]


def as_grey(level: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(level.astype(np.float32))[:, None]


def otsu_by_loop(image: np.ndarray) -> int:
    """The lowest level with the greatest variance between classes, from the definition."""
    best, best_between = 0, 0.0
    for threshold in range(256):
        dark, bright = image[image <= threshold], image[image > threshold]
        if len(dark) and len(bright):
            between = len(dark) * len(bright) / image.size**2 * (bright.mean() - dark.mean()) ** 2
            if between > best_between * (1 + 1e-6):
                best, best_between = threshold, between
    return best


@settings(max_examples=60, deadline=None)
@given(level=arrays.arrays(np.uint8, (2, 5, 7), elements=any_level))
def test_otsu_is_the_definition_s(level: np.ndarray) -> None:
    found = otsu_levels(as_grey(level)).flatten().tolist()
    for image, one in zip(level, found, strict=True):
        flat = image.flatten().astype(float)
        expected = otsu_by_loop(flat)
        if one != expected:  # equally good up to rounding
            assert variance_between(flat, one) == pytest.approx(variance_between(flat, expected), rel=1e-4)


def variance_between(image: np.ndarray, threshold: float) -> float:
    dark, bright = image[image <= threshold], image[image > threshold]
    if not (len(dark) and len(bright)):
        return 0.0
    return float(len(dark) * len(bright) / image.size**2 * (bright.mean() - dark.mean()) ** 2)


def test_otsu_cuts_a_loud_and_a_faint_image_each_at_its_own_level() -> None:
    faint = np.zeros((1, 4, 4), dtype=np.uint8)
    faint[0, 0] = 20
    loud = np.full((1, 4, 4), 100, dtype=np.uint8)
    loud[0, 0] = 220
    model = Otsu().eval()
    model.threshold.fill_(MIDDLE)
    for level in (faint, loud):
        marked = (model(normalised(level)) > 0)[0, 0].numpy()
        assert marked[0].all() and not marked[1:].any()


def grey_filter(image: np.ndarray, side: int, reduce: str) -> np.ndarray:
    """The least or greatest of the pixels in a square around each, those outside left out."""
    half = side // 2
    rows, columns = image.shape
    out = np.empty_like(image)
    for row in range(rows):
        for column in range(columns):
            square = image[max(0, row - half) : row + half + 1, max(0, column - half) : column + half + 1]
            out[row, column] = getattr(square, reduce)()
    return out


@settings(max_examples=40, deadline=None)
@given(level=arrays.arrays(np.uint8, (1, 6, 8), elements=any_level), side=st.sampled_from([1, 3, 5]))
def test_morphology_is_that_of_plain_loops_and_commutes_with_thresholds(level: np.ndarray, side: int) -> None:
    image = level[0]
    assert np.array_equal(dilate(as_grey(level), side)[0, 0].numpy(), grey_filter(image, side, "max"))
    assert np.array_equal(erode(as_grey(level), side)[0, 0].numpy(), grey_filter(image, side, "min"))
    measured = Morphology().measure(as_grey(level), float(side))
    for threshold in (0, 100, 200):
        cut = Morphology().measure((as_grey(level) > threshold).float(), float(side))
        assert torch.equal(measured > threshold, cut > 0)


def test_morphology_removes_specks_and_never_loses_to_the_plain_threshold_on_training() -> None:
    rng = np.random.default_rng(3)
    bird = np.zeros((4, 32, 32))
    bird[:, 8:20, 10:24] = 1
    level = np.where(bird > 0, 180, 20).astype(np.uint8)
    specks = rng.random(level.shape) < 0.05
    level[specks] = 255 - level[specks]
    scores: list[float] = []
    for floor in (GreyThreshold(), Morphology()):
        levels.calibrate(floor.eval(), batches_of(level, bird, 2))
        marked = (floor(normalised(level)) > 0)[:, 0].numpy()
        scores.append(float((marked & (bird > 0)).sum() / (marked | (bird > 0)).sum()))
    assert scores[1] > scores[0] + 0.1


def all_floors() -> Sequence[type[levels.Floor]]:
    return [GreyThreshold, Morphology, NoiseGate, Otsu]


@pytest.mark.parametrize("kind", all_floors())
def test_measures_are_whole_levels_of_the_image_s_size(kind: type[levels.Floor]) -> None:
    grey = torch.randint(0, 256, (3, 1, 12, 20)).float()
    floor = kind()
    for variant in floor.variants:
        found = floor.measure(grey, variant)
        assert found.shape == grey.shape and found.dtype == torch.float32
        assert torch.equal(found, found.round()) and found.min() >= 0 and found.max() <= 255
