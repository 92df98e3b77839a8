from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch import nn

import benchbird_threshold as plugin

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


def calibrated(batches: Batches) -> plugin.GreyThreshold:
    model = plugin.GreyThreshold().eval()
    plugin.calibrate(model, batches)
    return model


shapes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))
# Few distinct levels make ties, all of them make every cell of the histogram matter.
levels = st.one_of(st.integers(0, 255), st.sampled_from([0, 1, 127, 128, 254, 255]))


@settings(max_examples=150, deadline=None)
@given(data=st.data(), shape=shapes, batch_size=st.integers(1, 5))
def test_threshold_is_the_brute_force_optimum(
    data: st.DataObject, shape: tuple[int, int, int], batch_size: int
) -> None:
    level = data.draw(arrays.arrays(np.uint8, shape, elements=levels))
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
    assert np.array_equal(plugin.grey_levels(normalised(level))[:, 0].numpy(), level)


@pytest.mark.parametrize("threshold", [0, 1, 100, 254, 255])
def test_logit_is_positive_exactly_above_the_threshold(threshold: int) -> None:
    model = plugin.GreyThreshold()
    model.threshold.fill_(threshold)
    level = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    logits = model(normalised(level))
    assert logits.dtype == torch.float32 and logits.shape == (1, 1, 16, 16)
    assert np.array_equal((logits > 0)[0, 0].numpy(), level[0] > threshold)


def test_colours_are_averaged_before_rounding() -> None:
    pixel = torch.tensor([10.0, 20.0, 31.0]).view(1, 3, 1, 1) / 255  # mean 20.33
    assert plugin.grey_levels((pixel - 0.5) / 0.5).item() == 20


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
    assert plugin.best_threshold(bird, other) == 2


def test_uncalibrated_model_marks_nothing() -> None:
    assert not (plugin.GreyThreshold()(torch.ones(1, 3, 2, 2)) > 0).any()


def test_another_model_is_refused() -> None:
    with pytest.raises(TypeError, match="GreyThreshold"):
        plugin.calibrate(nn.Identity(), [])
